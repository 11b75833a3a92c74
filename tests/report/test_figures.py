"""Figures by their content: what was drawn, read from the figure and from the pixels."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import OutputError
from gemmap.report import figures
from gemmap.report.figures import FscCurve, write_fsc_figure, write_slices_figure
from gemmap.validate.resolution import Resolution

N, PIXEL_SIZE_A = 64, 1.5
RESOLUTION = Resolution(4.0, 0.143, "half-map FSC", "soft mask", False, 24.0)


def falling(width: float) -> np.ndarray:
    return np.exp(-((np.arange(N // 2 + 1) / width) ** 2))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Figures saved during the test, kept for inspection."""
    saved = []
    save = figures.save_png

    def keep(figure: object, path: Path) -> None:
        saved.append(figure)
        save(figure, path)

    monkeypatch.setattr(figures, "save_png", keep)
    return saved


def test_fsc_figure_shows_curves_thresholds_resolution_and_both_axes(tmp_path: Path, drawn: list) -> None:
    curves = [FscCurve("no mask", falling(12)), FscCurve("soft mask", falling(16), dashed=True)]
    write_fsc_figure(tmp_path / "fsc.png", curves, N, PIXEL_SIZE_A, RESOLUTION)
    assert (tmp_path / "fsc.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [file.name for file in tmp_path.iterdir()] == ["fsc.png"]
    (figure,) = drawn
    axes, top = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["no mask"].get_xdata(), np.arange(N // 2 + 1) / (N * PIXEL_SIZE_A))
    np.testing.assert_array_equal(lines["no mask"].get_ydata(), falling(12))
    assert lines["no mask"].get_linestyle() == "-"
    assert lines["soft mask"].get_linestyle() == "--"
    assert lines["no mask"].get_color() != lines["soft mask"].get_color()
    heights = [line.get_ydata()[0] for line in axes.lines if np.ptp(line.get_ydata()) == 0]
    assert {0.143, 0.5} <= set(heights)
    assert axes.get_title(loc="left") == "4.00 Å (half-map FSC 0.143, soft mask)"
    marked = [
        line.get_xdata()[0]
        for line in axes.lines
        if list(line.get_ydata())[-1:] == [0.143] and len(line.get_xdata()) == 2
    ]
    assert pytest.approx(0.25) in marked
    assert axes.get_xlim() == pytest.approx((0, 1 / 3))
    for tick, label in zip(top.get_xticks(), top.get_xticklabels(), strict=True):
        assert tick == pytest.approx(1 / float(label.get_text()))
    assert top.get_xlim() == axes.get_xlim()
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"no mask", "soft mask"}


@pytest.mark.parametrize("pixel_size_a", [0.3, 1.0, 14.56])
def test_ticks_in_angstrom_do_not_collide(tmp_path: Path, drawn: list, pixel_size_a: float) -> None:
    write_fsc_figure(tmp_path / "fsc.png", [FscCurve("a", falling(12))], N, pixel_size_a)
    top = drawn[0].axes[1]
    assert len(top.get_xticks()) >= 3
    renderer = drawn[0].canvas.get_renderer()
    boxes = [label.get_window_extent(renderer) for label in top.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_negative_curves_stay_inside_and_the_not_resolved_are_not_marked(tmp_path: Path, drawn: list) -> None:
    unresolved = Resolution(math.inf, 0.143, "half-map FSC", "no mask", False, 0.0)
    write_fsc_figure(tmp_path / "fsc.png", [FscCurve("a", -falling(12) / 2)], N, PIXEL_SIZE_A, unresolved)
    axes = drawn[0].axes[0]
    assert axes.get_ylim()[0] < -0.5
    assert axes.get_title(loc="left").startswith("not resolved")
    assert not any(line.get_marker() == "^" for line in axes.lines)


def test_slices_are_the_central_planes_with_one_grey_scale(tmp_path: Path, drawn: list) -> None:
    n = 20
    rng = np.random.default_rng(0)
    maps = {name: rng.standard_normal((n, n, n)).astype(np.float32) for name in ("half 1", "half 2", "map", "bp")}
    maps["bp"] *= 50  # one noisy map must not wash out the others
    write_slices_figure(tmp_path / "slices.png", maps, 2.0)
    images = [axes.get_images()[0] for axes in drawn[0].axes]
    assert len(images) == 12
    assert {image.get_clim() for image in images} == {images[0].get_clim()}
    assert images[0].get_clim()[1] < 10
    for column, volume in enumerate(maps.values()):
        for row, plane in enumerate((volume[10], volume[:, 10], volume[:, :, 10])):
            np.testing.assert_array_equal(images[4 * row + column].get_array(), plane)
    assert [axes.get_title() for axes in drawn[0].axes[:4]] == list(maps)
    assert [drawn[0].axes[4 * row].get_ylabel() for row in range(3)] == ["xy", "xz", "yz"]


@pytest.mark.parametrize(("pixel_size_a", "length_a"), [(1.0, 5.0), (2.0, 10.0), (4.0, 20.0), (0.1, 0.5)])
def test_scale_bar_has_the_length_it_says(tmp_path: Path, drawn: list, pixel_size_a: float, length_a: float) -> None:
    write_slices_figure(tmp_path / "slices.png", {"map": np.random.default_rng(0).random((20, 20, 20))}, pixel_size_a)
    axes = drawn[0].axes[2]
    (bar,) = axes.lines
    assert np.ptp(bar.get_xdata()) * pixel_size_a == pytest.approx(length_a)
    assert axes.texts[0].get_text() == f"{length_a:g} Å"
    assert axes.get_xlim() == (-0.5, 19.5)


def test_a_diameter_crops_about_the_centre(tmp_path: Path, drawn: list) -> None:
    volume = np.zeros((33, 33, 33), np.float32)
    volume[16, 16, 16] = 1
    write_slices_figure(tmp_path / "slices.png", {"map": volume}, 2.0, particle_diameter_a=20.0)
    for axes in drawn[0].axes:
        image = axes.get_images()[0].get_array()
        assert image.shape == (15, 15)  # 2 * ceil(0.65 * 10) + 1
        assert image[7, 7] == 1


def test_a_constant_map_and_a_tiny_box_can_be_drawn(tmp_path: Path) -> None:
    write_slices_figure(tmp_path / "slices.png", {"map": np.zeros((1, 1, 1), np.float32)}, 1.0)
    assert (tmp_path / "slices.png").is_file()


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write"):
        write_fsc_figure(tmp_path / "absent" / "fsc.png", [FscCurve("a", falling(9))], N, PIXEL_SIZE_A)
    assert list(tmp_path.iterdir()) == []


def test_neither_import_nor_drawing_loads_pyplot(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, numpy as np; from gemmap.report.figures import FscCurve, write_fsc_figure\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"write_fsc_figure(pathlib.Path({str(tmp_path / 'f.png')!r}), [FscCurve('a', np.ones(5))], 8, 1.0)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
