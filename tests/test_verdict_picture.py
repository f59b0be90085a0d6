"""The picture of a verdict shows every stroke, and where the classes stand."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from btunet.verdict import Judged, Verdict, verdict_of
from btunet.verdict_picture import BETTER, EVEN, WORSE, picture

SVG = "{http://www.w3.org/2000/svg}"


def verdict(*shares: tuple[int, float, float]) -> Verdict:
    """Return a verdict on strokes, each given by its class and shares without and with pre-training."""
    strokes = [Judged("a", 0, n, 0, kind, 0, (a, a), (b, b)) for n, (kind, a, b) in enumerate(shares)]
    return verdict_of(strokes, ("background", "R&D <cells>"))


def drawn(found: Verdict) -> ElementTree.Element:
    return ElementTree.fromstring(picture(found))


def test_every_stroke_is_a_line_from_without_to_with() -> None:
    lines = drawn(verdict((0, 0.2, 0.9), (0, 0.4, 0.4), (0, 0.8, 0.1))).findall(f"{SVG}line")
    thin = [line for line in lines if line.get("stroke-width") != "4"]
    assert [line.get("stroke") for line in thin] == [BETTER, EVEN, WORSE]
    ends = [(float(line.get("y1", 0)), float(line.get("y2", 0))) for line in thin]
    assert ends[0][0] > ends[0][1]  # a larger share lies higher
    assert ends[1][0] == ends[1][1]
    assert ends[2][0] < ends[2][1]


def test_every_class_has_its_panel_and_its_mean() -> None:
    root = drawn(verdict((0, 0.0, 1.0), (0, 0.5, 0.5), (1, 1.0, 0.0), (1, 1.0, 0.0)))
    means = [line for line in root.findall(f"{SVG}line") if line.get("stroke-width") == "4"]
    assert [line.get("stroke") for line in means] == [BETTER, WORSE]
    assert float(means[1].get("x1", 0)) > float(means[0].get("x2", 0))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"background", "R&D <cells>", "random", "pre-trained", "0%", "100%"} <= set(texts)


@pytest.mark.parametrize("found", [verdict(), verdict((0, 0.2, 0.9), (0, 0.2, 0.9))])
def test_the_sentence_stands_above(found: Verdict) -> None:
    assert found.describe() in [text.text for text in drawn(found).iter(f"{SVG}text")]
