"""The gold-standard split: taken from the file where it has one, drawn by a seed otherwise.

Rows that share an image (copies made by symmetry expansion) carry the same noise: they are never in both halves.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gemmap._types import Int
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

    A split in the file is never changed. Without one, images are dealt at random into halves whose numbers of images
    differ by at most one; the same seed gives the same split.

    Raises
    ------
    InputError
        If some particles have a half-set and others none, if a half would be empty, or if the file has copies of one
        image in both.
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
        image = by_appearance(table.original_image)
        n_images = int(image.max()) + 1 if n else 0
        half = np.empty(n_images, np.int64)
        half[np.random.default_rng(seed).permutation(n_images)] = 1 + np.arange(n_images) % 2
        table = replace(table, half=half[image])
    else:
        _require_copies_together(table)
    split = HalfSplit(int((table.half == 1).sum()), int((table.half == 2).sum()), drawn_with)
    if not (split.n_half1 and split.n_half2):
        raise InputError(
            f"Half 1 has {split.n_half1} particles and half 2 has {split.n_half2}; expected some in each: half-maps "
            "need two halves, so give more particles or correct the half-set column."
        )
    return table, split


def halves_of_ids(ids: Int[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " n"]:
    """Half-set 1 or 2 of every image by what it is recognised by: the same whatever else is there, and in any order.

    Parameters
    ----------
    ids
        (n,) int64 (:func:`gemmap.particles.identity.image_ids`).
    seed
        Of the draw. The bit is drawn by the mixer of SplitMix64 (Steele, Lea and Flood 2014), so halves of n images
        differ by about sqrt(n).
    """
    mixed = ids.view(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return 1 + ((mixed >> np.uint64(63)) & np.uint64(1)).astype(np.int64)


def parse_part(text: str) -> tuple[int, int]:
    """Return I and N of ``I/N``.

    Raises
    ------
    InputError
        If it is something else.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None:
        raise InputError(f"The part is {text!r}; expected I/N, such as 3/16.")
    return int(match[1]), int(match[2])


def rows_of_part(images: Int[np.ndarray, " n"], part: int, n_parts: int) -> Int[np.ndarray, " k"]:
    """Rows of part 1 .. ``n_parts`` of particles cut into runs of equally many images; copies of one stay together.

    Parameters
    ----------
    images
        Number of every particle's image (:attr:`gemmap.particles.table.ParticleTable.original_image`).

    Raises
    ------
    InputError
        If there is no such part, or more parts than images.
    """
    number = by_appearance(images)
    n_images = int(number.max()) + 1 if len(number) else 0
    if not 1 <= part <= n_parts <= n_images:
        raise InputError(
            f"Part {part} of {n_parts} of {n_images:,} images was asked for; expected I/N with I from 1 to N, and no "
            "more parts than images."
        )
    return np.flatnonzero(number * n_parts // n_images == part - 1)


def by_appearance(images: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Number images 0, 1, .. as they first appear: 0 .. n-1 in order if each row has an image of its own."""
    _, first, inverse = np.unique(images, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse.reshape(-1)]


def _require_copies_together(table: ParticleTable) -> None:
    """Refuse a split of the file that has copies of one image in both halves."""
    image = table.original_image
    in_half = [np.bincount(image[table.half == half], minlength=len(table)) > 0 for half in (1, 2)]
    both = in_half[0] & in_half[1]
    if both.any():
        row = int(np.flatnonzero(both[image])[0])
        raise InputError(
            f"{int(both.sum())} images have copies in both half-sets (the first is image "
            f"{int(table.index_in_stack[row]) + 1} of {table.stacks[table.stack_of[row]]}), so the halves share noise; "
            "remove the half-set column (rlnRandomSubset or alignments3D/split) to have GEM split by image, or split "
            "before symmetry expansion."
        )
