"""The drawing of both mechanisms."""

import pytest

pytest.importorskip("matplotlib")

from fastloss.demo import mechanisms


@pytest.mark.parametrize("convention", ["exact", "seed"])
def test_the_figure_is_drawn(convention, tmp_path, capsys):
    from matplotlib.image import imread

    output = tmp_path / "figure.png"
    mechanisms.main(["--output", str(output), "--convention", convention])
    assert f"below {9 if convention == 'exact' else 8} queries" in capsys.readouterr().out
    pixels = imread(output)
    assert pixels.shape[1] > 1000
    assert pixels.std() > 0.05
