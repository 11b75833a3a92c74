"""The gold-standard split: taken from the file where it has one, drawn by a seed otherwise."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gemmap.errors import InputError
from gemmap.particles.table import ParticleTable


@dataclass(frozen=True)
class HalfSplit:
    """Where the half-sets came from.

    Attributes
    ----------
    n_half1, n_half2
        Particles in each half.
    seed
        Seed of the random split, or None for a split read from the file.
    """

    n_half1: int
    n_half2: int
    seed: int | None

    @property
    def from_file(self) -> bool:
        """True if the split is the file's own: halves are then as independent as the refinement kept them."""
        return self.seed is None

    def of(self, table: ParticleTable) -> Self:
        """Return the split of some of its particles."""
        return replace(self, n_half1=int((table.half == 1).sum()), n_half2=int((table.half == 2).sum()))


def assign_halves(table: ParticleTable, seed: int) -> tuple[ParticleTable, HalfSplit]:
    """Return the table with every particle in half 1 or 2, and how that was decided.

    A split in the file is never changed. Without one, particles are dealt at random into halves whose sizes differ by
    at most one; the same seed gives the same split.

    Raises
    ------
    InputError
        If some particles have a half-set and others none, or if a half would be empty.
    """
    n = len(table)
    n_assigned = int((table.half > 0).sum())
    if 0 < n_assigned < n:
        raise InputError(
            f"{n - n_assigned} of {n} particles have no half-set while the others do; complete the column "
            "(rlnRandomSubset or alignments3D/split), or remove it to have GEM split them."
        )
    drawn_with = None if n_assigned else seed
    if drawn_with is not None:
        half = np.empty(n, np.int64)
        half[np.random.default_rng(seed).permutation(n)] = 1 + np.arange(n) % 2
        table = replace(table, half=half)
    split = HalfSplit(int((table.half == 1).sum()), int((table.half == 2).sum()), drawn_with)
    if not (split.n_half1 and split.n_half2):
        raise InputError(
            f"Half 1 has {split.n_half1} particles and half 2 has {split.n_half2}; expected some in each: half-maps "
            "need two halves, so give more particles or correct the half-set column."
        )
    return table, split
