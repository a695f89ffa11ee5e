"""What goes by itself: content that nobody holds, what a killed server left of jobs that are done, and photos that have
been kept for as long as was said.
"""

from __future__ import annotations

import shutil
import time

from remembrandt.jobs.files import WAY, Home, remove, tidy
from remembrandt.store import audit, blobs, lineage
from remembrandt.store.store import Store


def sweep(store: Store, home: Home, photo_days: float | None = None) -> int:
    """Bytes freed. Photos older than `photo_days` go: their concepts are painted, but not measured any more."""
    freed = blobs.sweep(store, home.path) if (home.path / "blobs").is_dir() else 0
    left = {place.parent.name for name in WAY for place in home.path.glob(f"jobs/*/{name}")}
    for key in lineage.succeeded(store, left):
        tidy(home.job(key))
    if photo_days is None:
        return freed
    old = time.time() - photo_days * 86400
    concepts = lineage.everything(store)[2]
    still = {a for c in concepts if c.created >= old for a in (*c.photos, *c.facts.get("masks", ()))}
    places = [p for p in home.photos.glob("*.png") if p.stem not in still and p.stat().st_mtime < old]
    gone = remove(places)
    if places:
        audit.note(store.of(""), "photos expired", None, {"photos": len(places), "bytes": gone})
    unfinished = {job.id for job in lineage.unfinished(store)}
    for folder in home.path.glob("jobs/*/photos"):
        if folder.parent.name not in unfinished and folder.stat().st_mtime < old:
            shutil.rmtree(folder, ignore_errors=True)
    return freed + gone
