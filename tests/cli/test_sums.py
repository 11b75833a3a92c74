"""``gemmap aggregate``, ``merge`` and ``subtract`` as a user types them."""

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from gemmap.api.sums import load_sums, merge
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


@pytest.fixture(scope="module")
def micrographs(folder: Path) -> Path:
    """The particles, twenty of each of three micrographs; the sums of all of them are beside."""
    lines, number = [], 0
    for line in (folder / "particles.star").read_text().splitlines():
        if "@particles.mrcs" in line:
            line, number = f"{line} Micrographs/mic{number // 20}.mrc", number + 1
        lines += [line, "_rlnMicrographName #15"] if line.startswith("_rlnOriginYAngst") else [line]
    path = folder / "micrographs.star"
    path.write_text("\n".join(lines) + "\n")
    assert run("aggregate", path, "-o", folder / "sums.safetensors", "--threads", 1, "-q")[0] == 0
    return path


def test_a_micrograph_is_left_out_of_a_fit(folder, micrographs, tmp_path):
    """In one step, by its name, or in two, by a file of its particles: the same maps."""
    sums, rest = folder / "sums.safetensors", tmp_path / "rest.safetensors"
    rows = [line for line in micrographs.read_text().splitlines() if "mic0" not in line and "mic2" not in line]
    (folder / "mic1.star").write_text("\n".join(rows) + "\n")
    options = ("--max-steps", 1, "--threads", 1, "--no-local-resolution", "-q")
    named = ("--without", micrographs, "--without-micrograph", "mic1.mrc")
    code, text = run("fit", sums, "-o", tmp_path / "named", *named, *options)
    assert (code, "Particles 40 used, 20 excluded" in text) == (0, True), text
    code, text = run("subtract", sums, folder / "mic1.star", "-o", rest, "-q", "--threads", 1)
    assert (code, "40 particles" in text) == (0, True)
    assert run("fit", rest, "-o", tmp_path / "subtracted", *options)[0] == 0
    maps = [mrcfile.read(tmp_path / name / "run_class001.mrc") for name in ("named", "subtracted")]
    np.testing.assert_array_equal(*maps)
    mic0 = ("--micrograph", "Micrographs/mic0.mrc")
    code, text = run("subtract", rest, micrographs, *mic0, "-o", tmp_path / "again.safetensors", "--threads", 1)
    assert (code, "20 particles" in text) == (0, True)
    job = json.loads((tmp_path / "named" / "job.json").read_text())
    assert (job["results"]["n_particles"], job["results"]["n_excluded"]) == (40, 20)
    assert job["config"]["without_micrographs"] == ["mic1.mrc"]
    assert [Path(file["path"]).name for file in job["inputs"]] == ["sums.safetensors", "micrographs.star"]


def test_parts_of_a_file_are_the_whole(folder, tmp_path):
    """Drawn half-sets too: they are those of all particles."""
    star = tmp_path / "none.star"
    rows = (folder / "particles.star").read_text().splitlines()
    column = 4
    cut = [" ".join(w for i, w in enumerate(r.split()) if i != column) if "@particles.mrcs" in r else r for r in rows]
    star.write_text("\n".join(r for r in cut if not r.startswith("_rlnRandomSubset")) + "\n")
    (tmp_path / "particles.mrcs").symlink_to(folder / "particles.mrcs")
    parts = [tmp_path / f"part{i}.safetensors" for i in (1, 2)]
    options = ("--threads", 1, "-q", "--allow-outside", "--seed", 3)
    for i, part in enumerate(parts, start=1):
        code, text = run("aggregate", star, "-o", part, "--part", f"{i}/2", *options)
        assert (code, "30 particles" in text) == (0, True), text
    assert run("aggregate", star, "-o", tmp_path / "whole.safetensors", *options)[0] == 0
    merged, whole = merge(parts), load_sums(tmp_path / "whole.safetensors")
    np.testing.assert_array_equal(merged.members.ids, whole.members.ids)
    np.testing.assert_array_equal(merged.members.half, whole.members.half)
    assert "part 2 of 2" in merged.parts[1].source


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
        (("aggregate", "a.star", "-o", "new.safetensors", "--part", "4"), "The part is '4'; expected I/N"),
        (("aggregate", "a.star", "-o", "new.safetensors", "--part", "4/3"), "Part 4 of 3 of 36 images was asked for"),
        (("aggregate", "a.star", "-o", "new.safetensors", "--part", "1/9"), "expected at least 8: give more particles"),
        (("aggregate", "a.star", "-o", "new.safetensors", "--gpu-memory", "4GB", "--device", "cpu"), "on the CPU"),
        (("fit", "there.safetensors", "-o", "out", "--without-micrograph", "m"), "add --without PARTICLES"),
    ],
)
def test_mistakes_are_one_sentence(folder, arguments, sentence, monkeypatch):
    monkeypatch.chdir(folder)
    Path("there.safetensors").write_text("x")
    code, text = run(*arguments)
    assert code == 2
    assert sentence in text
    assert not Path("new.safetensors").exists()
