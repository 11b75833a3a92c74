"""Atoms from PDB and mmCIF files, and the structure that comes with the package."""

import importlib.resources
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gemmap._types import Float, Int
from gemmap.errors import FormatError, InputError


@dataclass(frozen=True, eq=False)
class Atoms:
    """Non-hydrogen atoms of one model.

    Attributes
    ----------
    positions_a
        (n, 3), xyz in Å in the axes of the file; `read_structure` counts them from the centre of mass, which becomes
        the map's origin (voxel N//2).
    atomic_number
        (n,).
    bfactor_a2
        (n,), isotropic B = 8 pi^2 u^2, not negative.
    occupancy
        (n,), 0 to 1.
    """

    positions_a: Float[np.ndarray, "n 3"]
    atomic_number: Int[np.ndarray, " n"]
    bfactor_a2: Float[np.ndarray, " n"]
    occupancy: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.positions_a)

    @property
    def radius_a(self) -> float:
        """Distance of the farthest atom from the origin, in Å."""
        return float(np.sqrt((self.positions_a**2).sum(axis=1)).max(initial=0.0))


def read_structure(path: str | Path) -> Atoms:
    """Read the atoms of a PDB or mmCIF file (also gzipped).

    The first model is taken as the file has it: no symmetry copies are made. Waters and hydrogens are dropped. Of
    alternative conformations the first is kept, with the occupancies of all of them added up.

    Raises
    ------
    FormatError
        If the file is missing, is no PDB or mmCIF file, or holds no atoms that can be used.
    InputError
        If an element has no electron scattering factor, or a coordinate or B-factor makes no sense.
    """
    structure = open_structure(path)
    n_sites = structure[0].count_atom_sites() if len(structure) else 0
    summed_occupancy = _sum_alternatives(structure[0]) if n_sites else {}
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    structure.remove_waters()
    rows = [
        (*cra.atom.pos.tolist(), cra.atom.element.atomic_number, cra.atom.b_iso, summed_occupancy[_site(cra)])
        for cra in (structure[0].all() if n_sites else ())
        if summed_occupancy[_site(cra)] > 0.0
    ]
    if not rows:
        raise no_atoms(path, n_sites)
    table = np.array(rows, np.float64)
    return _centred(checked_atoms(table[:, :3], table[:, 3].astype(np.int64), table[:, 4], table[:, 5], str(path)))


def open_structure(path: str | Path) -> Any:
    """Open a PDB or mmCIF file (also gzipped) as a ``gemmi.Structure``.

    Raises
    ------
    FormatError
        If the file is missing or is neither.
    """
    import gemmi

    if not Path(path).is_file():
        raise FormatError(f"{path}: no such file; give the path of a PDB or mmCIF file.")
    try:
        return gemmi.read_structure(str(path))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise FormatError(f"{path}: cannot be read as a structure ({reason}); give a PDB or mmCIF file.") from error


def no_atoms(path: str | Path, n_sites: int) -> FormatError:
    """What to raise for a structure without an atom that scatters."""
    return FormatError(
        f"{path}: has {n_sites} atom sites, none of them an atom other than water and hydrogen with an occupancy "
        "above 0; give a file with atomic coordinates."
    )


def embedded_structure() -> Atoms:
    """Atoms of the spike glycoprotein trimer, PDB 6VXX (CC0): 22,812 atoms, C3, fits a sphere of 188 Å.

    How the file was made stands in ``data/6vxx.md`` beside it.
    """
    with (importlib.resources.files("gemmap.simulate") / "data" / "6vxx.npz").open("rb") as file, np.load(file) as data:
        atoms = checked_atoms(
            data["position_centi_a"] / 100.0,
            data["atomic_number"].astype(np.int64),
            data["bfactor_deci_a2"] / 10.0,
            np.ones(len(data["atomic_number"])),
            "6vxx.npz",
        )
    return _centred(atoms)


def _site(cra: Any) -> tuple[str, str, str]:
    """Name shared by the alternatives of one atom."""
    return cra.chain.name, str(cra.residue.seqid), cra.atom.name


def _sum_alternatives(model: Any) -> dict[tuple[str, str, str], float]:
    """Occupancy of every site, added over its alternatives."""
    total: dict[tuple[str, str, str], float] = {}
    for cra in model.all():
        alternative = total.get(_site(cra), 0.0) if cra.atom.has_altloc() else 0.0
        total[_site(cra)] = min(1.0, alternative + cra.atom.occ)
    return total


def checked_atoms(
    positions_a: Float[np.ndarray, "n 3"],
    atomic_number: Int[np.ndarray, " n"],
    bfactor_a2: Float[np.ndarray, " n"],
    occupancy: Float[np.ndarray, " n"],
    source: str,
) -> Atoms:
    """Atoms at the positions given, after checks; parameters as the attributes of `Atoms`, and where they come from.

    Raises
    ------
    InputError
        If an element has no electron scattering factor, or a coordinate or B-factor makes no sense.
    """
    import gemmi

    if not np.isfinite(positions_a).all():
        raise InputError(f"{source}: a coordinate is not a number; correct the file.")
    bad = ~(bfactor_a2 >= 0.0)
    if bad.any():
        raise InputError(
            f"{source}: {int(bad.sum())} of {len(bad)} atoms have a negative B-factor (the lowest is "
            f"{bfactor_a2.min():g} Å^2); expected 0 or more: correct that column."
        )
    elements = {int(z): gemmi.Element(int(z)) for z in np.unique(atomic_number)}
    unknown = sorted(e.name for z, e in elements.items() if z == 0 or e.c4322 is None)
    if unknown:
        raise InputError(
            f"{source}: no electron scattering factor for element {', '.join(unknown)}; expected elements H to Cf: "
            "correct the element column or remove these atoms."
        )
    return Atoms(positions_a, atomic_number, bfactor_a2, occupancy)


def _centred(atoms: Atoms) -> Atoms:
    """Atoms counted from their centre of mass."""
    import gemmi

    weights = {int(z): gemmi.Element(int(z)).weight for z in np.unique(atoms.atomic_number)}
    mass = atoms.occupancy * np.array([weights[int(z)] for z in atoms.atomic_number])
    return replace(atoms, positions_a=atoms.positions_a - mass @ atoms.positions_a / mass.sum())
