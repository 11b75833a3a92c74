"""``gemmap export`` and ``gemmap voxelize`` on a run, as a user types them."""

import json
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, simulated: Path, gemmap) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", folder, "--max-steps", 2, "-q")
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_all_formats_are_written_by_default(gemmap, run, tmp_path):
    outcome = gemmap("export", run, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"gaussians.cif", "gaussians.ply", "gaussians.bild", "gaussians.npz", "session.cxc", "deposition"} <= names
    assert "Gaussians" in outcome.out


def test_only_what_was_asked_for_and_of_which_half(gemmap, run, tmp_path):
    assert gemmap("export", run, "-o", tmp_path / "out", "--format", "npz, bild", "--which", "half1").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"gaussians_half1.npz", "gaussians_half1.bild"}
    from safetensors.torch import load_file

    with np.load(tmp_path / "out" / "gaussians_half1.npz") as file:
        np.testing.assert_array_equal(file["masses"], load_file(run / "gaussians_half1.safetensors")["masses"].numpy())


def test_commands_open_what_lies_beside_them(gemmap, run, tmp_path):
    assert gemmap("export", run, "-o", tmp_path / "out", "--format", "cxc").code == 0
    commands = (tmp_path / "out" / "session.cxc").read_text().splitlines()
    opened = [command.split('"')[1] for command in commands if command.startswith("open ")]
    assert "run_class001.mrc" in opened
    assert "mask.mrc" in opened
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*opened, "session.cxc"}
    hidden = {int(command.split()[1][1:]) for command in commands if command.startswith("hide #")}
    assert len(hidden) == len(opened) - 1
    for name in opened:
        np.testing.assert_array_equal(mrcfile.read(tmp_path / "out" / name), mrcfile.read(run / name))


def test_local_resolution_colours_the_map_where_it_is(gemmap, copy, tmp_path):
    with mrcfile.open(copy / "mask.mrc") as mask:
        values = np.where(mask.data > 0.5, 5.0, 0.0).astype(np.float32)
    values[20, 20, 20] = 6.0
    with mrcfile.new(copy / "locres.mrc", overwrite=True) as locres:
        locres.set_data(values)
        locres.voxel_size = 6.0
    assert gemmap("export", copy, "-o", tmp_path / "out", "--format", "cxc").code == 0
    text = (tmp_path / "out" / "session.cxc").read_text()
    assert "palette viridis range 5.00,5.0" in text


def test_the_deposition_holds_one_grid_and_what_to_type(gemmap, run, tmp_path):
    assert gemmap("export", run, "-o", tmp_path / "out", "--format", "deposit").code == 0
    folder = tmp_path / "out" / "deposition"
    maps = sorted(folder.glob("*.mrc"))
    assert {"map.mrc", "half_map_1.mrc", "half_map_2.mrc", "mask.mrc"} <= {path.name for path in maps}
    grids = set()
    for path in maps:
        assert mrcfile.validate(path)
        with mrcfile.open(path) as m:
            grids.add((m.data.shape, float(m.voxel_size.x), tuple(m.header.origin.tolist())))
    assert len(grids) == 1
    np.testing.assert_array_equal(
        mrcfile.read(folder / "half_map_1.mrc"), mrcfile.read(run / "run_half1_class001_unfil.mrc")
    )
    job = json.loads((run / "job.json").read_text())
    text = (folder / "deposition.txt").read_text()
    assert job["resolutions"]["half_maps_masked"]["text"] in text
    assert "200" in text
    assert "<fsc " in (folder / "fsc.xml").read_text()


def test_maps_of_two_grids_are_no_deposition(gemmap, copy, tmp_path):
    with mrcfile.new(copy / "mask.mrc", overwrite=True) as mask:
        mask.set_data(np.ones((20, 20, 20), np.float32))
        mask.voxel_size = 6.0
    outcome = gemmap("export", copy, "-o", tmp_path / "out", "--format", "deposit")
    assert outcome.code == 2
    assert "expected one grid for all maps of a deposition" in " ".join(outcome.err.split())
    assert not (tmp_path / "out" / "deposition").exists()


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        (None, ("--format", "obj"), "The format is 'obj'; expected some of cif, ply, bild, npz, cxc, deposit."),
        (None, ("--format", ","), "The format is 'none'"),
        (None, ("--which", "third"), "The Gaussians of 'third' were asked for; expected full, half1, half2."),
        ("job.json", (), "is no folder of a run"),
        ("gaussians.safetensors", ("--format", "cif"), "gaussians.safetensors cannot be read"),
        ("run_class001.mrc", ("--format", "deposit"), "has no run_class001.mrc"),
    ],
)
def test_mistakes_are_one_sentence(gemmap, copy, tmp_path, change, arguments, sentence):
    if change is not None:
        (copy / change).unlink()
    outcome = gemmap("export", copy, "-o", tmp_path / "out", *arguments)
    assert outcome.code == 2
    assert sentence in " ".join(outcome.err.split())


def test_an_unfinished_run_is_not_exported(gemmap, copy, tmp_path):
    job = json.loads((copy / "job.json").read_text())
    (copy / "job.json").write_text(json.dumps({**job, "status": "interrupted"}))
    outcome = gemmap("export", copy, "-o", tmp_path / "out")
    assert (outcome.code, "is interrupted; finish it with" in outcome.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_kept(gemmap, run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert gemmap("export", run, "-o", tmp_path / "out").code == 2
    assert gemmap("export", run, "-o", tmp_path / "out", "--overwrite", "--format", "npz").code == 0
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert gemmap("export", run, "-o", run, "--overwrite").code == 2


def test_voxelize_writes_the_model_on_a_finer_grid(gemmap, run, tmp_path):
    fine = tmp_path / "fine.mrc"
    arguments = ("--pixel-size", 2, "--box", 30, "--centre", "120,118,122")
    outcome = gemmap("voxelize", run / "gaussians.safetensors", "-o", fine, *arguments)
    assert outcome.code == 0, outcome.err
    with mrcfile.open(fine) as m:
        assert m.data.shape == (30, 30, 30)
        assert tuple(m.header.origin.tolist()) == (90.0, 88.0, 92.0)
    assert "30 px of 2 Å, first voxel at 90.00, 88.00, 92.00 Å" in outcome.out
    again = gemmap("voxelize", run / "gaussians.safetensors", "-o", fine)
    assert (again.code, "exists; choose another name" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-o", "x.map"), "expected a name that ends with .mrc"),
        (("-o", "x.mrc", "--centre", "1,2"), "The centre is '1,2'; expected three numbers"),
        (("-o", "x.mrc", "--box", -3), "expected 1 to 1024"),
    ],
)
def test_mistakes_of_voxelize_are_one_sentence(gemmap, run, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    outcome = gemmap("voxelize", run / "gaussians.safetensors", *arguments)
    assert outcome.code == 2
    assert sentence in " ".join(outcome.err.split())
    assert list(tmp_path.iterdir()) == []
