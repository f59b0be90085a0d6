from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_btunet import demo
from napari_btunet._sample import draw_nuclei


def test_strokes_lie_inside_their_class() -> None:
    _, mask = draw_nuclei()
    strokes = demo.draw_strokes(mask)
    assert sorted(strokes) == list(demo.PLANES)
    for plane, painted in strokes.items():
        assert set(np.unique(painted)) == {0, 1, 2}
        assert not mask[plane][painted == 1].any()
        assert mask[plane][painted == 2].all()
        assert (painted > 0).mean() < 0.03, "a few strokes, not a dense mask"


def test_the_loop_without_a_window_leaves_masks_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "draw_nuclei", lambda: draw_nuclei(planes=30, side=96, count=12))
    demo.main(["--no-window", "--out", str(tmp_path), "--minutes", "0.05"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nuclei_masks.tif", "overlay.png"]
    assert "Dice against the drawn truth: 0." in capsys.readouterr().out
