"""The retention report as a page that stands alone: one HTML file, its pictures inside, light and dark."""

from __future__ import annotations

import base64
import json
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from remembrandt.memory import heat
from remembrandt.memory.heat import colour
from remembrandt.report import sheet, write_atomic

Document = dict[str, Any]
THUMB = 144  # pixels
STYLE = """
:root{--paper:#fcfbf8;--card:#fff;--ink:#262422;--faint:#78736c;--line:#e6e2da;--good:#2f7d4f;--bad:#b3372f;--warn:#8a5a00;
--warnbg:#fdf3dc;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--paper:#191817;--card:#232120;--ink:#ece8e1;--faint:#a49d93;--line:#3a3733;
--good:#7cc79a;--bad:#ef8b81;--warn:#f1c873;--warnbg:#3a2f16}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}h1{font-size:30px;line-height:1.2;margin:0 0 4px}
h2{font-size:20px;margin:40px 0 12px}h3{font-size:17px;margin:0}p{margin:4px 0}.faint{color:var(--faint)}
.good{color:var(--good)}.bad{color:var(--bad)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:24px 0 0}
.fact,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.fact b{display:block;font-size:26px;line-height:1.25;font-variant-numeric:tabular-nums}
.fact span{color:var(--faint);font-size:14px}.scroll{overflow-x:auto}
table{border-collapse:separate;border-spacing:3px;font-variant-numeric:tabular-nums}
th{font-weight:500;text-align:left;padding:2px 10px 2px 0;white-space:nowrap}thead th{font-size:13px;color:var(--faint);
text-align:center;padding:2px 4px}td{min-width:52px;height:38px;text-align:center;border-radius:6px;font-size:14px}
td.none{background:none;color:var(--faint)}td.carried{font-style:italic}
.card{margin:0 0 16px}.head{display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline;margin-bottom:10px}
.row{display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start;margin:6px 0 10px}
.row>span{flex:0 0 100%;font-size:14px;color:var(--faint)}
figure{margin:0;width:144px}img{display:block;width:100%;height:auto;border-radius:6px}
figcaption{font-size:13px;color:var(--faint);line-height:1.3;margin-top:3px}.photos figure{width:84px}
.advice{background:var(--warnbg);color:var(--warn);border-radius:8px;padding:8px 12px;margin:8px 0 0}
"""


def write(told: Document, out: Path) -> None:
    """`report.html`, `report.json` and `retention.png` under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    picture(told).save(out / "retention.png")
    write_atomic(out / "report.html", html(told))
    write_atomic(out / "report.json", json.dumps(told, indent=1))


def verdict(told: Document) -> str:
    """What a person wants to know first."""
    rows = [row for row in told["concepts"] if row["retention"] is not None]
    faded = [row for row in rows if row["retention"] < 0.9]
    unknown = len(told["concepts"]) - len(rows)
    said = f"{len(rows) - len(faded)} of {len(rows)} kept"
    if faded:
        said += ", faded: " + ", ".join(f"{row['identifier']} {row['category']}" for row in faded)
    return said + (f", {unknown} not measurable" if unknown else "")


def html(told: Document) -> str:
    """The whole page; nothing in it is fetched from anywhere."""
    kind = "good" if not any((row["retention"] or 1) < 0.9 for row in told["concepts"]) else "bad"
    proof = (
        "Gated memory: no lesson can touch what was taught before. The gate proves it, and pictures painted before"
        " and after every lesson were equal to the bit."
        if told["proved"]
        else f"Memory {told['memory']}: every lesson moves the weights that all concepts share."
    )
    facts = [
        (_number(told["mean_retention"]), "mean retention"),
        (_number(told["worst_retention"]), "worst retention"),
        (str(len(told["lessons"])), "lessons"),
        (_exact(told["base_drift"]), "base drift"),
        (_exact(told["prior_shift"]), "shift of its categories"),
        (_number(told["styles_kept"]), "base styles kept"),
    ]
    cells = "".join(f'<div class="fact"><b>{value}</b><span>{what}</span></div>' for value, what in facts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Retention of {escape(told['model'])}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escape(told["model"])}: <span class="{kind}">{escape(verdict(told))}</span></h1>'
        f'<p class="faint">Version {told["version"]}, on {escape(told["base"])}. {proof}</p>'
        f'<div class="facts">{cells}</div>'
        f"<h2>Every concept after every lesson</h2>{_heat(told)}{_judged(told)}"
        f"<h2>Concepts</h2>{''.join(_card(row, told) for row in told['concepts'])}"
        f"{_base(told)}{_notes(told)}</main></body></html>"
    )


def _heat(told: Document) -> str:
    heads = "".join(
        f'<th scope="col">{k}<br>{escape(v["identifier"] or "without " + v.get("forgot", ""))}</th>'
        for k, v in enumerate(told["lessons"], 1)
    )
    lines = []
    for row in told["concepts"]:
        pairs = enumerate(zip(row["fidelity"], row["measured"], strict=True), 1)
        cells = [_cell(f, m, k < row["lesson"]) for k, (f, m) in pairs]
        name = f"{escape(row['identifier'])} {escape(row['category'])}"
        lines.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        '<p class="faint">1.00: as on the day it was taught. 0: what the base knew. Slanted: carried over,'
        " because that lesson could not change it. n/a: not measurable.</p>"
    )


def _judged(told: Document) -> str:
    """Who it is and whether prompts are followed, after its own lesson and now, where the family brings judges."""
    lines = []
    for row in told["concepts"]:
        docs = [d for d in row["judged"] if d]
        if docs:
            figures = [docs[k].get(what) for what in ("identity", "prompt") for k in (0, -1)]
            figures.append(docs[-1].get("base_prompt"))
            cells = "".join(_cell(f, True, False) for f in figures)
            name = f"{escape(row['identifier'])} {escape(row['category'])}"
            lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    if not lines:
        return ""
    heads = "".join(f'<th scope="col">{what}</th>' for what in
                    ("identity<br>then", "<br>now", "prompt<br>then", "<br>now", "<br>the base"))  # fmt: skip
    return (
        '<h2>What the judges see</h2><div class="scroll"><table><thead><tr><th></th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        '<p class="faint">Read off the strips below: a few pictures each, so one of them is a large step. Identity: 1'
        " as like as its photos are to each other, 0 as any of its kind that the base paints. Prompt: the share of what"
        " was asked for (what, where) that is to be seen.</p>"
    )


def _cell(value: float | None, measured: bool, early: bool) -> str:
    if early:
        return '<td class="none" title="not taught yet"></td>'
    if value is None:
        return '<td class="none">n/a</td>'
    paper, ink = (f"rgb{tone(value)}" for tone in (colour, heat.ink))
    kind = "" if measured else ' class="carried"'
    return f'<td{kind} style="background:{paper};color:{ink}">{value:.2f}</td>'


def _card(row: Document, told: Document) -> str:
    name = escape(f"{row['identifier']} {row['category']}" + (f" ({row['name']})" if row["name"] else ""))
    kept = "not measurable" if row["retention"] is None else f"retention {row['retention']:.2f}"
    kind = "faint" if row["retention"] is None else "good" if row["retention"] >= 0.9 else "bad"
    clear = row["gain"] is not None and any(f is not None for f in row["fidelity"])
    gain = "" if not clear else f"its photos are denoised {row['gain']:.0%} better (± {row['noise']:.0%})"
    shots = "".join(_figure(path) for path in row["photos"][:8])
    strips = "".join(_strip(strip, told, row) for strip in row["strips"])
    said = "".join(f'<p class="advice">{escape(line[0].upper() + line[1:])}.</p>' for line in row["advice"])
    return (
        f'<section class="card"><div class="head"><h3>{name}</h3><b class="{kind}">{kept}</b>'
        f'<span class="faint">lesson {row["lesson"]}, {escape(row["method"])}</span>'
        f'<span class="faint">{gain}</span></div>'
        f'<div class="row photos"><span>Taught from</span>{shots}</div>{strips}{_free(row["freely"])}{said}</section>'
    )


def _strip(strip: Document, told: Document, row: Document) -> str:
    number = next((k for k, v in enumerate(told["lessons"], 1) if v["version"] == strip["version"]), row["lesson"])
    since = told["memory"] == "gated" and number < len(told["lessons"])
    head = f"Painted since lesson {number}, the same to the bit" if since else f"Painted after lesson {number}"
    prompts = _prompts(strip["paths"])
    figures = "".join(_figure(path, words) for path, words in zip(strip["paths"], prompts, strict=True))
    return f'<div class="row"><span>{head}</span>{figures}</div>'


def _prompts(paths: list[str]) -> list[str]:
    place = Path(paths[0]).parent / "prompts.json" if paths else None
    return json.loads(place.read_text()) if place and place.is_file() else [""] * len(paths)


def _free(free: Document) -> str:
    if "diversity" not in free:
        return ""
    real = free["photos_nearness"]
    beside = "" if real is None else f", the photos to each other {real:.2f}"
    repeats = [f"{r['times']} of {r['pictures']} repeat the background of {escape(r['name'])}" for r in free["repeats"]]
    return (
        f'<p class="faint">Diversity {free["diversity"]:.2f} (the base {free["base_diversity"]:.2f}); nearness to its'
        f" photos {free['nearness']:.2f} (the base {free['base_nearness']:.2f}{beside}), by {escape(free['measure'])}."
        f" Backgrounds of photos repeated: {'; '.join(repeats) or 'none'}.</p>"
    )


def _base(told: Document) -> str:
    if not told["base_strips"]:
        return ""
    state = "equal to the bit before and after every lesson" if told["proved"] else "as it paints now"
    figures = "".join(_figure(s["path"], s["prompt"]) for s in told["base_strips"])
    inside = f'<div class="card"><div class="row"><span>{state}</span>{figures}</div>{_styles(told)}</div>'
    return f"<h2>The base: its categories and styles</h2>{inside}"


def _styles(told: Document) -> str:
    """The styles that are read less often than the base's own, by name."""
    if not (styles := told.get("styles")):
        return ""
    lost = [f"{escape(s)} {now:.0%} (the base {base:.0%})" for s, (base, now) in styles.items() if now < base]
    return f'<p class="faint">Styles that the judges read less often: {", ".join(lost) or "none"}.</p>'


def _notes(told: Document) -> str:
    pairs = next((row["pairs"] for row in told["concepts"] if row.get("pairs")), None)
    held = sum(bool(row["held_out"]) for row in told["concepts"])
    return (
        '<h2>How it was measured</h2><p class="faint">Fidelity: paired denoising loss on photos of the concept'
        f" ({pairs or 'no'} pairs of time and noise; for {held} of {len(told['concepts'])} concepts on a photo"
        " that the lesson did not see), where 0 is the base's loss and 1 the concept's own best."
        " Retention: fidelity now by fidelity after its own lesson. Base drift: paired pictures of prompts that name"
        " no concept. Shift of its categories: how much nearer “a dog” has come to the dogs that were taught.</p>"
    )


def _figure(path: str, caption: str = "") -> str:
    under = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escape(caption) or "photo"}" src="{inline(Path(path))}">{under}</figure>'


def inline(path: Path) -> str:
    """A picture as a data URL, no larger than it is shown on a dense screen."""
    data = BytesIO()
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((2 * THUMB, 2 * THUMB), Image.Resampling.LANCZOS)
        small.save(data, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _exact(value: float | None) -> str:
    return "n/a" if value is None else "0 exactly" if value == 0 else f"{value:+.3f}"


def picture(told: Document) -> Image.Image:
    """The same at a glance: the verdict, the heat map, and the newest strip of each concept."""
    rows = []
    for row in told["concepts"]:
        kept = "" if row["retention"] is None else f"\nretention {row['retention']:.2f}"
        label = f"{row['identifier']} {row['category']}{kept}"
        rows.append((label, row["strips"][-1]["paths"][:4] if row["strips"] else []))
    base = f"base drift {_exact(told['base_drift'])}, shift of categories {_exact(told['prior_shift'])}"
    foot = "1.00: as on the day it was taught; 0: what the base knew; n/a: not measurable"
    return heat.above(heat.draw(told, f"{told['model']}: {verdict(told)}", base), sheet(rows, foot=foot))
