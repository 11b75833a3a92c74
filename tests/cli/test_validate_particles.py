"""``gemmap validate`` with the particles of the maps, and of a run: cross-FSC, views, and what is refused."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gemmap as package
from gemmap.io.formats import read_particles
from gemmap.io.mrc import read_map, write_map, write_stack
from gemmap.io.relion_write import write_star31

FAST = ("--max-steps", 2, "--n-gaussians", 150, "--local-sampling", 40, "--threads", 1)
QUICK = ("--no-local-resolution", "--threads", 1, "-q")


@pytest.fixture(scope="module")
def run(gemmap: Callable, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validated") / "run"
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", folder, *FAST)
    assert outcome.code == 0, outcome.err
    return folder


def halves_of(run: Path) -> list[Path]:
    return [run / f"run_half{half}_class001_unfil.mrc" for half in (1, 2)]


def record_of(folder: Path) -> dict:
    return json.loads((folder / "validation.json").read_text())


def rewritten(simulated: Path, tmp_path: Path, **changes: object) -> Path:
    """The simulated particles with other columns."""
    loaded = read_particles(simulated / "particles.star")
    shutil.copy(simulated / "particles.mrcs", tmp_path / "particles.mrcs")
    write_star31(tmp_path / "changed.star", replace(loaded.table, **changes))
    return tmp_path / "changed.star"


def test_a_run_is_judged_as_it_was_when_it_ended(gemmap: Callable, run: Path, tmp_path: Path) -> None:
    outcome = gemmap("validate", run, "-o", tmp_path / "v", "--local-sampling", 40, "--threads", 1)
    assert outcome.code == 0, outcome.err
    job, again = json.loads((run / "job.json").read_text()), record_of(tmp_path / "v")
    before = job["results"]["validation"]
    for key in ("cfar", "sphericity", "local_resolution_a", "interval_95"):
        assert again[key] == before[key], key
        assert again["backprojections"][key] == before["backprojections"][key], key
    assert again["bfactor_a2"] == before["bfactor_a2"]
    assert again["resolutions"]["map"]["value_a"] == job["resolutions"]["map"]["value_a"]
    assert again["mask"]["name"] == "the run's mask"
    assert "fits that share a prior" in again["caution"]
    assert again["caution"] in outcome.out
    assert again["caution"] == before["caution"]
    for name, theirs in (("sharpened", "run_class001_sharpened"), ("locres", "locres"), ("mask", "mask")):
        ours, wanted = read_map(tmp_path / "v" / f"{name}.mrc")[0], read_map(run / f"{theirs}.mrc")[0]
        np.testing.assert_allclose(ours, wanted, atol=1e-6 * np.abs(wanted).max(), err_msg=name)
    assert (tmp_path / "v" / "views.csv").read_text() == (run / "views.csv").read_text()


def test_another_mask_and_no_particles_any_more(gemmap: Callable, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "particles.star").unlink()
    write_map(tmp_path / "mask.mrc", np.ones((40, 40, 40), np.float32), 6.0)
    outcome = gemmap("validate", tmp_path / "run", "-o", tmp_path / "v", "--mask", tmp_path / "mask.mrc", *QUICK)
    assert outcome.code == 0, outcome.err
    mask = record_of(tmp_path / "v")["mask"]
    assert (mask["name"], mask["fraction_of_box"], mask["touches_box"]) == ("mask given", 1.0, True)
    assert "particles.star is missing" in outcome.out
    assert not (tmp_path / "v" / "views.csv").exists()
    assert not (tmp_path / "v" / "locres.mrc").exists()


def test_particles_give_the_cross_fsc_of_any_half_maps(
    gemmap: Callable, run: Path, simulated: Path, tmp_path: Path
) -> None:
    """Their back-projections are the run's own, so all figures are."""
    particles = ("--particles", simulated / "particles.star", "--mask", run / "mask.mrc")
    outcome = gemmap("validate", *halves_of(run), *particles, "-o", tmp_path / "v", *QUICK)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("Resolution         ")
    assert "cross-FSC 0.5" in outcome.out.splitlines()[0]
    with open(tmp_path / "v" / "fsc.csv", newline="") as ours, open(run / "fsc.csv", newline="") as theirs:
        rows = list(zip(csv.DictReader(ours), csv.DictReader(theirs), strict=True))
    assert len(rows) == 21
    for name in ("cross_fsc_half_map", "cross_fsc_map", "backprojection_corrected", "half_maps_corrected"):
        found, wanted = ([float(row[i][name]) for row in rows] for i in (0, 1))
        np.testing.assert_allclose(found, wanted, atol=2e-3, err_msg=name)
    views = np.genfromtxt(tmp_path / "v" / "views.csv", delimiter=",", names=True)
    assert views["relative"].mean() == pytest.approx(1.0, abs=0.05)
    inputs = {Path(path).name for path in record_of(tmp_path / "v")["inputs"]}
    assert inputs >= {"particles.star", "particles.mrcs", "mask.mrc"}
    assert record_of(tmp_path / "v")["caution"] is None


def test_options_of_the_particles(gemmap: Callable, run: Path, simulated: Path, tmp_path: Path) -> None:
    def validated(name: str, *options: object) -> dict:
        particles = ("--particles", simulated / "particles.star")
        outcome = gemmap("validate", *halves_of(run), *particles, "-o", tmp_path / name, *QUICK, *options)
        assert outcome.code == 0, outcome.err
        return record_of(tmp_path / name)

    plain = validated("plain")
    assert validated("first", "--first", 100)["backprojections"] != plain["backprojections"]
    assert validated("sym", "--sym", "C3")["backprojections"] != plain["backprojections"]
    narrow = validated("narrow", "--particle-diameter", 120)
    assert narrow["backprojections"] != plain["backprojections"]
    assert validated("between", "--interpolate")["resolutions"].keys() - plain["resolutions"].keys() == {
        "masked_whole_shell"
    }
    assert validated("pixel", "--pixel-size", 5)["pixel_size_a"] == 5


def test_inverted_contrast_is_named(gemmap: Callable, run: Path, simulated: Path, tmp_path: Path) -> None:
    stack = read_particles(simulated / "particles.star").stack
    star = rewritten(simulated, tmp_path)
    write_stack(tmp_path / "particles.mrcs", -stack.read(np.arange(stack.n)), 6.0)
    outcome = gemmap("validate", *halves_of(run), "--particles", star, "-o", tmp_path / "v", *QUICK)
    assert outcome.code == 2
    assert "opposite contrast" in outcome.err
    assert "give --invert if the images show dark particles" in outcome.err
    assert not (tmp_path / "v").exists()
    right = gemmap("validate", *halves_of(run), "--particles", star, "--invert", "-o", tmp_path / "v", *QUICK)
    assert right.code == 0, right.err


def test_half_sets(gemmap: Callable, run: Path, simulated: Path, tmp_path: Path) -> None:
    table = read_particles(simulated / "particles.star").table

    def message(half: np.ndarray, *maps: Path) -> str:
        star = rewritten(simulated, tmp_path, half=half)
        shutil.rmtree(tmp_path / "v", ignore_errors=True)
        outcome = gemmap("validate", *(maps or halves_of(run)), "--particles", star, "-o", tmp_path / "v", *QUICK)
        return outcome.err if outcome.code else outcome.out

    assert "have no half-sets (rlnRandomSubset or alignments3D/split)" in message(np.zeros(200, np.int64))
    partly = table.half.copy()
    partly[:7] = 0
    assert "7 of 200 particles have no half-set" in message(partly)
    assert "exchange the two half-maps" in message(table.half, *halves_of(run)[::-1])
    other = np.random.default_rng(0).permutation(table.half)
    assert "made of another split" in message(other)


def test_what_does_not_fit_is_one_sentence(gemmap: Callable, run: Path, simulated: Path, tmp_path: Path) -> None:
    small = []
    for half in halves_of(run):
        small.append(tmp_path / half.name)
        write_map(small[-1], read_map(half)[0][4:-4, 4:-4, 4:-4], 6.0)
    odd = []
    for half in halves_of(run):
        odd.append(tmp_path / f"odd_{half.name}")
        write_map(odd[-1], read_map(half)[0][1:, 1:, 1:], 6.0)
    particles = ("--particles", simulated / "particles.star")
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ((*small, *particles), "40 px of 6 Å (240 Å) and the half-maps 32 px of 6 Å (192 Å)"),
        ((*odd, *particles), "39 px wide; expected an even box"),
        ((*halves_of(run), "--particles", tmp_path / "missing.star"), "missing.star cannot be read"),
        ((*halves_of(run), *particles, "--sym", "Td"), "mirrors or an inversion"),
        ((*halves_of(run), "--invert"), "--invert is for particles; give --particles"),
        ((run, *particles), "--particles is for half-maps"),
        ((halves_of(run)[0],), "there is no second half-map"),
        ((tmp_path / "empty",), "is no folder of a run"),
    ):
        outcome = gemmap("validate", *arguments, "-o", tmp_path / "out", *QUICK)
        assert outcome.code == 2, outcome.out
        assert words in " ".join(outcome.err.split())
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_an_unfinished_run_and_a_damaged_record(gemmap: Callable, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "mask.mrc").unlink()
    outcome = gemmap("validate", tmp_path / "run", "-o", tmp_path / "v")
    assert outcome.code == 2
    assert "mask.mrc is missing (the run is finished)" in outcome.err
    for text in ("no json", "[1]"):
        (tmp_path / "run" / "job.json").write_text(text)
        outcome = gemmap("validate", tmp_path / "run", "-o", tmp_path / "v")
        assert outcome.code == 2
        assert "is not the record of a run" in outcome.err


def test_maps_of_a_smaller_box_with_the_same_field_of_view(
    gemmap: Callable, run: Path, simulated: Path, tmp_path: Path
) -> None:
    """Images are Fourier-cropped to the box of the maps."""
    small = []
    for half in halves_of(run):
        spectrum = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(read_map(half)[0])))[5:35, 5:35, 5:35]
        small.append(tmp_path / half.name)
        cropped = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(spectrum)).real)
        write_map(small[-1], cropped.astype(np.float32), 8.0)
    out = tmp_path / "v"
    outcome = gemmap("validate", *small, "--particles", simulated / "particles.star", "-o", out, *QUICK)
    assert outcome.code == 0, outcome.err
    assert "Warning: " not in outcome.out
    assert "another split" not in outcome.out


def test_library(run: Path, simulated: Path, tmp_path: Path) -> None:
    options = package.ReadingOptions(simulated / "particles.star", first=150)
    done = package.validate_half_maps(*halves_of(run), tmp_path / "v", particles=options, n_threads=1)
    assert done.result.resolution.estimator == "cross-FSC"
    assert done.views is not None
    assert set(done.seconds) >= {"FSC curves", "sharpening"}
    again = package.validate_run(run, tmp_path / "r", n_threads=1)
    assert again.fitted
    assert again.result.backprojections is not None
