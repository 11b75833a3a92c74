"""Models as their files have them: positions, residues, and what is left out."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import FormatError, InputError
from gemmap.simulate.model import Residue, read_model

HEAD = """\
REMARK 350 BIOMOLECULE: 1
REMARK 350 APPLY THE FOLLOWING TO CHAINS: A
REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000
REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000
REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000       10.00000
REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000
REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        0.00000
"""


def atom(name: str, xyz: tuple[float, float, float], element: str, **other: object) -> str:
    o = {"res": "ALA", "chain": "A", "seq": "   1 ", "alt": " ", "occ": 1.0, "b": 20.0, "kind": "ATOM"} | other
    x, y, z = xyz
    return (
        f"{o['kind']:<6}{1:>5} {name:<4}{o['alt']}{o['res']:>3} {o['chain']}{o['seq']}   {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{o['occ']:6.2f}{o['b']:6.2f}          {element:>2}\n"
    )


LINES = (
    atom(" CA", (11.0, 2.0, 3.0), "C", b=7.5),
    atom(" HA", (11.5, 2.0, 3.0), "H"),
    atom(" CB", (12.0, 2.0, 3.0), "C", alt="A", occ=0.6),
    atom(" CB", (12.0, 3.0, 3.0), "C", alt="B", occ=0.4),
    atom(" N", (14.0, 2.0, -3.0), "N", res="GLY", seq="   2B"),
    atom(" C", (15.0, 2.0, -3.0), "C", res="GLY", seq="   2B", occ=0.0),
    atom(" O", (30.0, 30.0, 30.0), "O", res="HOH", seq="   3 ", kind="HETATM"),
)


def written(folder: Path, *lines: str, name: str = "model.pdb") -> Path:
    path = folder / name
    path.write_text("".join(lines) + "END\n")
    return path


def test_positions_and_residues_are_the_files(tmp_path: Path) -> None:
    model = read_model(written(tmp_path, *LINES))
    np.testing.assert_allclose(model.atoms.positions_a, [[11, 2, 3], [12, 2, 3], [12, 3, 3], [14, 2, -3]])
    np.testing.assert_allclose(model.atoms.occupancy, [1, 0.6, 0.4, 1])
    assert model.atoms.bfactor_a2[0] == 7.5
    assert [model.residues[i] for i in model.residue_of] == [Residue("A", "1", "ALA")] * 3 + [Residue("A", "2B", "GLY")]
    np.testing.assert_allclose(model.centre_a, [12.5, 2.5, 0.0])
    assert " ".join(model.notes) == (
        "1 atoms of water left out 1 hydrogens left out 1 atoms without occupancy left out "
        "2 atoms in alternative conformations, each with its occupancy"
    )


def test_a_compressed_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.pdb.gz"
    path.write_bytes(gzip.compress("".join(LINES).encode()))
    np.testing.assert_allclose(read_model(path).centre_a, [12.5, 2.5, 0.0])


def test_moving_and_selecting_keep_the_rest(tmp_path: Path) -> None:
    model = read_model(written(tmp_path, *LINES))
    np.testing.assert_allclose(model.moved(np.array([1.0, 0.0, -2.0])).atoms.positions_a[0], [12, 2, 1])
    part = model.select(np.array([False, False, False, True]), "the rest left out")
    assert len(part.atoms) == 1
    assert part.residues[part.residue_of[0]].name == "GLY"
    assert part.notes[-1] == "the rest left out"


def test_the_copies_of_an_assembly(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD, *LINES)
    assert "assembly 1 of 2 copies not made (--assembly 1)" in read_model(path).notes
    both = read_model(path, "1")
    assert len(both.atoms) == 8
    x, y, z = both.atoms.positions_a[0]
    np.testing.assert_allclose(both.atoms.positions_a[4], [10 - x, -y, z])
    assert len({residue.chain for residue in both.residues}) == 2
    with pytest.raises(InputError, match=r"has no assembly '7'; expected one of those it names \(1\)"):
        read_model(path, "7")
    with pytest.raises(InputError, match=r"it names \(none\)"):
        read_model(written(tmp_path, *LINES, name="bare.pdb"), "1")


def test_models_and_bfactors_are_said(tmp_path: Path) -> None:
    flat = atom(" CA", (1, 1, 1), "C", b=0.0)
    assert "all B-factors are 0" in read_model(written(tmp_path, flat)).notes
    several = "".join(f"MODEL     {i:>4}\n{flat}ENDMDL\n" for i in (1, 2, 3))
    model = read_model(written(tmp_path, several))
    assert "model 1 of 3" in model.notes
    assert len(model.atoms) == 1


@pytest.mark.parametrize("lines", [(), (LINES[6],), (LINES[1],)])
def test_files_without_atoms(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match=rf"has {len(lines)} atom sites, none of them"):
        read_model(written(tmp_path, *lines))


def test_deposited_entries(shared_data: Path) -> None:
    model = read_model(shared_data / "structures" / "5a1a.pdb")
    assert len(model.atoms) == 32920
    assert "776 atoms of water left out" in model.notes
    assert len(read_model(shared_data / "structures" / "8zpm.cif").atoms) == 3222
