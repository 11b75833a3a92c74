"""``gemmap simulate``: four metadata files that say the same, and options that all do something."""

import json
import typing
from dataclasses import fields
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import typer.main

from gemmap.cli.main import app
from gemmap.io.formats import LoadedParticles, read_particles
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import embedded_structure

FILES = {
    "particles.mrcs", "particles.star", "particles_relion30.star", "particles.cs", "poses.pkl", "ctf.pkl",
    "truth.mrc", "mask.mrc", "simulation.json", "README.txt",
}  # fmt: skip


def test_files_and_their_headers(simulated: Path) -> None:
    assert {file.name for file in simulated.iterdir()} == FILES
    with mrcfile.open(simulated / "particles.mrcs", permissive=False) as mrc:
        assert mrc.data.shape == (200, 40, 40)
        assert mrc.is_image_stack()
        assert mrc.header.mode == 2
        assert mrc.voxel_size.x == pytest.approx(6)
    for name in ("truth.mrc", "mask.mrc"):
        with mrcfile.open(simulated / name, permissive=False) as mrc:
            assert mrc.data.shape == (40, 40, 40)
            assert mrc.header.mode == 2
            assert (mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z) == (0, 0, 0)
    record = json.loads((simulated / "simulation.json").read_text())
    assert record["config"]["seed"] == 5
    assert set(record["config"]) == {f.name for f in fields(SimulationConfig)}
    assert "6VXX" in record["structure"]


def test_the_four_metadata_files_say_the_same(simulated: Path) -> None:
    star = read_particles(simulated / "particles.star")
    others = {
        "star 3.0": read_particles(simulated / "particles_relion30.star"),
        "cs": read_particles(simulated / "particles.cs"),
        "pkl": read_particles(
            simulated / "particles.mrcs", poses=simulated / "poses.pkl", ctf=simulated / "ctf.pkl"
        ),
    }  # fmt: skip
    for name, other in others.items():
        assert_same(star, other, name)
        if name != "pkl":  # cryoDRGN's files have no half-sets
            np.testing.assert_array_equal(other.table.half, star.table.half)
    assert set(star.table.half) == {1, 2}


def assert_same(a: LoadedParticles, b: LoadedParticles, name: str) -> None:
    np.testing.assert_allclose(b.table.rotations, a.table.rotations, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(b.table.shifts_a, a.table.shifts_a, atol=1e-4, err_msg=name)
    assert a.table.ctf is not None
    assert b.table.ctf is not None
    for f in fields(a.table.ctf):
        wanted, got = getattr(a.table.ctf, f.name), getattr(b.table.ctf, f.name)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6, err_msg=f"{name} {f.name}")
    assert b.table.pixel_size_a == pytest.approx(a.table.pixel_size_a, rel=1e-6)
    np.testing.assert_array_equal(b.stack.read(np.arange(3)), a.stack.read(np.arange(3)))


def test_images_and_truth_are_those_of_the_simulation(simulated: Path) -> None:
    config = SimulationConfig(box_px=40, pixel_size_a=6.0, n_particles=200, snr=0.2, seed=5)
    simulation = simulate(embedded_structure(), config)
    loaded = read_particles(simulated / "particles.star")
    np.testing.assert_array_equal(loaded.stack.read(np.array([0, 150])), simulation.stack.read(np.array([0, 150])))
    np.testing.assert_array_equal(mrcfile.read(simulated / "truth.mrc"), simulation.truth)
    np.testing.assert_allclose(loaded.table.rotations, simulation.table.rotations, atol=1e-8)


#: A second value for every option.
OTHER = {
    "box_px": 42, "pixel_size_a": 6.5, "n_particles": 3, "snr": 0.5, "solvent_contrast": 0.3, "micelle_contrast": 0.2,
    "noise": "coloured", "defocus_min_a": 9000.0, "defocus_max_a": 19000.0, "astigmatism_a": 900.0, "max_shift_a": 2.0,
    "orientation": "preferred", "preferred_concentration": 4.0, "pose_error_deg": 2.0, "shift_error_a": 1.0,
    "scale_spread": 0.2, "voltage_kv": 200.0, "cs_mm": 0.01, "amplitude_contrast": 0.07, "phase_shift_deg": 80.0,
    "bfactor_a2": 50.0, "blur_a2": 90.0, "seed": 9,
}  # fmt: skip


def test_every_option_reaches_the_simulation(gemmap: typing.Callable, tmp_path: Path, monkeypatch) -> None:
    # Optics groups are for the library: what they hold has no place on a command line.
    assert {*OTHER, "optics"} == {f.name for f in fields(SimulationConfig)}
    command = typer.main.get_command(app).commands["simulate"]
    flags = {parameter.name: parameter.opts[0] for parameter in command.params}
    seen = []

    class Enough(Exception):
        pass

    def stop(_atoms: object, config: SimulationConfig, _workers: int) -> None:
        seen.append(config)
        raise Enough

    monkeypatch.setattr("gemmap.simulate.particles.simulate", stop)
    arguments = [word for name, value in OTHER.items() for word in (flags[name], value)]
    with pytest.raises(Enough):
        gemmap("simulate", "-o", tmp_path / "sim", *arguments)
    assert seen == [SimulationConfig(**OTHER)]
    with pytest.raises(Enough):
        gemmap("simulate", "-o", tmp_path / "sim")
    assert seen[1] == SimulationConfig()


def test_a_structure_of_ones_own(gemmap: typing.Callable, tmp_path: Path) -> None:
    atom = "ATOM  {n:5d}  CA  ALA A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           C\n"
    lines = [atom.format(n=n + 1, x=3.8 * n, y=2.0 * (n % 2), z=1.0 * (n % 3)) for n in range(6)]
    (tmp_path / "six.pdb").write_text("".join(lines) + "END\n")
    outcome = gemmap(
        "simulate", tmp_path / "six.pdb", "-o", tmp_path / "sim", "--box", 32, "--pixel-size", 3, "--n-particles", 4,
        "--threads", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "six.pdb, 6 atoms" in outcome.out
    assert f"gemmap reconstruct {tmp_path}/sim/particles.star" in outcome.out


def test_an_existing_folder_is_refused_and_overwrite_spares_foreign_files(
    gemmap: typing.Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "sim"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "ctf.pkl").write_text("old")
    outcome = gemmap("simulate", "-o", folder)
    assert outcome.code == 2
    assert outcome.err == (
        f"Error: {folder} exists; choose another folder, or give --overwrite to replace its results.\n"
    )
    options = ("--box", 40, "--pixel-size", 6, "--n-particles", 2, "--quiet")
    outcome = gemmap("simulate", "-o", folder, "--overwrite", *options)
    assert (outcome.code, outcome.out) == (0, "")
    assert {file.name for file in folder.iterdir()} == FILES | {"notes.txt"}
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "ctf.pkl").read_bytes() != b"old"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--box", 16), "use a box of at least"),
        (("--snr", 0), "snr is 0.0; expected a number above 0"),
        (("--orientation", "preferred"), "expected a concentration"),
        (("--threads", 9999), "threads is 9999"),
    ],
)
def test_bad_options_are_one_sentence_and_write_nothing(
    gemmap: typing.Callable, tmp_path: Path, arguments: tuple, message: str
) -> None:
    outcome = gemmap("simulate", "-o", tmp_path / "sim", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "sim").exists()


def test_ctrl_c_while_images_are_written_leaves_no_trace(
    gemmap: typing.Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gemmap.simulate.particles.SimulatedStack.read", interrupt)
    outcome = gemmap("simulate", "-o", tmp_path / "sim", "--box", 40, "--pixel-size", 6, "--n-particles", 2)
    assert outcome.code == 130
    assert outcome.err == "Interrupted; nothing was written.\n"
    assert not (tmp_path / "sim").exists()
