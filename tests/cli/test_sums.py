"""``gemmap aggregate``, ``merge`` and ``subtract`` as a user types them."""

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from gemmap.cli.main import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli_sums") / "s"
    said = run("simulate", "-o", path, "--n-particles", 60, "--box", 32, "--pixel-size", 8, "--snr", 0.5, "-q")
    assert said[0] == 0, said
    lines = (path / "particles.star").read_text().splitlines()
    rows = [number for number, line in enumerate(lines) if "@particles.mrcs" in line]
    for name, kept in {"a": rows[:36], "b": rows[36:], "c": rows[30:50]}.items():
        text = [line for number, line in enumerate(lines) if number not in rows or number in kept]
        (path / f"{name}.star").write_text("\n".join(text) + "\n")
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_parts_are_made_added_and_taken_out(folder):
    a, b, both, rest = (folder / f"{name}.safetensors" for name in ("a", "b", "both", "rest"))
    code, text = run("aggregate", folder / "a.star", "-o", a, "--threads", 1)
    assert (code, "36 particles" in text, "Half-sets" in text) == (0, True, True)
    code, text = run("aggregate", folder / "b.star", "-o", b, "--threads", 1, "-q")
    assert (code, text.split(": ", 1)[1]) == (0, "24 particles (11 + 13) of 1 part, 32 px, 8 Å, C1")
    code, text = run("merge", a, b, "-o", both)
    assert (code, "60 particles" in text, "of 2 parts" in text) == (0, True, True)
    code, text = run("subtract", both, folder / "c.star", "-o", rest, "-q", "--threads", 1)
    assert (code, "40 particles" in text) == (0, True)


def test_a_fit_of_sums_is_that_of_their_particles(folder, tmp_path):
    """The same sums, noise and extents as a run of the same particles: the same maps."""
    sums, fitted, plain = tmp_path / "all.safetensors", tmp_path / "fitted", tmp_path / "run"
    options = ("--max-steps", 2, "--threads", 1, "--no-local-resolution", "-q")
    assert run("aggregate", folder / "particles.star", "-o", sums, "--threads", 1, "-q")[0] == 0
    code, text = run("fit", sums, "-o", fitted, *options)
    assert code == 0, text
    assert "Particles 60 used" in text
    assert run("reconstruct", folder / "particles.star", "-o", plain, *options)[0] == 0
    for name in ("run_half1_class001_unfil", "run_half2_class001_unfil", "run_class001", "backprojection"):
        np.testing.assert_array_equal(mrcfile.read(fitted / f"{name}.mrc"), mrcfile.read(plain / f"{name}.mrc"))
    job, expected = (json.loads((path / "job.json").read_text()) for path in (fitted, plain))
    assert job["status"] == "finished"
    assert job["resolutions"]["map"] == expected["resolutions"]["map"]
    assert (fitted / "report.html").is_file()
    assert not (fitted / "particles.star").exists()
    code, text = run("fit", sums, "-o", fitted)
    assert (code, "exists; choose another folder" in text) == (2, True)


def test_a_file_that_holds_no_sums_is_not_fitted(tmp_path):
    (tmp_path / "x.safetensors").write_text("x")
    code, text = run("fit", tmp_path / "x.safetensors", "-o", tmp_path / "out")
    assert (code, "is damaged or no safetensors file" in text) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("aggregate", "a.star"), "No file for the sums was given; give -o FILE.safetensors."),
        (("aggregate", "-o", "new.safetensors"), "No particle file was given; give PARTICLES."),
        (("aggregate", "a.star", "-o", "new.mrc"), "expected a name that ends with .safetensors"),
        (("aggregate", "a.star", "-o", "there.safetensors"), "exists; choose another name, or add --overwrite."),
        (("merge", "there.safetensors", "there.safetensors", "-o", "new.safetensors"), "is damaged or no safetensors"),
        (("merge", "missing.safetensors", "a.safetensors", "-o", "new.safetensors"), "missing.safetensors"),
        (("subtract", "there.safetensors", "-o", "new.safetensors"), "give the PARTICLES to take out"),
    ],
)
def test_mistakes_are_one_sentence(folder, arguments, sentence, monkeypatch):
    monkeypatch.chdir(folder)
    Path("there.safetensors").write_text("x")
    code, text = run(*arguments)
    assert code == 2
    assert sentence in text
    assert not Path("new.safetensors").exists()
