"""RELION's particle and optics tables joined, and the image names in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Int, PerParticle
from gemmap.errors import FormatError, shortened
from gemmap.io.image_list import ImageList
from gemmap.io.star import StarTable, read_star

#: An image number of more would not be one, and not fit int64.
_MOST_DIGITS = 18
#: Characters of a wrong name in a message.
_SHOWN = 80
_PARTICLE_TABLES = ("particles", "images", "")


class RelionTable:
    """Columns by particle: those of the particle table, else those of its optics group's row.

    The particle table wins, as in RELION's ``CTF::readValue``.
    """

    def __init__(self, particles: StarTable, optics: StarTable | None, source: Path) -> None:
        self.particles = particles
        self.optics = optics
        self.source = source
        self.optics_row = np.zeros(len(particles), np.int64) if optics is None else self._join(optics)

    def _join(self, optics: StarTable) -> Int[np.ndarray, " n"]:
        if "rlnOpticsGroup" not in self.particles:
            raise FormatError(f"{self.source} has an optics table, but its particles have no rlnOpticsGroup column.")
        numbers, wanted = optics.ints("rlnOpticsGroup"), self.particles.ints("rlnOpticsGroup")
        if len(numbers) == 0:
            raise FormatError(f"{self.source} has an optics table without rows, and particles that name optics groups.")
        order = np.argsort(numbers, kind="stable")
        if len(np.unique(numbers)) != len(numbers):
            raise FormatError(f"{self.source} gives the same rlnOpticsGroup twice in its optics table.")
        place = np.minimum(np.searchsorted(numbers, wanted, sorter=order), len(numbers) - 1)
        row = np.asarray(order[place])
        unknown = np.unique(wanted[numbers[row] != wanted])
        if len(unknown):
            raise FormatError(
                f"{self.source}: particles name optics group {unknown[0]}, which is not in the optics table "
                f"(it has {', '.join(map(str, np.sort(numbers)[:5]))})."
            )
        return row

    def __len__(self) -> int:
        return len(self.particles)

    def __contains__(self, label: str) -> bool:
        return label in self.particles or (self.optics is not None and label in self.optics)

    def strings(self, label: str) -> list[str]:
        """One text per particle."""
        if label in self.particles:
            return self.particles.strings(label)
        assert self.optics is not None
        values = self.optics.strings(label)
        return [values[row] for row in self.optics_row]

    def strings_of(self, label: str, rows: Int[np.ndarray, " k"]) -> list[str]:
        """Texts of some particles."""
        if label in self.particles:
            values = self.particles.strings(label)
            return [values[row] for row in rows]
        assert self.optics is not None
        values = self.optics.strings(label)
        return [values[row] for row in self.optics_row[rows]]

    def floats(self, label: str) -> PerParticle:
        """One number per particle."""
        if label in self.particles:
            return self.particles.floats(label)
        assert self.optics is not None
        by_group: PerParticle = self.optics.floats(label)
        return np.asarray(by_group[self.optics_row])

    def floats_or(self, label: str, default: float) -> PerParticle:
        """One number per particle, or the default where the file has no such column."""
        return self.floats(label) if label in self else np.full(len(self), default)


def read_relion_images(path: Path) -> ImageList:
    """Read only which images a STAR file names, and their half-sets: it may have neither poses nor CTF."""
    return image_list(read_relion_table(path))


def image_list(joined: RelionTable) -> ImageList:
    """Image addresses and half-sets of the particles; RELION's images are bright on disk, so the sign is +1."""
    stacks, stack_of, index = parse_image_names(joined.strings("rlnImageName"), joined.source)
    return ImageList(stacks, stack_of, index, np.ones(len(joined)), half_sets(joined))


def read_relion_table(path: Path) -> RelionTable:
    """Read a STAR file and find its particle table and, if it has one, its optics table (before or after).

    Raises
    ------
    FormatError
        If no table, or more than one that could be meant, names images; if it is empty.
    """
    tables = read_star(path)
    particles = _particle_table(tables, path)
    others = [table for table in tables.values() if "rlnOpticsGroup" in table and "rlnImageName" not in table]
    optics = tables.get("optics", others[0] if len(others) == 1 else None)
    if optics is not None and "rlnOpticsGroup" not in optics:
        raise FormatError(f"{path} has an optics table without the column rlnOpticsGroup.")
    return RelionTable(particles, optics, path)


def _particle_table(tables: Mapping[str, StarTable], path: Path) -> StarTable:
    with_images = {name: table for name, table in tables.items() if "rlnImageName" in table}
    named = [with_images[name] for name in _PARTICLE_TABLES if name in with_images]
    if not with_images:
        names = ", ".join(f"data_{name}" for name in tables)
        raise FormatError(
            f"{path} names no images: none of its tables ({shortened(names)}) has the column rlnImageName; "
            "expected a particle file."
        )
    if not named and len(with_images) > 1:
        raise FormatError(
            f"{path} has {len(with_images)} tables with images ({shortened(', '.join(with_images))}) and none is "
            "called data_particles or data_images; keep the one you mean."
        )
    table = (named or list(with_images.values()))[0]
    if len(table) == 0:
        raise FormatError(f"{path} holds no particles: its table data_{shortened(table.name)} is empty.")
    return table


def parse_image_names(
    names: Sequence[str], source: Path
) -> tuple[tuple[str, ...], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Split names into stacks, the stack of each image and its 0-based index.

    Names are ``000123@stack.mrcs`` or ``000123@stack.mrc:mrcs``, numbers from 1.

    Raises
    ------
    FormatError
        Naming the first image name that is not of this form.
    """
    stack_number: dict[str, int] = {}
    stack_of, index = np.empty(len(names), np.int64), np.empty(len(names), np.int64)
    for row, name in enumerate(names):
        number, at, stack = name.partition("@")
        stack = stack.removesuffix(":mrcs")  # RELION's way of saying that a file of another name is a stack
        if not (at and stack and number.strip().isdecimal() and len(number) <= _MOST_DIGITS and int(number) >= 1):
            raise FormatError(
                f"{source}: image name of row {row + 1} is {name[:_SHOWN]!r}; expected number@stack with numbers "
                "from 1, such as 000001@particles.mrcs."
            )
        stack_of[row] = stack_number.setdefault(stack, len(stack_number))
        index[row] = int(number) - 1
    return tuple(stack_number), stack_of, index


def half_sets(joined: RelionTable) -> Int[np.ndarray, " n"]:
    """Half-set of each particle (1 or 2), 0 where the file gives none."""
    if "rlnRandomSubset" not in joined.particles:
        return np.zeros(len(joined), np.int64)
    half = joined.particles.ints("rlnRandomSubset")
    wrong = np.flatnonzero((half < 0) | (half > 2))
    if len(wrong):
        raise FormatError(
            f"{joined.source}: rlnRandomSubset of row {wrong[0] + 1} is {half[wrong[0]]}; expected 1 or 2 (0: none)."
        )
    return half
