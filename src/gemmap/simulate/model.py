"""An atomic model as its file has it, atom by atom with its residue, in the coordinates of the file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gemmap._types import Bool, Float, Int
from gemmap.errors import InputError
from gemmap.simulate.structure import Atoms, checked_atoms, no_atoms, open_structure


@dataclass(frozen=True)
class Residue:
    """Name of a residue: its chain, its number with the insertion code, and its three-letter code."""

    chain: str
    number: str
    name: str


@dataclass(frozen=True, eq=False)
class Model:
    """Atoms with the residues they belong to.

    Attributes
    ----------
    atoms
        Positions in Å, in the file's coordinates; alternative conformations stand side by side with their occupancies.
    residue_of
        (n,), place of each atom's residue in ``residues``.
    residues
        In the order of the file.
    notes
        What was left out or chosen, one phrase each.
    """

    atoms: Atoms
    residue_of: Int[np.ndarray, " n"]
    residues: Sequence[Residue]
    notes: tuple[str, ...]

    @property
    def centre_a(self) -> Float[np.ndarray, " 3"]:
        """Middle of the smallest and the largest coordinates, Å."""
        return np.asarray(0.5 * (self.atoms.positions_a.min(axis=0) + self.atoms.positions_a.max(axis=0)))

    def moved(self, by_a: Float[np.ndarray, " 3"]) -> "Model":
        """The model with ``by_a`` (Å) added to every position."""
        return replace(self, atoms=replace(self.atoms, positions_a=self.atoms.positions_a + by_a))

    def select(self, chosen: Bool[np.ndarray, " n"], note: str) -> "Model":
        """The model with the chosen atoms only, and a note about it."""
        atoms = Atoms(*(values[chosen] for values in vars(self.atoms).values()))
        return Model(atoms, self.residue_of[chosen], self.residues, (*self.notes, note))


def read_model(path: str | Path, assembly: str | None = None) -> Model:
    """Read the atoms of a PDB or mmCIF file (also gzipped) where the file puts them.

    The first model is taken. Waters, hydrogens and atoms without occupancy are left out, all alternative conformations
    kept with their own occupancies; the notes say so.

    Parameters
    ----------
    assembly
        Name of a biological assembly of the file, such as "1", whose copies are made; None for what the file holds.

    Raises
    ------
    FormatError
        If the file is missing, is no PDB or mmCIF file, or holds no atoms that can be used.
    InputError
        If the file has no assembly of that name, an element has no electron scattering factor, or a coordinate or
        B-factor makes no sense.
    """
    structure = open_structure(path)
    if not len(structure):
        raise no_atoms(path, 0)
    notes = [f"model 1 of {len(structure)}"] if len(structure) > 1 else []
    model = structure[0] if assembly is None else _assembled(structure, assembly, path)
    if assembly is not None:
        notes.append(f"assembly {assembly}")
    n_sites = model.count_atom_sites()
    residues: list[Residue] = []
    rows: list[tuple[float, ...]] = []
    left_out = {"atoms of water": 0, "hydrogens": 0, "atoms without occupancy": 0}
    alternatives = 0
    for chain in model:
        for residue in chain:
            residues.append(Residue(chain.name, str(residue.seqid), residue.name))
            for atom in residue:
                reason = _reason_to_leave(residue, atom)
                if reason is not None:
                    left_out[reason] += 1
                    continue
                alternatives += atom.has_altloc()
                xyz = atom.pos.tolist()
                rows.append((*xyz, atom.element.atomic_number, atom.b_iso, min(1.0, atom.occ), len(residues) - 1))
    if not rows:
        raise no_atoms(path, n_sites)
    notes += [f"{n:,} {reason} left out" for reason, n in left_out.items() if n]
    if alternatives:
        notes.append(f"{alternatives:,} atoms in alternative conformations, each with its occupancy")
    notes += _copies_not_made(structure) if assembly is None else []
    table = np.array(rows, np.float64)
    atoms = checked_atoms(table[:, :3], table[:, 3].astype(np.int64), table[:, 4], table[:, 5], str(path))
    if not atoms.bfactor_a2.any():
        notes.append("all B-factors are 0")
    return Model(atoms, table[:, 6].astype(np.int64), residues, tuple(notes))


def _reason_to_leave(residue: Any, atom: Any) -> str | None:
    if residue.is_water():
        return "atoms of water"
    if atom.is_hydrogen():
        return "hydrogens"
    return None if atom.occ > 0.0 else "atoms without occupancy"


def _assembled(structure: Any, name: str, path: str | Path) -> Any:
    import gemmi

    found = {assembly.name: assembly for assembly in structure.assemblies}
    if name not in found:
        known = ", ".join(found) if found else "none"
        raise InputError(f"{path} has no assembly {name!r}; expected one of those it names ({known}).")
    return gemmi.make_assembly(found[name], structure[0], gemmi.HowToNameCopiedChain.AddNumber)


def _copies_not_made(structure: Any) -> list[str]:
    """A phrase if the file's first assembly is larger than the file."""
    if not structure.assemblies:
        return []
    first = structure.assemblies[0]
    copies = max((len(generator.operators) for generator in first.generators), default=1)
    return [f"assembly {first.name} of {copies} copies not made (--assembly {first.name})"] if copies > 1 else []
