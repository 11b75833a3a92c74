"""The files of a validation: what they hold, and that what was not measured has none."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gemmap.io.mrc import read_map
from gemmap.io.star import read_star
from gemmap.report import directions_figure, local_figure
from gemmap.report.directions_figure import write_directions_figure
from gemmap.report.local_figure import write_local_figure
from gemmap.report.validation_files import VALIDATION_FILES, write_validation
from gemmap.report.validation_text import detail_lines, validation_lines, validation_record
from gemmap.validate.anisotropy import DirectionalFsc
from gemmap.validate.masks import spherical_mask
from gemmap.validate.postprocess import Maps, Postprocess, PostprocessOptions, postprocess
from gemmap.validate.views import Views, view_distribution

N, PIXEL_A = 32, 1.5
MASK = spherical_mask(N, 9.0, 4.0)
RNG = np.random.default_rng(5)
NOISE = RNG.standard_normal((2, N, N, N)).astype(np.float32)
SIGNAL = 3.0 * MASK * RNG.standard_normal((N, N, N)).astype(np.float32)
BACK = (SIGNAL + 2 * NOISE[0], SIGNAL + 2 * NOISE[1])
MAPS = Maps(SIGNAL + NOISE[0], SIGNAL + NOISE[1], PIXEL_A, MASK, "a sphere", BACK, SIGNAL + NOISE.mean(0))
VIEWS = view_distribution(np.linalg.qr(RNG.standard_normal((300, 3, 3)))[0])


@pytest.fixture(scope="module")
def result() -> Postprocess:
    return postprocess(MAPS, PostprocessOptions(sampling_a=8.0))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    saved: list = []
    for module in (local_figure, directions_figure):
        save = module.save_png
        monkeypatch.setattr(module, "save_png", lambda f, path, save=save: (saved.append(f), save(f, path)))
    return saved


def test_every_file_and_no_other(result: Postprocess, tmp_path: Path) -> None:
    write_validation(tmp_path, result, VIEWS, PIXEL_A, "sharp.mrc")
    assert {file.name for file in tmp_path.iterdir()} == {*VALIDATION_FILES, "sharp.mrc"} - {"fsc.png", "slices.png"}
    for name, wanted in (
        ("locres", result.half_maps.local.map), ("locres_backprojection", result.backprojections.local.map),
        ("locres_filtered", result.half_maps.local.filtered), ("sharp", result.sharpened.map), ("mask", MASK),
    ):  # fmt: skip
        np.testing.assert_array_equal(read_map(tmp_path / f"{name}.mrc")[0], wanted, err_msg=name)
    assert 'open "sharp.mrc"\nopen "locres.mrc"' in (tmp_path / "locres.cxc").read_text()
    with open(tmp_path / "direction.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for name, facts in (("", result.half_maps), ("_backprojection", result.backprojections)):
        found = [float(row[f"resolution{name}_a"]) for row in rows]
        np.testing.assert_allclose(found, facts.direction.resolutions_a, rtol=1e-5)
    views = np.genfromtxt(tmp_path / "views.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(views["views"], VIEWS.counts)


def test_the_star_file(result: Postprocess, tmp_path: Path) -> None:
    write_validation(tmp_path, result, None, PIXEL_A, "sharp.mrc")
    tables = read_star(tmp_path / "fsc.star")
    assert set(tables) == {"general", "fsc", "guinier", "gemmap"}
    general, guinier = tables["general"], result.sharpened.guinier
    for label, value in (
        ("rlnFinalResolution", result.half_maps.resolutions["masked"].value_a),
        ("rlnBfactorUsedForSharpening", result.sharpened.bfactor_a2), ("rlnFittedSlopeGuinierPlot", guinier.slope),
        ("rlnFittedInterceptGuinierPlot", guinier.intercept),
        ("rlnCorrelationFitGuinierPlot", guinier.correlation**2),
    ):  # fmt: skip
        assert float(general.strings(label)[0]) == pytest.approx(value, abs=1e-5), label
    curve = tables["fsc"].floats("rlnFourierShellCorrelationCorrected")
    np.testing.assert_allclose(curve, result.half_maps.fsc.corrected, atol=1e-6)
    np.testing.assert_allclose(tables["gemmap"].floats("gemmapFscSphericalMask"), result.half_maps.spherical, atol=1e-6)
    cross = tables["gemmap"].floats("gemmapCrossFscFinalMap")
    np.testing.assert_allclose(cross, result.assessment.cross.full, atol=1e-6)
    assert not (tmp_path / "views.csv").exists()


def test_what_was_not_measured_has_no_file_and_no_words(tmp_path: Path) -> None:
    noise = replace(MAPS, half1=NOISE[0], half2=-NOISE[0], backprojections=None)
    nothing = postprocess(noise, PostprocessOptions(sampling_a=None))
    write_validation(tmp_path, nothing, None, PIXEL_A, "sharp.mrc")
    assert {file.name for file in tmp_path.iterdir()} == {
        "mask.mrc", "fsc.csv", "fsc.star", "fsc.xml", "direction.csv", "directions.png",
    }  # fmt: skip
    assert set(read_star(tmp_path / "fsc.star")) == {"general", "fsc", "gemmap"}
    assert not any("Local" in label or "B-factor" in label for label, _ in validation_lines(nothing))
    record = validation_record(nothing, fitted=False)
    assert (
        record["sharpening"] is record["local_resolution_a"] is record["backprojections"] is record["caution"] is None
    )
    assert record["resolutions"]["masked"]["value_a"] is None  # JSON knows no infinity


def test_words_name_the_half_maps_and_beside_them_the_back_projections(result: Postprocess) -> None:
    lines = dict(detail_lines(result))
    medians = [np.median(facts.local_inside(MASK)) for facts in (result.half_maps, result.backprojections)]
    assert lines["Local resolution"].startswith(f"half-maps {medians[0]:.2f} Å (")
    assert f"; back-projections {medians[1]:.2f} Å (" in lines["Local resolution"]
    assert f"half-maps cFAR {result.half_maps.direction.cfar:.2f}" in lines["Direction"]
    assert validation_lines(result)[0] == ("Resolution", str(result.resolution))


def test_local_figure_colours_by_resolution_inside_the_mask_alone(tmp_path: Path, drawn: list) -> None:
    fine, coarse = np.full((N, N, N), 3.0, np.float32), np.full((N, N, N), 6.0, np.float32)
    density = (MASK + 0.1 * np.abs(NOISE[0])).astype(np.float32)
    write_local_figure(tmp_path / "l.png", {"a": fine, "b": coarse}, density, MASK)
    (figure,) = drawn
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 6
    middle = len(images[0]) // 2
    for ours, theirs in zip(images[:3], images[3:], strict=True):
        assert ours.shape == theirs.shape
        corner = ours[0, 0]
        assert corner[0] == corner[1] == corner[2]  # grey
        assert not np.allclose(ours[middle, middle], theirs[middle, middle])
        np.testing.assert_allclose(ours[0, 0], theirs[0, 0])
    labels = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert labels == ["a, median 3.00 Å", "b, median 6.00 Å"]


def test_directions_figure(tmp_path: Path, drawn: list, result: Postprocess) -> None:
    direction = result.half_maps.direction
    unresolved = DirectionalFsc(direction.axes, direction.curves, 0 * direction.shells, 1, N, PIXEL_A)
    write_directions_figure(tmp_path / "d.png", {"ours": direction, "nothing": unresolved}, VIEWS)
    write_directions_figure(tmp_path / "e.png", {"ours": direction}, None)
    first, second = drawn
    titles = [axes.get_title() for axes in first.axes if axes.get_title()]
    assert titles == ["views", f"ours, cFAR {direction.cfar:.2f}", f"nothing, cFAR {unresolved.cfar:.2f}"]
    assert [axes.get_title() for axes in second.axes if axes.get_title()] == titles[1:2]


def test_views_are_drawn_where_they_are(tmp_path: Path, drawn: list, result: Postprocess) -> None:
    """A peak at +x is at the right rim, and at the left one, its opposite."""
    peak = np.where(np.abs(VIEWS.directions[:, 0]) > 0.97, 10.0, 0.0)
    views = Views(VIEWS.directions, peak.astype(int), peak)
    write_directions_figure(tmp_path / "d.png", {"ours": result.half_maps.direction}, views)
    mesh = drawn[0].axes[0].collections[0]
    triangulation = mesh._triangulation
    high = mesh.get_array() > 5.0
    x, y = triangulation.x[high], triangulation.y[high]
    assert np.abs(y).max() < 0.3
    assert x.max() > 0.9
    assert x.min() < -0.9
    assert np.abs(x).min() > 0.7
