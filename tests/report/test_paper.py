"""Figures for papers, judged from their files: sizes, letters, lines, fonts, resolution, and what they show."""

import itertools
import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import ellipsoid, write_mrc, write_run, write_table

from gemmap.errors import FormatError, InputError
from gemmap.report.canvas import print_style
from gemmap.report.paper.recipes import RECIPES, Missing, draw
from gemmap.report.paper.sizes import FORMATS, WIDTHS_MM, listed, require_dpi, width_mm
from gemmap.report.paper.source import open_results, stated_resolution
from gemmap.report.paper.write import write_figures

POINT_MM = 25.4 / 72
STATED = {
    "value_a": 10.5, "threshold": 0.5, "estimator": "cross-FSC", "mask": "soft mask from the map", "at_nyquist": False,
    "shell": 12.19, "text": "10.50 Å", "interval": {"better_a": 10.1, "worse_a": 11.2},
}  # fmt: skip


def write_whole_run(folder: Path, **changes: Any) -> Path:
    """A run folder in which no figure lacks anything."""
    write_run(folder, **{"resolutions": {"map": STATED}, **changes})
    write_mrc(folder / "locres_backprojection.mrc", 11.0 + 4.0 * (1 - ellipsoid()))
    along = np.genfromtxt(folder / "direction.csv", delimiter=",", names=True)
    axes = np.column_stack([along[name] for name in "xyz"])
    columns = [along["resolution_a"], along["area"], along["resolution_a"] + 2, along["area"] - 1]
    names = ["x", "y", "z", "resolution_a", "area", "resolution_backprojection_a", "area_backprojection"]
    write_table(folder / "direction.csv", names, np.column_stack([axes, *columns]))
    density = np.column_stack([axes, np.arange(64), 0.5 + np.arange(64) / 64])
    write_table(folder / "views.csv", ["x", "y", "z", "views", "relative"], density)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole_run(tmp_path_factory.mktemp("paper") / "run1")


@pytest.fixture(scope="module")
def single(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All figures in one column, at few dots per inch."""
    folder = tmp_path_factory.mktemp("figures") / "single"
    assert write_figures(run, folder, dpi=150).missing == ()
    return folder


def test_every_figure_in_every_format_and_no_other_file(single: Path) -> None:
    assert {path.name for path in single.iterdir()} == {f"{name}.{kind}" for name in RECIPES for kind in FORMATS}


def pdf_size_mm(path: Path) -> tuple[float, float]:
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", path.read_bytes())
    return float(box[1]) * POINT_MM, float(box[2]) * POINT_MM


@pytest.mark.parametrize(("width", "wanted_mm"), [("single", 85.0), ("174mm", 174.0)])
def test_files_have_the_size_in_millimetres(run: Path, tmp_path: Path, width: str, wanted_mm: float) -> None:
    write_figures(run, tmp_path, width_mm=width_mm(width), dpi=200, only=["fsc", "slices"])
    for name in ("fsc", "slices"):
        wide, high = pdf_size_mm(tmp_path / f"{name}.pdf")
        assert wide == pytest.approx(wanted_mm, abs=0.05)
        head = (tmp_path / f"{name}.svg").read_text()
        found = [
            float(re.search(rf'<svg [^>]*{side}="([\d.]+)pt"', head)[1]) * POINT_MM for side in ("width", "height")
        ]
        assert found == pytest.approx((wide, high), abs=0.05)
        png = (tmp_path / f"{name}.png").read_bytes()
        pixels = struct.unpack(">II", png[16:24])
        assert pixels[0] / 200 * 25.4 == pytest.approx(wanted_mm, abs=0.3)
        assert high < 247  # a page


def test_png_files_say_how_many_dots_per_inch_they_have(single: Path) -> None:
    for path in single.glob("*.png"):
        data = path.read_bytes()
        place = data.index(b"pHYs")
        x, y, unit = struct.unpack(">IIB", data[place + 4 : place + 13])
        assert unit == 1  # per metre
        assert (x, y) == pytest.approx((150 / 0.0254, 150 / 0.0254), abs=1)


def test_pdf_files_hold_truetype_fonts_and_none_of_type_3(single: Path) -> None:
    for path in single.glob("*.pdf"):
        data = path.read_bytes()
        assert re.search(rb"/Subtype ?/Type3", data) is None, path.name
        assert re.search(rb"/Subtype ?/CIDFontType2", data), path.name
        # Every description of a font has its letters with it.
        assert len(re.findall(rb"/FontFile2 \d+ 0 R", data)) == len(re.findall(rb"/Type ?/FontDescriptor", data)) > 0


def test_letters_are_text_of_5_to_8_points_and_lines_no_hair(single: Path) -> None:
    for path in single.glob("*.svg"):
        text = path.read_text()
        assert "<text" in text, path.name
        sizes = {float(size) for size in re.findall(r"font(?:-size)?:[^;\"]*?([\d.]+)px", text)}
        assert sizes, path.name
        assert min(sizes) >= 5.0, path.name
        assert max(sizes) <= 8.0, path.name
        widths = {float(width) for width in re.findall(r"stroke-width: ([\d.]+)", text)}
        assert min(widths, default=1.0) >= 0.25, path.name
        # Letters that are no text would be read by nobody: outlines are drawn for none.
        assert "<use" not in re.sub(r'<use [^>]*xlink:href="#m', "", text), path.name


@pytest.mark.parametrize("name", list(WIDTHS_MM))
@pytest.mark.parametrize("figure_name", list(RECIPES))
def test_everything_is_inside_and_every_panel_has_data(run: Path, figure_name: str, name: str) -> None:
    style = print_style(WIDTHS_MM[name])
    figure = draw(figure_name, open_results(run), style)
    assert not isinstance(figure, Missing)
    with style.applied():
        figure.canvas.draw()
        box = figure.get_tightbbox()
    wide, high = figure.get_size_inches()
    assert wide == pytest.approx(WIDTHS_MM[name] / 25.4)
    # No letter is cut off by the edge.
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= wide + 0.01
    assert box.y1 <= high + 0.01
    for axes in figure.axes:
        is_second_axis = axes.get_xlabel() == "Resolution (Å)"
        drawn = [line for line in axes.lines if np.ptp(line.get_xdata()) > 0 and np.ptp(line.get_ydata()) > 0]
        assert is_second_axis or drawn or axes.images or axes.collections or axes.patches
        for image in axes.images:
            assert np.ptp(np.asarray(image.get_array(), float)) > 0
        for first, second in itertools.combinations([t for t in axes.get_xticklabels() if t.get_text()], 2):
            low, high_ = axes.get_xlim()
            if low <= first.get_position()[0] < second.get_position()[0] <= high_:
                assert first.get_window_extent().x1 < second.get_window_extent().x0


def test_the_fsc_figure_names_threshold_and_mask_and_marks_crossing_and_interval(run: Path) -> None:
    figure = draw("fsc", open_results(run), print_style(85.0))
    axes = figure.axes[0]
    title = " ".join(axes.get_title(loc="left").split())
    assert title == "10.50 Å (95 %: 10.10 to 11.20 Å; cross-FSC 0.5, soft mask from the map)"
    frequency = 12.19 / (32 * 4.0)
    (mark,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((frequency, 0.5))
    (band,) = [patch for patch in axes.patches if patch.get_label() == "_interval"]
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((1 / 11.2, 1 / 10.1))
    names = {line.get_label() for line in axes.lines}
    assert {"final map, cross-FSC", "half-maps, soft mask (corrected)", "back-projection, no mask"} <= names
    curve = next(line for line in axes.lines if line.get_label() == "final map, cross-FSC")
    np.testing.assert_allclose(curve.get_ydata(), np.exp(-np.arange(17) / 4.0), atol=1e-6)
    np.testing.assert_allclose(curve.get_xdata(), np.arange(17) / 128.0)


def test_an_interval_without_end_and_a_map_without_resolution_can_be_drawn(tmp_path: Path) -> None:
    open_end = {**STATED, "interval": {"better_a": 10.1, "worse_a": None}}
    figure = draw("fsc", open_results(write_whole_run(tmp_path / "a", resolutions={"map": open_end})), print_style(85))
    (band,) = [patch for patch in figure.axes[0].patches if patch.get_label() == "_interval"]
    assert band.get_x() == 0
    nothing = {**STATED, "value_a": None, "shell": 0, "interval": {"better_a": None, "worse_a": None}}
    figure = draw("fsc", open_results(write_whole_run(tmp_path / "b", resolutions={"map": nothing})), print_style(85))
    assert figure.axes[0].get_title(loc="left").startswith("not resolved")


def test_slices_show_half_maps_map_and_sharpened_map_with_a_scale_bar(run: Path) -> None:
    figure = draw("slices", open_results(run), print_style(174.0))
    assert [axes.get_title() for axes in figure.axes[:4]] == ["half-map 1", "half-map 2", "map", "sharpened map"]
    corner = figure.axes[8]
    (bar,) = corner.lines
    (label,) = corner.texts
    assert np.ptp(bar.get_xdata()) * 4.0 == pytest.approx(float(label.get_text().removesuffix(" Å")))


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_figures(run, tmp_path / name, dpi=150, only=["fsc"])
    for kind in FORMATS:
        assert (tmp_path / "a" / f"fsc.{kind}").read_bytes() == (tmp_path / "b" / f"fsc.{kind}").read_bytes()


def test_what_is_missing_is_left_out_and_said(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for name in ("locres.mrc", "direction.csv", "views.csv"):
        (folder / name).unlink()
    (folder / "fsc.csv").write_text("a,b\nno,table\n")
    done = write_figures(folder, tmp_path / "out", formats=["svg"])
    assert [path.name for path in done.files] == ["slices.svg", "guinier.svg", "fits.svg"]
    reasons = dict(done.missing)
    assert reasons["locres"] == "locres.mrc is not there"
    assert "not a table" in reasons["fsc"]
    with pytest.raises(InputError, match=r"The figure locres cannot be drawn: locres\.mrc is not there; leave"):
        write_figures(folder, tmp_path / "none", only=["locres"])
    assert not (tmp_path / "none").exists()


def test_a_validation_can_be_drawn(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    folder.mkdir()
    for name in ("fsc.star", "direction.csv", "mask.mrc", "locres.mrc"):
        shutil.copy(run / name, folder / name)
    shutil.copy(run / "run_class001_sharpened.mrc", folder / "sharpened.mrc")
    shells = np.arange(17)
    frequency = shells / 128.0
    with np.errstate(divide="ignore"):
        frame = [shells, 1 / frequency, frequency]
    names = ["shell", "resolution_a", "spatial_frequency", "unmasked", "masked", "phase_randomised", "corrected"]
    write_table(folder / "fsc.csv", names, np.column_stack([*frame, *(np.exp(-shells / k) for k in (4, 5, 1, 5))]))
    masked = {**STATED, "estimator": "half-map FSC", "threshold": 0.143, "interval": None}
    record = {"resolutions": {"masked": masked}, "interval_95": {"better_a": 9.9, "worse_a": 12.0}, "box_px": 32}
    (folder / "validation.json").write_text(json.dumps(record))
    done = write_figures(folder, formats=["pdf"])
    names = [path.stem for path in done.files]
    assert names == ["fsc", "slices", "locres", "directions", "guinier"]
    assert {path.parent for path in done.files} == {folder / "figures"}
    stated = stated_resolution(open_results(folder))
    assert stated.threshold == 0.143
    assert stated.interval.worse_a == 12.0


@pytest.mark.parametrize(
    ("text", "wanted_mm"), [("single", 85), ("double", 174), ("89mm", 89), ("8.9 cm", 89), ("3.5in", 88.9)]
)
def test_widths(text: str, wanted_mm: float) -> None:
    assert width_mm(text) == pytest.approx(wanted_mm)


@pytest.mark.parametrize("text", ["", "wide", "89", "-5mm", "8mm", "500mm", "nanmm", "1e9mm", "89 furlongs"])
def test_widths_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match=r"The width is .*; expected single, one-and-a-half, double, or a length"):
        width_mm(text)


def test_lists_of_names_keep_their_order_and_refuse_others() -> None:
    assert listed("png, PDF,png", FORMATS, "format") == ("pdf", "png")
    with pytest.raises(InputError, match="The format is 'eps'; expected some of pdf, svg, png"):
        listed("pdf,eps", FORMATS, "format")
    with pytest.raises(InputError, match="The format is empty"):
        listed(" ,", FORMATS, "format")


@pytest.mark.parametrize("dpi", [0, 149, 1201])
def test_resolutions_that_no_journal_takes(dpi: int) -> None:
    with pytest.raises(InputError, match=f"The resolution is {dpi} dots per inch; expected 150 to 1200"):
        require_dpi(dpi)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder; give"):
        open_results(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds neither a run \(job\.json\) nor a validation \(validation\.json\)"):
        open_results(tmp_path)
    (tmp_path / "validation.json").write_text("[]")
    with pytest.raises(FormatError, match="is not the record"):
        open_results(tmp_path)


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run1", status="running")
    with pytest.raises(InputError, match=r'is not finished, its status is "running"; finish it with .* --resume'):
        write_figures(folder, tmp_path / "out")


def test_pictures_of_the_run_are_not_replaced(run: Path) -> None:
    with pytest.raises(InputError, match="is the folder of the results"):
        write_figures(run, run)
