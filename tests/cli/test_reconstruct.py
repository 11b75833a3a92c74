"""``gemmap reconstruct`` with the real fit on a few hundred tiny particles: every file, and what it says."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import yaml

import gemmap as package
from gemmap.io.formats import read_particles
from gemmap.validate.fsc import fsc, masked_transform, relion_fsc_of_transforms

MAPS = {
    "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc", "run_class001.mrc", "backprojection_half1.mrc",
    "backprojection_half2.mrc", "backprojection.mrc", "voxels_half1.mrc", "voxels_half2.mrc", "voxels.mrc",
    "mask.mrc", "run_class001_sharpened.mrc", "locres.mrc", "locres_backprojection.mrc", "locres_filtered.mrc",
}  # fmt: skip
OTHERS = {
    "gaussians_half1.safetensors", "gaussians_half2.safetensors", "gaussians.safetensors", "fsc.csv", "fsc.png",
    "slices.png", "noise.csv", "job.json", "config.yaml", "command.txt", "run.log", "README.txt", "particles.star",
    "report.html",
    "fsc.star", "fsc.xml", "locres.cxc", "locres.png", "direction.csv", "directions.png", "views.csv", "held_out.csv",
}  # fmt: skip
AGGREGATES = {"aggregate_half1.safetensors", "aggregate_half2.safetensors"}
FAST = ("--max-steps", 3, "--n-gaussians", 200)


@pytest.fixture(scope="module")
def run(gemmap: Callable, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder; what was printed lies beside it as screen.txt."""
    folder = tmp_path_factory.mktemp("reconstructed") / "run1"
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", folder, "--save-aggregates", *FAST)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    (folder.parent / "screen.txt").write_text(outcome.out)
    return folder


def test_files_are_exactly_these(run: Path) -> None:
    assert {file.name for file in run.iterdir()} == MAPS | OTHERS | AGGREGATES
    listed = {line.split()[0] for line in (run / "README.txt").read_text().splitlines()[2:]}
    assert listed == (MAPS | OTHERS | AGGREGATES) - {"README.txt"}
    modes = {file.stat().st_mode for file in run.iterdir()}
    assert len(modes) == 1  # whoever may read one file may read all


@pytest.mark.parametrize("name", sorted(MAPS))
def test_maps_are_mode_2_with_voxel_size_and_origin_0(run: Path, name: str) -> None:
    with mrcfile.open(run / name, permissive=False) as mrc:
        assert mrc.header.mode == 2
        assert mrc.data.shape == (40, 40, 40)
        assert mrc.is_volume()
        assert [mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z] == pytest.approx([6, 6, 6])
        assert [mrc.header.origin.x, mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart] == [0, 0, 0, 0]
        assert np.isfinite(mrc.data).all()
        assert mrc.data.std() > 0


def test_the_map_shows_the_structure(run: Path, simulated: Path) -> None:
    curve = fsc(mrcfile.read(run / "run_class001.mrc"), mrcfile.read(simulated / "truth.mrc"))
    assert curve[1:10].min() > 0.7


def test_the_record(run: Path, simulated: Path) -> None:
    job = json.loads((run / "job.json").read_text())
    assert job["status"] == "finished"
    assert job["argv"][:2] == ["gemmap", "reconstruct"]
    assert job["config"]["max_steps"] == 3
    assert job["config"]["device"] in ("cpu", "cuda")
    assert job["config"]["threads"] >= 1
    inputs = {Path(entry["path"]).name: entry["size_bytes"] for entry in job["inputs"]}
    assert inputs == {name: (simulated / name).stat().st_size for name in ("particles.star", "particles.mrcs")}
    assert set(job["seeds"]) == {"seed", "fit_half1", "fit_half2", "fit_full", "random_phases"}
    assert job["seeds"]["fit_half1"] != job["seeds"]["fit_half2"]
    assert job["results"]["halves_from_file"] is True
    assert job["results"]["n_half1"] + job["results"]["n_half2"] == job["results"]["n_particles"] == 200
    assert {"reading", "validation", "validation: local resolution, half-maps", "total"} <= set(job["seconds"])
    assert job["peak_memory_bytes"] > 1e8
    assert job["software"]["gemmap"] == package.__version__
    assert set(job["resolutions"]) == {
        "map", "half_maps_masked", "half_maps_unmasked", "backprojection_masked", "backprojection_unmasked",
    }  # fmt: skip
    assert job["resolutions"]["map"]["estimator"] == "cross-FSC"
    assert job["resolutions"]["map"]["threshold"] == 0.5
    assert job["resolutions"]["map"]["mask"] == "soft mask from the map"
    assert {job["resolutions"][name]["threshold"] for name in job["resolutions"] if name != "map"} == {0.143}


def test_screen_and_log(run: Path) -> None:
    screen = (run.parent / "screen.txt").read_text()
    log = (run / "run.log").read_text()
    lines = screen.splitlines()
    assert "\r" not in screen
    assert "\x1b" not in screen
    assert lines[0].startswith("Particles          200 of ")
    assert any(line.startswith("Memory") and "needed" in line for line in lines[:6])
    assert any(line.startswith("Half-sets") and line.endswith("from the file") for line in lines)
    first = next(i for i, line in enumerate(lines) if line.startswith("Resolution"))
    result = [line.split()[0] for line in lines[first:] if not line.startswith("Warning")]
    assert result == [
        "Resolution",
        "half-maps",
        "back-projection",
        "Local",
        "Direction",
        "Held-out",
        "Particles",
        "Cost",
        "Open",
        "Report",
    ]
    assert "cross-FSC" in lines[first]
    # No shell lies between 10 Å and Nyquist.
    warnings = [line.split(maxsplit=1)[1] for line in lines[first:] if line.startswith("Warning")]
    assert any("A B-factor cannot be fitted" in text for text in warnings)
    assert set(warnings) <= set(json.loads((run / "job.json").read_text())["notes"])
    assert (
        lines[first].split("  ")[-1] == " " + json.loads((run / "job.json").read_text())["resolutions"]["map"]["text"]
    )
    assert "particles/s" in lines[-3]
    assert "peak memory" in lines[-3]
    assert lines[-2].endswith(f"chimerax {run}/run_class001.mrc")
    assert lines[-1].endswith(f" {run}/report.html")
    for line in (*lines[:5], *lines[first:-3]):
        assert line in log


def test_the_record_holds_how_the_fits_went(run: Path) -> None:
    results = json.loads((run / "job.json").read_text())["results"]
    for name, fit in results["fits"].items():
        assert [step["step"] for step in fit["steps"]] == list(range(fit["n_steps"] + 1))
        assert {step["n_gaussians"] for step in fit["steps"]} == {fit["n_gaussians"]}
        assert fit["steps"][-1]["loss"] < fit["steps"][0]["loss"], name
    for half in ("half1", "half2"):
        scores = dict(results["trial_scores"][half])
        assert list(scores) == [0, 2]
        assert results["details"][f"held_out_score_{half}"] in scores.values()


def test_curves(run: Path) -> None:
    with open(run / "fsc.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 21
    curves = {
        f"{of}_{kind}"
        for of in ("half_maps", "backprojection")
        for kind in ("unmasked", "masked", "phase_randomised", "corrected")
    }
    assert set(rows[0]) == {
        "shell",
        "resolution_a",
        "spatial_frequency",
        "cross_fsc_map",
        "cross_fsc_half_map",
        "half_bit",
        "half_maps_spherical",
        "backprojection_spherical",
        *curves,
    }
    halves = (mrcfile.read(run / f"run_half{half}_class001_unfil.mrc") for half in (1, 2))
    wanted = relion_fsc_of_transforms(*(masked_transform(half) for half in halves))
    np.testing.assert_allclose([float(row["half_maps_unmasked"]) for row in rows], wanted, atol=2e-6)
    with open(run / "noise.csv", newline="") as handle:
        noise = list(csv.DictReader(handle))
    assert len(noise) == 21
    assert all(float(value) > 0 for row in noise for value in row.values() if value not in ("0", "0.000000"))


def test_the_particles_as_used_read_back(run: Path, simulated: Path) -> None:
    # The run is not in the project of its particles: what it names lies outside.
    used, original = (
        read_particles(run / "particles.star", allow_outside=True),
        read_particles(simulated / "particles.star"),
    )
    np.testing.assert_allclose(used.table.rotations, original.table.rotations, atol=1e-7)
    np.testing.assert_array_equal(used.table.half, original.table.half)
    np.testing.assert_array_equal(used.stack.read(np.arange(2)), original.stack.read(np.arange(2)))


def test_aggregates_load_and_add(run: Path) -> None:
    half1, half2 = (package.load_aggregate(run / f"aggregate_half{half}.safetensors") for half in (1, 2))
    total = half1 + half2
    assert total.n_particles == 200
    np.testing.assert_array_equal(total.weight, half1.weight + half2.weight)
    assert half1.box_px == 40
    assert half1.pixel_size_a == pytest.approx(6)


def test_gaussians_load(run: Path) -> None:
    stored = package.load_gaussians(run / "gaussians.safetensors")
    assert (stored.box_px, stored.pixel_size_a) == (40, pytest.approx(6))
    assert 0 < len(stored.gaussians) <= 200


def test_the_config_given_back_gives_the_same_maps(gemmap: Callable, run: Path, tmp_path: Path) -> None:
    outcome = gemmap("reconstruct", "--config", run / "config.yaml", "-o", tmp_path / "again")
    assert outcome.code == 0, outcome.err
    for name in sorted(MAPS):
        np.testing.assert_array_equal(mrcfile.read(tmp_path / "again" / name), mrcfile.read(run / name), err_msg=name)
    again, first = (yaml.safe_load((f / "config.yaml").read_text()) for f in (tmp_path / "again", run))
    assert again == first
    assert (tmp_path / "again" / "command.txt").read_text().splitlines()[1].startswith("gemmap reconstruct --config ")


def test_half_1_knows_nothing_of_half_2(gemmap: Callable, run: Path, simulated: Path, tmp_path: Path) -> None:
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy(simulated / name, tmp_path / name)
    half = read_particles(tmp_path / "particles.star").table.half
    with mrcfile.mmap(tmp_path / "particles.mrcs", "r+") as mrc:
        rng = np.random.default_rng(0)
        mrc.data[half == 2] = rng.standard_normal(mrc.data[half == 2].shape).astype(np.float32) * 3
    outcome = gemmap("reconstruct", tmp_path / "particles.star", "-o", tmp_path / "run", *FAST)
    assert outcome.code == 0, outcome.err
    for kind in ("run_half{}_class001_unfil.mrc", "backprojection_half{}.mrc", "voxels_half{}.mrc"):
        same, changed = (mrcfile.read(tmp_path / "run" / kind.format(half)) for half in (1, 2))
        np.testing.assert_array_equal(same, mrcfile.read(run / kind.format(1)), err_msg=kind)
        assert not np.array_equal(changed, mrcfile.read(run / kind.format(2)))
