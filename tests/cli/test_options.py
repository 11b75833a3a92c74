"""Every option of ``gemmap reconstruct`` does something that can be seen."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer.main
import yaml

from gemmap.api.options import ReconstructionOptions
from gemmap.cli.main import app
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.schedule import Schedule
from gemmap.io.formats import read_particles
from gemmap.io.mrc import write_map

DEFAULT_STEPS = FitConfig.max_steps

pytestmark = pytest.mark.usefixtures("quick_fit")


@pytest.fixture
def reconstruct(gemmap: Callable, particles: Path, tmp_path: Path, quick_fit: list) -> Callable:
    """Run with options on the copied particles; returns the arguments that the fit got."""

    def run(*options: object, of: Path = particles) -> tuple:
        outcome = gemmap("reconstruct", of, "-o", tmp_path / "run", "--overwrite", *options)
        assert outcome.code == 0, outcome.err
        return quick_fit[-1]

    return run


def test_the_command_has_every_option_and_no_other() -> None:
    command = typer.main.get_command(app).commands["reconstruct"]
    names = {parameter.name for parameter in command.params}
    about_the_run = {"output", "resume", "config", "overwrite", "dry_run", "verbose", "quiet"}
    assert names == {f.name for f in fields(ReconstructionOptions)} | about_the_run
    defaults = {parameter.name: parameter.default for parameter in command.params}
    for f in fields(ReconstructionOptions):
        if f.name not in ("particles", "passthrough"):
            assert defaults[f.name] == f.default, f.name


def test_fit_options_reach_the_fit(reconstruct: Callable) -> None:
    _, _, default, mask = reconstruct()
    assert (default.particle_diameter_a, default.n_gaussians, default.max_steps, default.seed) == (
        None,
        None,
        DEFAULT_STEPS,
        0,
    )
    assert mask is None
    _, _, config, _ = reconstruct("--particle-diameter", 150, "--n-gaussians", 77, "--max-steps", 3, "--seed", 4)
    assert (config.particle_diameter_a, config.n_gaussians, config.max_steps, config.seed) == (150.0, 77, 3, 4)
    assert config.device == default.device


def test_symmetry_reaches_the_fit_and_the_plan(reconstruct: Callable, tmp_path: Path) -> None:
    assert reconstruct()[2].symmetry == "C1"
    assert "Symmetry" not in (tmp_path / "run" / "run.log").read_text()
    assert reconstruct("--sym", "d3")[2].symmetry == "D3"
    assert "D3, 6 views per particle" in (tmp_path / "run" / "run.log").read_text()
    assert json.loads((tmp_path / "run" / "job.json").read_text())["config"]["sym"] == "D3"


def test_dihedral_groups_of_cryosparc_are_named(reconstruct: Callable, simulated: Path, tmp_path: Path) -> None:
    for name in ("particles.cs", "particles.mrcs"):
        shutil.copy(simulated / name, tmp_path / name)
    for sym, said in (("D3", True), ("D3y", False), ("D2", False)):
        reconstruct("--sym", sym, of=tmp_path / "particles.cs")
        assert ("give --sym D3y" in (tmp_path / "run" / "run.log").read_text()) == said


def test_the_engine_and_its_options_reach_the_fit(reconstruct: Callable) -> None:
    default = reconstruct()[2]
    assert (default.schedule, default.shape) == (None, "free")
    assert reconstruct("--shape", "round")[2].shape == "round"
    assert reconstruct("--engine", "images")[2].schedule == Schedule()
    options = ("--epochs", 7, "--batch-size", 5, "--loss", "mse", "--start", "random", "--rate", 0.5)
    assert reconstruct("--engine", "images", *options)[2].schedule == Schedule(7, 5, "mse", "random", 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", 2), "epochs is an option of the images engine; add --engine images or leave it out"),
        (("--loss", "mse"), "loss is an option of the images engine"),
        (("--sym", "Td"), "The symmetry Td has mirrors or an inversion"),
        (("--sym", "3"), "The symmetry is '3'; expected C1, C2, .., D2, D3, .., T, O, I, or I1 to I4"),
        (("--engine", "images", "--epochs", 0), "Number of epochs is 0; expected at least 1"),
        (("--engine", "images", "--batch-size", 10**6), "A batch of 1000000 images was asked for, but there are"),
        (("--engine", "neural"), "'neural' is not one of 'aggregate', 'images'"),
    ],
)
def test_options_that_do_not_fit(
    gemmap: Callable, particles: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "refused", *options)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.replace("│", " ").split())
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"engine": "neural"}, "The engine is 'neural'; expected aggregate or images"),
        ({"shape": "cube"}, "The shape is 'cube'; expected free or axis-aligned or round or fixed"),
        ({"engine": "images", "loss": "l1"}, "The loss is 'l1'; expected whitened or mse"),
        ({"engine": "images", "start": "far"}, "The start is 'far'; expected aggregate or random"),
    ],
)
def test_words_that_python_does_not_check(option: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReconstructionOptions(particles=None, **option)


def test_reading_options(reconstruct: Callable, particles: Path, simulated: Path, tmp_path: Path) -> None:
    table, stack, _, _ = reconstruct()
    image = stack.read(np.array([0]))
    assert len(reconstruct("--first", 30)[0]) == 30
    np.testing.assert_array_equal(reconstruct("--invert")[1].read(np.array([0])), -image)
    assert reconstruct("--no-ctf")[0].ctf is None
    assert reconstruct("--pixel-size", 5.5)[0].pixel_size_a == 5.5
    np.savez(tmp_path / "ind.npz", ind=np.arange(50, 90))
    chosen = reconstruct("--ind", tmp_path / "ind.npz")[0]
    np.testing.assert_array_equal(chosen.index_in_stack, np.arange(50, 90))

    pickles = ("--poses", simulated / "poses.pkl", "--ctf", simulated / "ctf.pkl")
    by_pickle = reconstruct(*pickles, of=simulated / "particles.mrcs")[0]
    np.testing.assert_allclose(by_pickle.rotations, table.rotations, atol=1e-5)
    log = (tmp_path / "run" / "run.log").read_text()
    assert "drawn at random with seed 0" in log
    assert json.loads((tmp_path / "run" / "job.json").read_text())["seeds"]["half_sets"] == 0

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "particles.mrcs").rename(elsewhere / "particles.mrcs")
    assert len(reconstruct("--datadir", elsewhere)[0]) == 200
    text = particles.read_text().replace("@particles.mrcs", "@old/place/particles.mrcs")
    particles.write_text(text)
    assert len(reconstruct("--datadir", elsewhere, "--strip-prefix", "old/place/")[0]) == 200


def test_passthrough(reconstruct: Callable, simulated: Path, tmp_path: Path) -> None:
    whole = np.load(simulated / "particles.cs")
    poses = [name for name in whole.dtype.names if name == "uid" or name.startswith("alignments3D")]
    rest = [name for name in whole.dtype.names if name not in poses[1:]]
    for name, columns in (("main.cs", rest), ("pass.cs", poses)):
        with open(tmp_path / name, "wb") as handle:
            np.save(handle, whole[columns].astype([(c, whole.dtype[c]) for c in columns]))
    table = reconstruct("--passthrough", tmp_path / "pass.cs", of=tmp_path / "main.cs")[0]
    np.testing.assert_allclose(table.rotations, read_particles(simulated / "particles.star").table.rotations, atol=1e-5)


def test_mask_is_fitted_in_and_used_for_the_curves(reconstruct: Callable, tmp_path: Path) -> None:
    mask = np.zeros((40, 40, 40), np.float32)
    mask[10:30, 10:30, 10:30] = 1
    write_map(tmp_path / "my.mrc", mask, 6.0)
    np.testing.assert_array_equal(reconstruct("--mask", tmp_path / "my.mrc")[3], mask)
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert job["resolutions"]["map"]["mask"] == "the mask given"
    assert str(tmp_path / "my.mrc") in [entry["path"] for entry in job["inputs"]]


def test_threads_and_device_are_recorded(reconstruct: Callable, tmp_path: Path) -> None:
    import torch

    reconstruct("--threads", 1, "--device", "cpu")
    assert torch.get_num_threads() == 1
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert (job["config"]["threads"], job["config"]["device"]) == (1, "cpu")
    reconstruct()
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))


def test_aggregates_only_if_asked_for(reconstruct: Callable, tmp_path: Path) -> None:
    reconstruct("--save-aggregates")
    assert len(list((tmp_path / "run").glob("aggregate*"))) == 2
    reconstruct()
    assert not list((tmp_path / "run").glob("aggregate*"))


def test_overwrite_replaces_ours_and_spares_the_rest(reconstruct: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("notes.txt", "aggregate_half1.safetensors", "run_class001.mrc"):
        (folder / name).write_text("old")
    reconstruct()
    assert (folder / "notes.txt").read_text() == "old"
    assert not (folder / "aggregate_half1.safetensors").exists()
    assert (folder / "run_class001.mrc").stat().st_size > 1000


def test_config_file_and_flags_that_win(reconstruct: Callable, gemmap: Callable, tmp_path: Path) -> None:
    reconstruct("--seed", 3, "--max-steps", 9, "--first", 100)
    kept = tmp_path / "kept.yaml"
    shutil.copy(tmp_path / "run" / "config.yaml", kept)
    outcome = gemmap("reconstruct", "--config", kept, "-o", tmp_path / "second", "--max-steps", DEFAULT_STEPS)
    assert outcome.code == 0, outcome.err
    config = yaml.safe_load((tmp_path / "second" / "config.yaml").read_text())
    # The default, but typed: it wins over the file.
    assert (config["seed"], config["max_steps"], config["first"]) == (3, DEFAULT_STEPS, 100)
    assert config["particles"] == str(tmp_path / "particles.star")


def test_dry_run_tells_the_plan_and_writes_nothing(
    gemmap: Callable, particles: Path, tmp_path: Path, quick_fit: list
) -> None:
    before = sorted(tmp_path.iterdir())
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", "--dry-run")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        "Particles", "Images", "Half-sets", "Device", "Memory",
    ]  # fmt: skip
    assert sorted(tmp_path.iterdir()) == before
    assert not quick_fit


def test_quiet_says_the_result_only_and_verbose_more(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    lines = {}
    for option in ("-q", "", "-v"):
        words = [option] if option else []
        outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", "--overwrite", *words)
        assert outcome.code == 0, outcome.err
        lines[option] = outcome.out.splitlines()
    assert len(lines["-q"]) == 6
    assert lines["-q"][0].startswith("Resolution")
    assert len(lines["-q"]) < len(lines[""]) < len(lines["-v"])
    assert any(f"max_steps: {DEFAULT_STEPS}" in line for line in lines["-v"])


def test_notes_of_the_reader_are_on_screen_and_in_the_record(reconstruct: Callable, gemmap: Callable, particles: Path,
                                                              tmp_path: Path) -> None:  # fmt: skip
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", "--pixel-size", 5.5)
    assert "Note: Pixel size 5.5 Å was given" in outcome.out
    assert any("5.5" in note for note in json.loads((tmp_path / "run" / "job.json").read_text())["notes"])


def test_stack_names_in_particles_star_lead_to_the_stacks(
    reconstruct: Callable, particles: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "particles.mrcs").rename(away / "other.mrcs")
    text = particles.read_text().replace("@particles.mrcs", "@other.mrcs")
    particles.write_text(text)
    reconstruct("--datadir", away)
    again = read_particles(tmp_path / "run" / "particles.star")
    assert again.stack.paths == (away / "other.mrcs",)
