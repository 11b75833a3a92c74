from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import FormatError, InputError
from gemmap.simulate.structure import embedded_structure, read_structure


def atom(name: str, xyz: tuple[float, float, float], element: str, **other: object) -> str:
    """One line of a PDB file."""
    o = {"res": "ALA", "seq": 1, "alt": " ", "occ": 1.0, "b": 20.0, "kind": "ATOM"} | other
    x, y, z = xyz
    return (
        f"{o['kind']:<6}{1:>5} {name:<4}{o['alt']}{o['res']:>3} A{o['seq']:>4}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{o['occ']:6.2f}{o['b']:6.2f}          {element:>2}\n"
    )


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "model.pdb"
    path.write_text("".join(lines) + "END\n")
    return path


def test_positions_are_counted_from_the_centre_of_mass(tmp_path: Path) -> None:
    atoms = read_structure(write(tmp_path, atom(" C", (10, 0, 3), "C"), atom(" S", (10, 5, 3), "S", seq=2)))
    # Masses 12.011 and 32.06: the sulphur lies nearer to the centre.
    share = 32.06 / (12.011 + 32.06)
    np.testing.assert_allclose(atoms.positions_a, [[0, -5 * share, 0], [0, 5 * (1 - share), 0]], atol=2e-3)
    np.testing.assert_array_equal(atoms.atomic_number, [6, 16])
    assert atoms.radius_a == pytest.approx(5 * share, abs=2e-3)


def test_waters_and_hydrogens_are_dropped_and_ligands_kept(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        atom(" CA", (0, 0, 0), "C"),
        atom(" HA", (1, 0, 0), "H"),
        atom(" O", (5, 0, 0), "O", res="HOH", seq=2, kind="HETATM"),
        atom("FE", (0, 4, 0), "FE", res="HEM", seq=3, kind="HETATM"),
    )
    np.testing.assert_array_equal(read_structure(path).atomic_number, [6, 26])


def test_first_alternative_takes_the_occupancy_of_all(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        atom(" N", (0, 0, 0), "N", occ=0.8),
        atom(" CA", (2, 0, 0), "C", alt="A", occ=0.4),
        atom(" CA", (0, 7, 0), "C", alt="B", occ=0.5),
    )
    atoms = read_structure(path)
    np.testing.assert_allclose(atoms.occupancy, [0.8, 0.9])
    np.testing.assert_allclose(np.diff(atoms.positions_a, axis=0), [[2, 0, 0]], atol=1e-9)


def test_atoms_without_occupancy_are_dropped(tmp_path: Path) -> None:
    assert len(read_structure(write(tmp_path, atom(" N", (0, 0, 0), "N"), atom(" C", (1, 0, 0), "C", occ=0.0)))) == 1


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"absent\.pdb: no such file; give the path"):
        read_structure(tmp_path / "absent.pdb")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("short.pdb", "ATOM      1  N   GLN A  27     xx\n"),
        ("odd.cif", "data_x\nloop_\n_a\n_b\n1 2 3\n"),
        ("notes.txt", "no atoms here\n"),
    ],
)
def test_malformed_file_is_named_with_the_reason(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"{name}: cannot be read as a structure \(.+\); give a PDB or mmCIF file"):
        read_structure(path)


@pytest.mark.parametrize("lines", [(), (atom(" O", (5, 0, 0), "O", res="HOH", kind="HETATM"),)])
def test_file_without_usable_atoms(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match=rf"has {len(lines)} atom sites, none of them"):
        read_structure(write(tmp_path, *lines))


def test_unknown_element_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no electron scattering factor for element X; expected elements H to Cf"):
        read_structure(write(tmp_path, atom(" C", (0, 0, 0), "C"), atom(" Q", (2, 0, 0), "X", seq=2)))


def test_negative_bfactor(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 of 2 atoms have a negative B-factor \(the lowest is -3 Å\^2\)"):
        read_structure(write(tmp_path, atom(" C", (0, 0, 0), "C"), atom(" N", (2, 0, 0), "N", seq=2, b=-3.0)))


def test_coordinate_that_is_no_number(tmp_path: Path) -> None:
    line = atom(" C", (0, 0, 0), "C").replace("   0.000", "     nan", 1)
    with pytest.raises(InputError, match="a coordinate is not a number"):
        read_structure(write(tmp_path, line))


def test_embedded_structure_has_three_equal_chains() -> None:
    atoms = embedded_structure()
    assert len(atoms) == 22812
    a, b, c = np.split(atoms.atomic_number, 3)
    assert (a == b).all()
    assert (b == c).all()
    assert 90.0 < atoms.radius_a < 94.0


def test_embedded_structure_is_the_entry(shared_data: Path) -> None:
    entry, packed = read_structure(shared_data / "structures" / "6vxx.pdb"), embedded_structure()
    np.testing.assert_array_equal(packed.atomic_number, entry.atomic_number)
    assert np.abs(packed.positions_a - entry.positions_a).max() < 0.006
    assert np.abs(packed.bfactor_a2 - entry.bfactor_a2).max() < 0.051


def test_mmcif_entry(shared_data: Path) -> None:
    atoms = read_structure(shared_data / "structures" / "8zpm.cif")
    assert 3000 < len(atoms) <= 3222
    assert set(atoms.atomic_number) <= {6, 7, 8, 15, 16}
