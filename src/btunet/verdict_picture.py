"""A picture of a verdict: a line for every held-out stroke, from what was right without pre-training to what with it.

An SVG is text, which any browser shows and a figure can take over; no other package is needed to draw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

if TYPE_CHECKING:
    from .verdict import Judged, Verdict

PANEL, LEFT, TOP, HEIGHT, BOTTOM = 170, 60, 70, 220, 50  # pixels
INSET = 45  # pixels from a panel's side to its values
BETTER, WORSE, EVEN = "#0072b2", "#d55e00", "#999999"  # Okabe and Ito's, told apart by colour-blind people


def picture(verdict: Verdict) -> str:
    """Return an SVG with a panel for every class: strokes as thin lines, their mean as a thick one."""
    kinds = sorted({stroke.kind for stroke in verdict.judged})
    width, height = max(LEFT + PANEL * len(kinds), 560), TOP + HEIGHT + BOTTOM
    marks = [_mark(f"{share:.0%}", LEFT - 8, _y(share) + 4, "end") for share in (0, 0.5, 1)]
    panels = [
        line
        for n, kind in enumerate(kinds)
        for line in _panel(LEFT + PANEL * n, verdict.classes[kind], [s for s in verdict.judged if s.kind == kind])
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            _mark(verdict.describe(), 12, 22, "start", size=14),
            _mark("share of each held-out stroke that is right", 12, 42, "start"),
            *marks,
            *panels,
            "</svg>",
            "",
        ]
    )


def _panel(left: int, name: str, judged: Sequence[Judged]) -> list[str]:
    """Draw the strokes of one class."""
    pairs = [(float(np.mean(s.without)), float(np.mean(s.pretrained))) for s in judged]
    middle = (float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs])))
    ends = left + INSET, left + PANEL - INSET
    return [
        f'<rect x="{left}" y="{TOP}" width="{PANEL - 10}" height="{HEIGHT}" fill="none" stroke="#cccccc"/>',
        _mark(name, left + (PANEL - 10) // 2, TOP - 8, "middle"),
        *(_line(ends, pair, 1.2, 0.55) for pair in pairs),
        _line(ends, middle, 4, 1),
        _mark("random", ends[0], TOP + HEIGHT + 18, "middle"),
        _mark("pre-trained", ends[1], TOP + HEIGHT + 18, "middle"),
    ]


def _line(ends: tuple[int, int], pair: tuple[float, float], width: float, opacity: float) -> str:
    colour = BETTER if pair[1] > pair[0] else WORSE if pair[1] < pair[0] else EVEN
    return (
        f'<line x1="{ends[0]}" y1="{_y(pair[0]):.1f}" x2="{ends[1]}" y2="{_y(pair[1]):.1f}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-opacity="{opacity}" stroke-linecap="round"/>'
    )


def _y(share: float) -> float:
    """Return where a share lies, pixels from the top."""
    return TOP + 8 + (HEIGHT - 16) * (1 - share)


def _mark(text: str, x: float, y: float, anchor: str, size: int = 12) -> str:
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
