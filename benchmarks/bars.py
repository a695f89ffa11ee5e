"""Shares with their errors, as bars."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

INK, FAINT, BAR = (30, 30, 34), (150, 150, 156), ((70, 110, 170), (205, 125, 60))
LEFT, WIDE, HIGH, GAP = 300, 420, 16, 12


def bars(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], names: Sequence[str], title: str) -> Image.Image:
    """An RGB picture: of each row its shares in [0, 1] with their deviations, one bar for each of `names`."""
    text, large = (ImageFont.load_default(size) for size in (14, 18))
    step = len(names) * HIGH + GAP
    made = Image.new("RGB", (LEFT + WIDE + 90, 96 + step * len(rows)), "white")
    pen = ImageDraw.Draw(made)
    pen.text((12, 10), title, font=large, fill=INK)
    for k, name in enumerate(names):
        pen.rectangle((LEFT + 130 * k, 48, LEFT + 130 * k + 12, 60), fill=BAR[k])
        pen.text((LEFT + 130 * k + 18, 54), name, font=text, fill=INK, anchor="lm")
    for tenth in range(0, 11, 2):
        x = LEFT + WIDE * tenth / 10
        pen.line((x, 72, x, 76 + step * len(rows)), fill=(228, 228, 230))
        pen.text((x, 80 + step * len(rows)), f"{10 * tenth} %", font=text, fill=FAINT, anchor="ma")
    for number, (label, shares) in enumerate(rows):
        top = 76 + number * step
        pen.text((LEFT - 10, top + len(names) * HIGH / 2), label, font=text, fill=INK, anchor="rm")
        for k, (share, error) in enumerate(shares):
            y, end = top + k * HIGH, LEFT + WIDE * share
            pen.rectangle((LEFT, y + 1, end, y + HIGH - 2), fill=BAR[k])
            low, high = (LEFT + WIDE * min(max(share + sign * error, 0), 1) for sign in (-1, 1))
            pen.line((low, y + HIGH / 2, high, y + HIGH / 2), fill=INK, width=2)
            pen.text((max(end, high) + 6, y + HIGH / 2), f"{share:.0%}", font=text, fill=INK, anchor="lm")
    return made
