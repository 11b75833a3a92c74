"""Every option of ``gemmap reconstruct`` does something that can be seen."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
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
from gemmap.io.cs_write import write_cs
from gemmap.io.formats import read_particles
from gemmap.io.mrc import write_map, write_stack
from gemmap.io.relion_write import write_star31
from gemmap.particles.optics_group import OpticsGroup
from gemmap.physics.resampling import resample_images
from gemmap.physics.zernike import odd_from_cubic

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
    about_watching = {"live", "live_port", "live_host", "live_stay"}
    assert names == {f.name for f in fields(ReconstructionOptions)} | about_the_run | about_watching
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
        (("--local-sampling", 0), "The windows of local resolution are 0 Å apart; expected more than 0"),
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


def test_choices_about_what_the_file_says(reconstruct: Callable, particles: Path, tmp_path: Path) -> None:
    loaded = read_particles(particles).table
    assert loaded.ctf is not None
    ctf = replace(loaded.ctf, bfactor_a2=np.full(200, -20.0))
    write_star31(particles, replace(loaded, ctf=ctf, class_of=np.arange(200) % 2 + 1))
    assert reconstruct()[0].ctf.bfactor_a2[0] == -20.0
    assert reconstruct("--bfactor-sign", "damping")[0].ctf.bfactor_a2[0] == 20.0
    np.testing.assert_array_equal(reconstruct("--class", 2)[0].index_in_stack, np.arange(1, 200, 2))

    group = replace(loaded.optics[0], odd_zernike=odd_from_cubic(100.0, 0.0, 0.0, 0.0))
    write_cs(tmp_path / "particles.cs", replace(loaded, optics=(group,), optics_group=np.zeros(200, int)))
    tilted = reconstruct("--cs-aberrations", "model", of=tmp_path / "particles.cs")[0].optics[0]
    np.testing.assert_allclose(tilted.odd_zernike, group.odd_zernike, rtol=1e-5)
    plain = reconstruct("--cs-aberrations", "ignore", of=tmp_path / "particles.cs")[0].optics[0]
    assert plain.odd_zernike == ()


def test_shifts_in_a_file_of_their_own(reconstruct: Callable, simulated: Path, tmp_path: Path) -> None:
    with open(simulated / "poses.pkl", "rb") as handle:
        rotations, shifts = pickle.load(handle)
    np.savez(tmp_path / "rot.npz", rot=rotations)
    np.savez(tmp_path / "trans.npz", trans=shifts)
    files = ("--poses", tmp_path / "rot.npz", "--trans", tmp_path / "trans.npz", "--ctf", simulated / "ctf.pkl")
    table = reconstruct(*files, of=simulated / "particles.mrcs")[0]
    wanted = read_particles(simulated / "particles.star").table
    np.testing.assert_allclose(table.shifts_a, wanted.shifts_a, atol=1e-4)


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


def test_working_size(reconstruct: Callable, gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    as_read, whole, _, _ = reconstruct()
    for options, box in ((("--box", 24), 24), (("--target-pixel-size", 9), 26), (("--max-resolution", 18), 30)):
        table, stack, _, _ = reconstruct(*options)
        assert (stack.box_px, stack.read(np.array([3])).shape) == (box, (1, box, box))
        assert table.pixel_size_a == pytest.approx(6.0 * 40 / box)
        np.testing.assert_array_equal(table.shifts_a, as_read.shifts_a)
        assert stack.read(np.array([3])).mean() == pytest.approx(whole.read(np.array([3])).mean(), abs=1e-5)
    assert "30 px, 8 Å per pixel (read: 40 px, 6 Å)" in (tmp_path / "run" / "run.log").read_text()
    # The particles are written as they are on disk.
    assert read_particles(tmp_path / "run" / "particles.star").table.pixel_size_a == pytest.approx(6.0)
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "no", "--box", 24, "--max-resolution", 18)
    assert (outcome.code, "both choose the working size" in outcome.err) == (2, True)


def test_optics_groups_of_different_boxes(reconstruct: Callable, particles: Path, tmp_path: Path) -> None:
    """The second half of the particles, extracted at two thirds of the sampling."""
    whole = read_particles(particles)
    images = whole.stack.read(np.arange(200))
    write_stack(tmp_path / "a.mrcs", images[:120], 6.0)
    write_stack(tmp_path / "b.mrcs", resample_images(images[120:], 30), 8.0)
    group = np.repeat([0, 1], [120, 80])
    table = replace(
        whole.table, optics=(OpticsGroup("a", 6.0, 40), OpticsGroup("b", 8.0, 30)), optics_group=group, stack_of=group,
        index_in_stack=np.r_[:120, :80], stacks=("a.mrcs", "b.mrcs"),
    )  # fmt: skip
    write_star31(tmp_path / "mixed.star", table)
    framed, stack, _, _ = reconstruct(of=tmp_path / "mixed.star")
    assert [(g.box_px, g.pixel_size_a, g.first_empty_shell) for g in framed.optics] == [(40, 6.0, None), (40, 6.0, 15)]
    got = stack.read(np.array([150, 3]))
    np.testing.assert_allclose(got[0], resample_images(resample_images(images[[150]], 30), 40)[0], atol=1e-5)
    np.testing.assert_array_equal(got[1], images[3])
    log = (tmp_path / "run" / "run.log").read_text()
    assert "40 px, 6 Å per pixel (read: 120 of 40 px, 6 Å; 80 of 30 px, 8 Å)" in log
    assert "80 images have a smaller box than 40 px and are padded" in log
    again = read_particles(tmp_path / "run" / "particles.star")
    assert [(g.box_px, g.pixel_size_a) for g in again.table.optics] == [(40, 6.0), (30, 8.0)]


def test_mask_of_the_images_own_box_is_resampled(reconstruct: Callable, tmp_path: Path) -> None:
    mask = np.zeros((40, 40, 40), np.float32)
    mask[10:30, 10:30, 10:30] = 1
    write_map(tmp_path / "my.mrc", mask, 6.0)
    got = reconstruct("--mask", tmp_path / "my.mrc", "--box", 20)[3]
    assert got.shape == (20, 20, 20)
    np.testing.assert_array_equal(got, mask[::2, ::2, ::2])
    assert "mask was resampled from 40 px of 6 Å" in (tmp_path / "run" / "run.log").read_text()


def test_background_options_reach_the_fit(reconstruct: Callable) -> None:
    default = reconstruct()[2]
    assert (default.normalise, default.window) == (False, False)
    config = reconstruct("--normalise", "--window")[2]
    assert (config.normalise, config.window) == (True, True)


def test_hand_and_what_was_done_about_the_ctf(reconstruct: Callable, gemmap: Callable, particles: Path,
                                              tmp_path: Path) -> None:  # fmt: skip
    table = reconstruct()[0]
    flipped = reconstruct("--flip-hand")[0]
    np.testing.assert_array_equal(flipped.rotations, table.rotations * [[-1], [-1], [1]])
    written = read_particles(tmp_path / "run" / "particles.star").table
    np.testing.assert_allclose(written.rotations, flipped.rotations, atol=1e-5)
    assert reconstruct("--flip-hand", "--sym", "I3")[2].symmetry == "I3"
    assert {group.ctf_applied for group in table.optics} == {"none"}
    assert {group.ctf_applied for group in reconstruct("--phase-flipped")[0].optics} == {"phase-flip"}
    for options, message in (
        (("--phase-flipped", "--premultiplied"), "phase-flipped or premultiplied, not both"),
        (("--phase-flipped", "--no-ctf"), "said to be phase-flipped and to carry no CTF"),
    ):
        outcome = gemmap("reconstruct", particles, "-o", tmp_path / "no", *options)
        assert (outcome.code, message in outcome.err) == (2, True)


def test_threads_and_device_are_recorded(reconstruct: Callable, tmp_path: Path) -> None:
    import torch

    reconstruct("--threads", 1, "--device", "cpu")
    assert torch.get_num_threads() == 1
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert (job["config"]["threads"], job["config"]["device"]) == (1, "cpu")
    reconstruct()
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))


def test_local_resolution_and_its_windows(reconstruct: Callable, tmp_path: Path) -> None:
    def found() -> dict:
        return json.loads((tmp_path / "run" / "job.json").read_text())

    local = ("locres.mrc", "locres_backprojection.mrc", "locres_filtered.mrc", "locres.cxc")
    reconstruct("--no-local-resolution")
    assert not any((tmp_path / "run" / name).exists() for name in local)
    assert found()["results"]["validation"]["local_resolution_a"] is None
    log = (tmp_path / "run" / "run.log").read_text()
    assert "Direction" in log
    assert "Local resolution" not in log
    medians = []
    for sampling in (25, 60):
        reconstruct("--local-sampling", sampling)
        assert all((tmp_path / "run" / name).exists() for name in local)
        medians.append(found()["results"]["validation"]["local_resolution_a"]["mean"])
        assert found()["config"]["local_sampling_a"] == sampling
    assert medians[0] != medians[1]
    reconstruct("--local-sampling", 500)
    assert not (tmp_path / "run" / "locres.mrc").exists()
    (note,) = [note for note in found()["notes"] if "Local resolution" in note]
    assert "No window of 42 px fits into a box of 40 px" in note


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
    assert len([line for line in lines["-q"] if not line.startswith("Warning")]) == 8
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
    again = read_particles(tmp_path / "run" / "particles.star", datadir=away)
    assert again.stack.paths == (away / "other.mrcs",)


def test_stacks_outside_are_read_if_allowed(
    gemmap: Callable, reconstruct: Callable, particles: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    inside = particles.rename(project / "particles.star")
    inside.write_text(inside.read_text().replace("@particles.mrcs", "@../particles.mrcs"))
    outcome = gemmap("reconstruct", inside, "-o", tmp_path / "no")
    assert outcome.code == 2
    assert "1 of 1 image stacks that" in outcome.err
    assert "--allow-outside if you trust the file.\n" in outcome.err
    assert not (tmp_path / "no").exists()
    assert gemmap("reconstruct", inside, "-o", tmp_path / "yes", "--allow-outside").code == 0


def test_particles_as_used_say_that_they_are_dark(reconstruct: Callable, tmp_path: Path) -> None:
    sentence = "200 of 200 particles are dark on disk, which a STAR file cannot say"
    reconstruct()
    assert sentence not in (tmp_path / "run" / "particles.star").read_text()
    reconstruct("--invert")
    assert sentence in (tmp_path / "run" / "particles.star").read_text()
