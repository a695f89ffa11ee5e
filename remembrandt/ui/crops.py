"""Photos as they would be trained on: each whole, its crop framed, and what is wrong with it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from remembrandt.ui import markup
from remembrandt.ui.asking import embedded

SIDE = 320  # pixels of the longer side, as shown
MOST = 64 * 2**20  # bytes of a file in a zip


def board(told: markup.Document, paths: list[str]) -> str:
    """All photos of what POST /prepare answered for the files at `paths`, after all that is wrong."""
    found = "".join(_figure(row, paths) for row in told["images"])
    lists = "".join(
        f'<ul class="{kind}" role="{"alert" if kind == "faults" else "status"}">'
        f"{''.join(f'<li>{markup.text(line)}</li>' for line in told[kind])}</ul>"
        for kind in ("faults", "hints")
        if told[kind]
    )
    count, wrong = len(told["images"]), len(told["faults"])
    head = f"{count} photo{'s' * (count != 1)} can be taught" + (f", {wrong} cannot" if wrong else "")
    return f'<h2 role="status">{head}</h2>{lists}<div class="crops">{found}</div>'


def _figure(row: markup.Document, paths: list[str]) -> str:
    (wide, high), (left, top, right, bottom) = row["size"], row["crop"]
    across, down = (right - left) / wide, (bottom - top) / high
    place = f"left:{left / wide:.2%};top:{top / high:.2%};width:{across:.2%};height:{down:.2%}"
    name = markup.text(row["photo"])
    seen = _thumbnail(row["photo"], paths)
    shown = f'<img src="{seen}" alt="{name}">' if seen else f'<span style="aspect-ratio:{wide}/{high}"></span>'
    return f'<figure><div class="crop">{shown}<i style="{place}"></i></div><figcaption>{name}</figcaption></figure>'


def _thumbnail(name: str, paths: list[str]) -> str:
    """A small picture of it within the page; none if it cannot be shown, which is no fault of the photo."""
    try:
        with Image.open(io.BytesIO(_bytes(name, paths))) as opened:
            opened.draft("RGB", (SIDE * 2, SIDE * 2))
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        picture.save(data := io.BytesIO(), "JPEG", quality=80)
    except (OSError, ValueError, LookupError, Image.DecompressionBombError, zipfile.BadZipFile):
        return ""
    return embedded(data.getvalue(), "image/jpeg")


def _bytes(name: str, paths: list[str]) -> bytes:
    last = PurePosixPath(name).name
    for path in paths:
        if Path(path).name == last:
            return Path(path).read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if PurePosixPath(entry.filename).name == last and entry.file_size <= MOST:
                        return archive.read(entry)
    raise LookupError(name)
