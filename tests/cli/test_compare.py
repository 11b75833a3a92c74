"""The command ``gemmap compare``. Maps of a model come from gemmi's density calculator, which sums in real space."""

import csv
import json
import sys
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from gemmap.cli.main import app
from gemmap.io.mrc import read_map, write_map
from gemmap.simulate.structure import embedded_structure

N, PIXEL_A = 48, 1.4
CORNER_A = np.array([20.0, -30.0, 12.0])


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments), "--threads", "1"])
    return result.exit_code, " ".join(result.output.split())


def structure() -> gemmi.Structure:
    """Two chains cut out of the spike, residues of eight atoms, in the frame of a map that starts at CORNER_A."""
    atoms = embedded_structure()
    centre = atoms.positions_a[500]
    near = np.linalg.norm(atoms.positions_a - centre, axis=1) < 17.0
    chains = [gemmi.Chain("A"), gemmi.Chain("B")]
    for i, row in enumerate(np.flatnonzero(near)):
        chain = chains[i % 16 >= 8]
        if i % 8 == 0:
            residue = gemmi.Residue()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(str(i // 8 + 1))
            chain.add_residue(residue)
        atom = gemmi.Atom()
        atom.name, atom.element = "CA", gemmi.Element(int(atoms.atomic_number[row]))
        atom.pos = gemmi.Position(*(atoms.positions_a[row] - centre + CORNER_A + 0.5 * N * PIXEL_A))
        atom.b_iso, atom.occ = 40.0, 1.0
        chain[-1].add_atom(atom)
    model = gemmi.Model(1)
    for chain in chains:
        model.add_chain(chain)
    whole = gemmi.Structure()
    whole.add_model(model)
    whole.setup_entities()
    return whole


def gemmi_density(whole: gemmi.Structure, n: int = N, pixel_a: float = PIXEL_A) -> np.ndarray:
    """Density at corner + index * pixel, axes (z, y, x), by gemmi."""
    moved = whole.clone()
    for cra in moved[0].all():
        cra.atom.pos = gemmi.Position(*(np.array(cra.atom.pos.tolist()) - CORNER_A))
    calculator = gemmi.DensityCalculatorE()
    calculator.grid.unit_cell = gemmi.UnitCell(n * pixel_a, n * pixel_a, n * pixel_a, 90, 90, 90)
    calculator.grid.set_size(3 * n, 3 * n, 3 * n)
    calculator.put_model_density_on_grid(moved[0])
    # Summed on a finer grid and cut in Fourier space: points of the coarse one alone would hold aliases.
    fine = np.fft.fftshift(np.fft.fftn(np.array(calculator.grid.array).transpose(2, 1, 0)))
    half = (n - 1) // 2
    kept = slice(3 * n // 2 - half, 3 * n // 2 + half + 1)
    fourier = np.zeros((n, n, n), complex)
    inner = slice(n // 2 - half, n // 2 + half + 1)
    fourier[inner, inner, inner] = fine[kept, kept, kept]
    return np.fft.ifftn(np.fft.ifftshift(fourier)).real.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.pdb, model.cif.gz, map.mrc (noisy), clean.mrc."""
    where = tmp_path_factory.mktemp("compare")
    whole = structure()
    whole.write_pdb(str(where / "model.pdb"))
    density = gemmi_density(whole)
    noise = np.random.default_rng(0).standard_normal(density.shape) * density.std()
    origin = tuple(CORNER_A)
    write_map(where / "clean.mrc", density, PIXEL_A, origin)
    write_map(where / "map.mrc", (density + noise).astype(np.float32), PIXEL_A, origin)
    return where


def test_a_map_made_by_gemmi_is_the_model(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    code, text = run(folder / "clean.mrc", folder / "model.pdb", "-o", out)
    assert code == 0, text
    assert "Warning" not in text
    assert "origin words of the header" in text
    with open(out / "fsc.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert min(float(row["masked"]) for row in rows[1:]) > 0.99
    record = json.loads((out / "compare.json").read_text())
    assert record["cc_mask"] > 0.999
    assert abs(record["cc_bfactor_a2"]) < 1.0
    assert record["resolutions"]["masked_0.5"]["at_nyquist"]
    assert record["map_origin_a"] == pytest.approx(CORNER_A.tolist())


def test_everything_is_written_and_said(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    code, text = run(folder / "map.mrc", folder / "model.pdb", "-o", out)
    assert code == 0, text
    for words in (
        "map-model FSC 0.5, mask around the model",
        "map-model FSC 0.143",
        "95 % interval",
        "0.5: a model is free of the map's noise",
        "2 chains",
        "by chain A 0.",
        "by residue median 0.",
        "Also tried mean FSC to",
        "not turned",
        f"Results {out}",
    ):
        assert words in text, (words, text)
    names = {path.name for path in out.iterdir()}
    assert names == {
        "fsc.csv", "fsc.xml", "fsc.png", "mask.mrc", "model.mrc", "residues.csv", "residues.png", "compare.json",
    }  # fmt: skip
    for name in ("mask.mrc", "model.mrc"):
        with mrcfile.open(out / name) as mrc:
            assert mrc.header.origin.tolist() == pytest.approx(tuple(CORNER_A))
            assert mrc.voxel_size.x == pytest.approx(PIXEL_A)
    with open(out / "residues.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    whole = gemmi.read_structure(str(folder / "model.pdb"))
    assert len(rows) == sum(len(chain) for chain in whole[0])
    assert {row["chain"] for row in rows} == {"A", "B"}
    assert all(float(row["mean_bfactor_a2"]) == 40.0 for row in rows)
    assert 0.5 < np.median([float(row["cc"]) for row in rows]) < 1.0


def test_mmcif_and_compressed_models_give_the_same(folder: Path, tmp_path: Path) -> None:
    import gzip

    whole = structure()
    whole.name = "test"
    path = tmp_path / "model.cif.gz"
    path.write_bytes(gzip.compress(whole.make_mmcif_document().as_string().encode()))
    _, first = run(folder / "map.mrc", folder / "model.pdb", "-q")
    code, second = run(folder / "map.mrc", path, "-q")
    assert code == 0, second
    assert second.replace("model.cif.gz", "model.pdb") == first


def test_a_residue_out_of_its_density_is_seen(folder: Path, tmp_path: Path) -> None:
    whole = structure()
    middle = CORNER_A + 0.5 * N * PIXEL_A
    away = [np.mean([atom.pos.tolist() for atom in residue], axis=0) - middle for residue in whole[0]["A"]]
    moved = int(np.argmax(np.linalg.norm(away, axis=1)))
    for atom in whole[0]["A"][moved]:
        atom.pos = gemmi.Position(*(np.array(atom.pos.tolist()) + 0.6 * away[moved]))
    whole.write_pdb(str(tmp_path / "wrong.pdb"))
    out = tmp_path / "c"
    code, text = run(folder / "clean.mrc", tmp_path / "wrong.pdb", "-o", out)
    assert code == 0, text
    with open(out / "residues.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    values = [float(row["cc"]) for row in rows]
    assert int(np.argmin(values)) == moved
    assert values[moved] < 0.5
    assert np.median(values) > 0.9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: -v, "opposite contrast"),
        (lambda v: v[::-1], "mirrored along z"),
        (lambda v: np.roll(v, (0, 0, 1), (0, 1, 2)), "The model fits better moved by (+1."),
        (lambda v: np.fft.fftshift(v), "half the box"),
        (lambda v: np.random.default_rng(1).standard_normal(v.shape), "do not fit in any position"),
    ],
)
def test_mistakes_are_named(folder: Path, tmp_path: Path, change: object, words: str) -> None:
    volume, _ = read_map(folder / "map.mrc")
    path = tmp_path / "a.mrc"
    write_map(path, np.ascontiguousarray(change(volume)), PIXEL_A, tuple(CORNER_A))  # type: ignore[operator]
    code, text = run(path, folder / "model.pdb")
    assert code == 0, text
    assert text.count("Warning") == 1
    assert words in text


def test_a_wrong_voxel_size_is_named(folder: Path) -> None:
    """The header's origin stays: stretched about the map's corner, the model has to be moved as well."""
    code, text = run(folder / "clean.mrc", folder / "model.pdb", "--pixel-size", 1.03 * PIXEL_A)
    assert code == 0, text
    assert "better with voxels of 1.4" in text
    assert "instead of 1.442 Å" in text


def test_start_words_place_the_map_too(folder: Path, tmp_path: Path) -> None:
    volume, _ = read_map(folder / "clean.mrc")
    start = np.rint(CORNER_A / PIXEL_A).astype(int)
    path = tmp_path / "a.mrc"
    with mrcfile.new(path, volume) as mrc:
        mrc.voxel_size = PIXEL_A
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = start
    code, text = run(path, folder / "model.pdb")
    assert code == 0, text
    assert "start words of the header" in text
    assert f"moved by ({start[0] * PIXEL_A - CORNER_A[0]:+.1f}" in text


def test_translate_brings_a_model_into_the_map(folder: Path, tmp_path: Path) -> None:
    volume, _ = read_map(folder / "clean.mrc")
    path, out = tmp_path / "a.mrc", tmp_path / "c"
    write_map(path, volume, PIXEL_A)
    code, text = run(path, folder / "model.pdb", "--translate", "-o", out)
    assert code == 0, text
    record = json.loads((out / "compare.json").read_text())
    np.testing.assert_allclose(record["moved_by_a"], -CORNER_A, atol=0.05)
    assert record["cc_mask"] > 0.99
    assert "Warning" not in text


def test_an_odd_box(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.mrc"
    write_map(path, gemmi_density(structure(), 45, 1.5), 1.5, tuple(CORNER_A))
    code, text = run(path, folder / "model.pdb")
    assert code == 0, text
    assert "at Nyquist (3.07 Å) (map-model FSC 0.5" in text  # 45 px of 1.5 Å, shell 22
    assert "Warning" not in text


def test_atoms_outside_are_left_out_and_said(folder: Path, tmp_path: Path) -> None:
    volume, _ = read_map(folder / "clean.mrc")
    path = tmp_path / "a.mrc"
    cut = 14
    write_map(path, volume[cut:-cut, cut:-cut, cut:-cut], PIXEL_A, tuple(CORNER_A + cut * PIXEL_A))
    code, text = run(path, folder / "model.pdb")
    assert code == 0, text
    assert "atoms lie outside the map and are left out: the model lies at x" in text
    assert "atoms outside the map left out" in text


def test_map_against_map(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    code, text = run(folder / "map.mrc", folder / "clean.mrc", "-o", out)
    assert code == 0, text
    for words in (
        "map-map FSC 0.5, mask made from clean.mrc",
        "0.5 if one map is a reference free of the other's noise; 0.143 if they are independent half-maps",
        "voxel by voxel",
    ):
        assert words in text
    assert {path.name for path in out.iterdir()} == {"fsc.csv", "fsc.xml", "fsc.png", "mask.mrc", "compare.json"}
    code, text = run(folder / "map.mrc", folder / "map.mrc")
    assert code == 0
    assert "The two maps are identical." in text


def test_maps_that_lie_apart(folder: Path, tmp_path: Path) -> None:
    volume, _ = read_map(folder / "clean.mrc")
    path = tmp_path / "a.mrc"
    write_map(path, np.roll(volume, (2, -3, 1), (0, 1, 2)), PIXEL_A)
    code, text = run(path, folder / "clean.mrc", "--translate")
    assert code == 0, text
    assert "Moved by (+1.40, -4.20, +2.80) Å" in text
    assert "The headers place the first voxels at (0.0, 0.0, 0.0) and (20.0, -30.0, 12.0) Å" in text
    assert "at Nyquist" in text


def test_options_have_their_effect(folder: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.mrc"
    write_map(mask, np.ones((N,) * 3, np.float32), PIXEL_A)
    out = tmp_path / "c"
    code, text = run(folder / "map.mrc", folder / "model.pdb", "--mask", mask, "--resolution", 7, "-o", out)
    assert code == 0, text
    record = json.loads((out / "compare.json").read_text())
    assert record["mask"]["name"] == "mask given"
    assert record["cc_lowpass_a"] == 7
    assert record["cc_mask"] == pytest.approx(record["cc_box"])
    fractions = []
    for radius in (2, 8):
        assert run(folder / "map.mrc", folder / "model.pdb", "--mask-radius", radius, "-o", out, "--overwrite")[0] == 0
        fractions.append(json.loads((out / "compare.json").read_text())["mask"]["fraction_of_box"])
    assert fractions[0] < 0.8 * fractions[1]


def test_bad_input_gets_one_sentence(folder: Path, tmp_path: Path) -> None:
    good, model = folder / "map.mrc", folder / "model.pdb"
    volume, _ = read_map(good)
    small, sized, nan, far, unsized = (tmp_path / f"{name}.mrc" for name in ("small", "sized", "nan", "far", "unsized"))
    write_map(small, volume[4:-4, 4:-4, 4:-4], PIXEL_A)
    write_map(sized, volume, 1.1 * PIXEL_A)
    write_map(nan, volume, PIXEL_A, tuple(CORNER_A))
    with open(nan, "r+b") as handle:
        handle.seek(1024)
        handle.write(np.array([np.nan], "<f4").tobytes())
    write_map(far, volume, PIXEL_A, (500.0, 0.0, 0.0))
    with mrcfile.new(unsized, volume):
        pass
    empty, water, notes, other = (tmp_path / name for name in ("empty.pdb", "water.pdb", "notes.pdb", "what.txt"))
    empty.write_text("END\n")
    water.write_text("HETATM    1  O   HOH A   1      10.000  10.000  10.000  1.00 20.00           O\nEND\n")
    notes.write_text("ATOM      1  N   GLN A  27     xx\n")
    other.write_text("a note\n")
    packed = tmp_path / "map.mrc.gz"
    packed.write_bytes(b"\x1f\x8b")
    for arguments, words in (
        ((model, good), "expected a map first and the model second: swap the two"),
        ((good, tmp_path / "missing.pdb"), "missing.pdb: no such file"),
        ((good, tmp_path / "missing.mrc"), "missing.mrc cannot be read"),
        ((good, tmp_path / "missing"), "missing cannot be read"),
        ((tmp_path / "missing.mrc", model), "missing.mrc cannot be read"),
        ((good, empty), "empty.pdb: has 0 atom sites"),
        ((good, water), "has 1 atom sites, none of them an atom other than water"),
        ((good, notes), "cannot be read as a structure"),
        ((good, other), "neither a map (MRC) nor named as a model"),
        ((packed, model), "unpack it"),
        ((nan, model), "not numbers"),
        ((unsized, model), "does not say its voxel size; give it with --pixel-size"),
        ((far, model), "lie outside the map: the model lies at x"),
        ((far, model), "the map at x 500 to 566, y 0 to 66, z 0 to 66 Å (origin words of the header)"),
        ((small, model, "--translate", "--mask", good), "expected the same grid"),
        ((good, small), "expected one grid: bring one to the voxels and box of the other first"),
        ((good, sized), "48 px of 1.4 Å and"),
        ((good, model, "--mask", small), "expected the same grid"),
        ((good, model, "--mask", good), "density map"),
        ((good, model, "--assembly", "1"), "has no assembly '1'"),
        ((good, good, "--assembly", "1"), "--assembly is for models"),
        ((good, model, "--mask-radius", "-1"), "expected a length above 0"),
        ((good, model, "--pixel-size", "0"), "expected a length above 0"),
    ):
        out = tmp_path / "out"
        code, text = run(*arguments, "-o", out)
        assert code == 2, (arguments, text)
        assert words in text, (words, text)
        assert not out.exists()
    code, text = run(good, model, "-o", tmp_path)
    assert code == 2
    assert "--overwrite" in text


def test_a_small_box_for_a_large_model(folder: Path, tmp_path: Path) -> None:
    volume, _ = read_map(folder / "clean.mrc")
    write_map(tmp_path / "a.mrc", volume[18:-18, 18:-18, 18:-18], PIXEL_A)
    code, text = run(tmp_path / "a.mrc", folder / "model.pdb", "--translate")
    assert code == 2
    assert "larger than the map's box (17 Å)" in text


def test_the_library_writes_nothing_unless_asked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gemmap

    monkeypatch.chdir(tmp_path)
    report = gemmap.compare_maps(folder / "map.mrc", folder / "model.pdb", n_threads=1)
    assert report.result.resolution.value_a < 4.0
    assert report.details is not None
    assert report.details.by_residue.max() < 1.0
    assert list(tmp_path.iterdir()) == []
    assert "gemmi" in sys.modules
