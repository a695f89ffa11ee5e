"""The figures of docs/samplers.md, filled from benchmarks/samplers.json: nobody copies a number.

    python -m benchmarks.guide [--page FILE] [--figures FILE]

What stands in the page between `<!-- NAME -->` and `<!-- end -->` is made here: tables, and the guide's claims, each
kept or refuted on the exact mixture and on the embedded painter by a rule that is written beside it.
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from remembrandt.report import write_atomic

PAGE, FIGURES = Path("docs/samplers.md"), Path("benchmarks/samplers.json")
ANCESTRAL = ("euler-a", "dpm2-a", "dpm2-a-karras", "dpmpp-2s-a", "dpmpp-2s-a-karras")
USUAL = "usual"


@dataclass(frozen=True)
class Figures:
    """What one bench found: `part` is "mixture" or "painter" of the file."""

    found: Mapping[str, Any]
    exact: bool

    @cached_property
    def rows(self) -> dict[str, Mapping[str, Any]]:
        return {row["name"]: row for row in self.found["samplers"]}

    def order(self, name: str) -> float:
        return self.rows[name]["order"]

    def error(self, name: str, calls: int) -> float | None:
        """The error of the sampler as it is used, at the most calls up to so many."""
        fair = [p for p in self.rows[name]["used"] if p["calls"] <= calls]
        return max(fair, key=lambda p: p["calls"])["error"] if fair else None

    def quality(self, name: str, calls: int | str) -> float | None:
        return self.rows[name]["quality"].get(str(calls))

    def fine(self, name: str, calls: int | str) -> bool:
        """Whether the pictures are as good as they get: the data's own, or the best sampler's, give or take two
        deviations."""
        mine = self.quality(name, calls)
        if mine is None:
            return False
        if self.exact:
            return mine <= 1 + 2 * self.found["chance"]
        best = max(q for row in self.rows.values() for q in row["quality"].values() if q)
        return mine >= best - 2 * self.chance(best)

    def chance(self, share: float) -> float:
        """The deviation of a share of so many prompts; that of one miss at least."""
        count = self.found["prompts"]
        return max((share * (1 - share) / count) ** 0.5, 1 / count)

    def told(self, name: str, calls: int | str) -> str:
        found = self.quality(name, calls)
        if found is None:
            return "–"
        return short(found) if self.exact else f"{found:.0%}"


def short(number: float) -> str:
    """Two digits, without an exponent."""
    return f"{number:.0f}" if number >= 99.5 else f"{number:.2g}" if number >= 0.001 else f"{number:.1g}"


Judged = tuple[bool, str]  # whether the claim is kept, and by which figures


def _errors(f: Figures, pairs: Sequence[tuple[str, int]]) -> tuple[list[float], str]:
    """Errors at so many calls, and how they are told."""
    each = [f.error(*pair) or float("inf") for pair in pairs]
    told = ", ".join(f"`{name}` {short(e)}" for (name, _), e in zip(pairs, each, strict=True))
    return each, f"error at {pairs[0][1]} calls: {told}"


def ancestral(f: Figures) -> Judged:
    orders = [f.order(name) for name in ANCESTRAL]
    return max(orders) <= 0.5, f"orders {min(orders):z.2f} to {max(orders):z.2f}"


def only_ancestral(f: Figures) -> Judged:
    names = ("dpmpp-sde", "dpmpp-sde-karras")
    orders = [f.order(name) for name in names]
    return min(orders) > 0.5, f"DPM++ SDE adds noise as well: order {orders[0]:z.2f}"


def finer(f: Figures) -> Judged:
    pairs = [(f"{name}{levels}", 20) for name in ("dpmpp-2m", "dpm2", "lms") for levels in ("", "-karras")]
    each, told = _errors(f, pairs)
    return all(b < a for a, b in zip(each[::2], each[1::2], strict=True)), told


def outdated(f: Figures) -> Judged:
    each, told = _errors(f, [("plms", 20), ("ddim", 20), ("dpmpp-2m-karras", 20)])
    return min(each[:2]) > each[2], told


def second(f: Figures) -> Judged:
    each, told = _errors(f, [("dpm2", 20), ("euler", 20)])
    return each[0] < each[1], told


def plusplus(f: Figures) -> Judged:
    each, told = _errors(f, [("dpmpp-2m-karras", 20), ("dpm2-karras", 20)])
    return each[0] < each[1], told


def adaptive(f: Figures) -> Judged:
    [used] = f.rows["dpm-adaptive"]["used"]
    other = f.error("dpmpp-2m-karras", 20) or 0.0
    told = f"{used['calls']:.0f} calls for an error of {short(used['error'])}; `dpmpp-2m-karras` {short(other)} for 20"
    return used["calls"] > 20 and other < used["error"], told


def few(f: Figures) -> Judged:
    return f.fine("unipc", 10), f"quality {f.told('unipc', 10)} at 10 calls, {f.told('unipc', 5)} at 5"


def usual_choice(f: Figures) -> Judged:
    told = f"quality {f.told('dpmpp-2m-karras', 20)} at 20, order {f.order('dpmpp-2m-karras'):z.2f}"
    return f.fine("dpmpp-2m-karras", 20) and f.order("dpmpp-2m-karras") > 0.5, told


def euler_and_heun(f: Figures) -> Judged:
    told = f"quality at 20 calls: Euler {f.told('euler', 20)}, Heun in 10 steps {f.told('heun', 20)}"
    return f.fine("euler", 20) and f.fine("heun", 20), told


def best(f: Figures) -> Judged:
    rivals = [name for name in f.rows if "sde" not in name and f.fine(name, 20)]
    told = f"quality at 20 calls {f.told('dpmpp-sde', 20)} and {f.told('dpmpp-sde-karras', 20)}"
    return not rivals, f"{told}; as good as it gets there: {len(rivals)} others"


def eight(f: Figures) -> Judged:
    return f.fine("dpmpp-sde-karras", USUAL), f"quality in 10 steps {f.told('dpmpp-sde-karras', USUAL)}"


def sketching(f: Figures) -> Judged:
    return f.fine("ddim", 10), f"quality in 10 steps {f.told('ddim', 10)}, in 20 {f.told('ddim', 20)}"


#: What the guide says, and the rule that keeps or refutes it.
CLAIMS: dict[str, Callable[[Figures], Judged]] = {
    'ancestral samplers ("a") do not converge': ancestral,
    'samplers with "a" are the stochastic ones': only_ancestral,
    "Karras levels are better (2M, DPM2 and LMS, all three)": finer,
    "DDIM and PLMS are out of date": outdated,
    "DPM2 is more accurate than first order, call for call": second,
    "DPM++ improves on DPM": plusplus,
    "DPM adaptive can be slow": adaptive,
    "UniPC paints well in 5 to 10 steps": few,
    "DPM++ 2M Karras, 20 to 30 steps: fast, settled, good": usual_choice,
    "Euler and Heun are fine; fewer steps for Heun": euler_and_heun,
    "DPM++ SDE paints best": best,
    "DPM++ SDE Karras paints well in 8 to 12 steps": eight,
    "DDIM, 10 to 15 steps, where settling does not matter": sketching,
}


def claims(found: Mapping[str, Any]) -> str:
    lines = ["| the guide says | on exact data | on the embedded painter |", "|---|---|---|"]
    for words, rule in CLAIMS.items():
        cells = []
        for f in benches(found):
            kept, told = rule(f) if f else (False, "")
            verdict = f"**{'kept' if kept else 'refuted'}**: {told}"
            cells.append(verdict if told and "–" not in told else "not measured yet")
        lines.append(f"| {words} | {' | '.join(cells)} |")
    if "together" in found:
        most = max(found["together"]["of_each"][name] for name in ANCESTRAL)
        told = f"same seed and steps, alone or among twenty: {short(most)} grey levels apart at most"
        verdict = "refuted" if most <= 0.1 else "kept"
        lines.append(f"| avoid ancestral samplers for pictures that can be made again | | **{verdict}**: {told} |")
    return "\n".join(lines)


def benches(found: Mapping[str, Any]) -> list[Figures | None]:
    """The mixture, and the painter if it was measured whole."""
    parts = [(found.get(name), name == "mixture") for name in ("mixture", "painter")]
    return [Figures(part, exact) if part and "bench" in part else None for part, exact in parts]


def errors(f: Figures | None) -> str:
    if not f:
        return "Not measured yet."
    calls = sorted({round(p["calls"]) for p in f.rows["euler"]["used"]})
    lines = [f"| sampler | order | {' | '.join(f'{n} calls' for n in calls)} |", "|---" * (len(calls) + 2) + "|"]
    for name, row in f.rows.items():
        told = f"{f.order(name):z.2f}"
        if "own_order" in row and f.exact:
            told += f"; {row['own_order']:z.2f} on its own path"
        cells = [short(e) if (e := f.error(name, n)) is not None else "–" for n in calls]
        if name == "dpm-adaptive":
            [used] = row["used"]
            cells = [f"{short(used['error'])} in {used['calls']:.0f} calls", *[""] * (len(calls) - 1)]
        lines.append(f"| `{name}` | {told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def quality(found: Mapping[str, Any]) -> str:
    keys = ("5", "10", "20", "40", USUAL)
    some = [f for f in benches(found) if f]
    heads = [f"{'exact' if f.exact else 'painter'}, {k if k == USUAL else f'{k} calls'}" for f in some for k in keys]
    lines = [f"| sampler | usual steps | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for name, row in some[0].rows.items() if some else ():
        lines.append(f"| `{name}` | {row['steps']} | {' | '.join(f.told(name, k) for f in some for k in keys)} |")
    said = []
    for f in some:
        if f.exact:
            said.append(f"Exact data: 1, give or take {short(f.found['chance'])}, is as good as the data themselves.")
        else:
            said.append(f"Painter: {f.found['prompts']} unseen prompts, one miss is {1 / f.found['prompts']:.0%}.")
    return "\n".join([*lines, "", " ".join(said)])


def batch(found: Mapping[str, Any]) -> str:
    if not (told := found.get("together")):
        return "Not measured yet."
    gap = told["grey_levels_apart"]
    return (
        f"{told['requests']} requests, each with another sampler at its usual steps, in one batch: on average"
        f" {gap['mean']:.2g} grey levels from what each paints alone ({gap['within 2']:.2%} of all values within 2),"
        f" in {told['ratio']:.2f} of the time that they take one after another (fp32, threads:"
        f" {told['hardware']['threads']})."
    )


def made(found: Mapping[str, Any]) -> dict[str, str]:
    """What stands between the marks."""
    exact, painter = benches(found)
    return {
        "errors": errors(exact), "errors-painter": errors(painter), "quality": quality(found),
        "claims": claims(found), "together": batch(found),
    }  # fmt: skip


def filled(page: str, parts: Mapping[str, str]) -> str:
    """The page with each part between its marks; `ValueError` if it has no place for one, or several."""
    for name, text in parts.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, times = mark.subn(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)
        if times != 1:
            raise ValueError(f"the page has {times} places for {name!r}")
    return page


def fill(page: Path, parts: Mapping[str, str]) -> None:
    write_atomic(page, filled(page.read_text(), parts))


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.guide", description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    asked = parser.parse_args()
    fill(asked.page, made(json.loads(asked.figures.read_text())))


if __name__ == "__main__":
    main()
