"""Sums of particles that outlive the process that made them: they add, and particles can be taken out of them again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gemmap._types import Bool, Curve, Float, Int
from gemmap.errors import InputError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.extent import UNKNOWN_END, UNKNOWN_RADIUS, Extent
from gemmap.fit.image_batches import Particles
from gemmap.fit.split import N_SETS, Split

#: Spectra of more parts are not shown one by one.
_PARTS_NAMED = 8
#: Pixel sizes that differ by less than this part are the same.
_PIXEL_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Part:
    """What was inserted by one process.

    Attributes
    ----------
    source
        File and format of the particles, in words.
    created
        When, as ISO 8601 text with its time zone.
    version
        Of this package.
    groups
        Names of the optics groups.
    noise
        (2, g, s) noise power of half 1 and 2, every optics group and shell 0 .. D-1.
    extents
        How far the particle reaches, as seen in each half.
    """

    source: str
    created: str
    version: str
    groups: tuple[str, ...]
    noise: Float[np.ndarray, "2 g s"]
    extents: Mapping[int, Extent]


@dataclass(frozen=True, eq=False)
class Members:
    """Where each particle went; rows of one particle's copies (symmetry expansion) are all there.

    Attributes
    ----------
    ids
        (n,) int64, what its image is recognised by (:func:`gemmap.particles.identity.image_ids`).
    half
        (n,) 1 or 2.
    place
        (n,) 0 for the seen particles, 1 and 2 for the held-out sets.
    part, group
        (n,) index of its part, and of its optics group there.
    """

    ids: Int[np.ndarray, " n"]
    half: Int[np.ndarray, " n"]
    place: Int[np.ndarray, " n"]
    part: Int[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray) -> Self:
        """Return some of them."""
        return type(self)(self.ids[rows], self.half[rows], self.place[rows], self.part[rows], self.group[rows])

    def joined(self, other: Self, first_part: int) -> Self:
        """Return both; the parts of ``other`` are numbered from ``first_part`` on."""
        moved = replace(other, part=other.part + first_part)
        names = ("ids", "half", "place", "part", "group")
        return type(self)(*(np.concatenate([getattr(self, name), getattr(moved, name)]) for name in names))

    def are_in(self, half: int, place: int) -> Bool[np.ndarray, " n"]:
        """Which of them went to one set of one half."""
        return np.asarray((self.half == half) & (self.place == place))


@dataclass(frozen=True, eq=False)
class KeptSums:
    """Everything that a reconstruction needs of its particles, and which particles they are.

    Attributes
    ----------
    splits
        Sums of the seen and held-out particles of each half.
    members
        The particles.
    parts
        Where they came from.
    treatment
        What was done to the images before they were inserted; sums of images treated differently do not add.
    """

    splits: Mapping[int, Split]
    members: Members
    parts: tuple[Part, ...]
    treatment: Mapping[str, bool]

    def __post_init__(self) -> None:
        for half, place in ((h, p) for h in (1, 2) for p in range(N_SETS)):
            counted, stated = int(self.members.are_in(half, place).sum()), self._set(half, place).n_particles
            if counted != stated:
                raise InputError(
                    f"Set {place} of half {half} holds {stated} particles, but {counted} are listed; the sums are not "
                    "those of the list: make them again."
                )

    def _set(self, half: int, place: int) -> Aggregate:
        return self.splits[half].sets()[place]

    @property
    def box_px(self) -> int:
        """Side of images and maps."""
        return self.splits[1].seen.box_px

    @property
    def pixel_size_a(self) -> float:
        """Å per voxel."""
        return self.splits[1].seen.pixel_size_a

    @property
    def symmetry(self) -> str:
        """Name of the group under which they were inserted."""
        return self.splits[1].seen.symmetry

    @property
    def n_particles(self) -> int:
        """Particles inserted."""
        return len(self.members)

    def require_alike(self, other: Self, names: tuple[str, str]) -> None:
        """Refuse to join sums that do not add.

        Raises
        ------
        InputError
            Naming both and what they differ in, or how many particles are in both.
        """
        first, second = names
        differences = (
            ("a box", f"{self.box_px} px", f"{other.box_px} px", self.box_px != other.box_px),
            (
                "a pixel size",
                f"{self.pixel_size_a:g} Å",
                f"{other.pixel_size_a:g} Å",
                abs(self.pixel_size_a - other.pixel_size_a) > _PIXEL_TOLERANCE * self.pixel_size_a,
            ),
            ("symmetry", self.symmetry, other.symmetry, self.symmetry != other.symmetry),
            (
                "images treated by",
                _treated(self.treatment),
                _treated(other.treatment),
                dict(self.treatment) != dict(other.treatment),
            ),
        )
        for what, own, its, differs in differences:
            if differs:
                raise InputError(
                    f"{first} has {what} {own} and {second} {its}; expected the same: make both with the same options."
                )
        both = np.intersect1d(self.members.ids, other.members.ids)
        if len(both):
            raise InputError(
                f"{len(both):,} particles are in {first} and in {second}; each may be counted once: leave one of the "
                "files out, or make it again without them."
            )

    def joined(self, other: Self, names: tuple[str, str] = ("The first", "the second")) -> Self:
        """Return the sums of the particles of both; raises as `require_alike`."""
        self.require_alike(other, names)
        splits = {half: self.splits[half] + other.splits[half] for half in (1, 2)}
        members = self.members.joined(other.members, len(self.parts))
        return replace(self, splits=splits, members=members, parts=(*self.parts, *other.parts))

    def find(self, ids: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
        """Rows of the members with these ids; -1 for those that are none."""
        if not len(self.members):
            return np.full(len(ids), -1)
        order = np.argsort(self.members.ids, kind="stable")
        place = np.searchsorted(self.members.ids[order], ids)
        rows = order[np.minimum(place, len(order) - 1)]
        return np.where(self.members.ids[rows] == ids, rows, -1)

    def without(self, taken: Mapping[tuple[int, int], Aggregate], ids: Int[np.ndarray, " k"]) -> Self:
        """Return the sums without some particles.

        Parameters
        ----------
        taken
            Sums of these particles alone, inserted as they were before, by half and set.
        ids
            Which they are.
        """
        splits = {
            half: Split.of(
                [
                    _difference(aggregate, taken.get((half, place)))
                    for place, aggregate in enumerate(self.splits[half].sets())
                ]
            )
            for half in (1, 2)
        }
        return replace(self, splits=splits, members=self.members.select(~np.isin(self.members.ids, ids)))


def _treated(treatment: Mapping[str, bool]) -> str:
    return " and ".join(name for name, done in treatment.items() if done) or "nothing"


def _difference(all_of_them: Aggregate, some: Aggregate | None) -> Aggregate:
    if some is None:
        return all_of_them
    weight = all_of_them.weight - some.weight
    # What is left of a voxel that only these particles reached is rounding, which a fit would divide by.
    gone = weight <= 1e-5 * all_of_them.weight
    return replace(
        all_of_them,
        numerator=np.where(gone, np.complex64(0), all_of_them.numerator - some.numerator),
        weight=np.where(gone, np.float32(0), weight),
        n_particles=all_of_them.n_particles - some.n_particles,
    )


@dataclass(frozen=True, eq=False)
class SumsSource:
    """Kept sums as a ``gemmap.fit.source.Source``: the images are not needed any more.

    Attributes
    ----------
    radius_px
        Of the particle where the user knows it; None takes what the parts saw.
    """

    sums: KeptSums
    radius_px: float | None = None

    @property
    def box_px(self) -> int:
        """Side of images and maps."""
        return self.sums.box_px

    @property
    def pixel_size_a(self) -> float:
        """Å per voxel of the maps."""
        return self.sums.pixel_size_a

    @property
    def n_particles(self) -> int:
        """Particles of both halves."""
        return self.sums.n_particles

    @property
    def dead_rows(self) -> Int[np.ndarray, " k"]:
        """None: dead images were never inserted."""
        return np.zeros(0, np.int64)

    @property
    def asymmetry(self) -> Mapping[int, float]:
        """Not known of sums."""
        return {}

    @property
    def extents(self) -> Mapping[int, Extent]:
        """How far the particle reaches: the median over the particles of a half of what their parts saw."""
        return {half: self._extent(half) for half in (1, 2)}

    def noise_spectra(self) -> Mapping[str, Curve]:
        """Noise power of every part, half and optics group, by name; of many parts their mean over the particles."""
        if len(self.sums.parts) > _PARTS_NAMED:
            return self._mean_noise()
        one = len(self.sums.parts) == 1
        return {
            f"{'' if one else f'part{number}_'}half{half}_{name}": part.noise[half - 1, group]
            for number, part in enumerate(self.sums.parts, start=1)
            for half in (1, 2)
            for group, name in enumerate(part.groups)
        }

    def split(self, half: int) -> Split:
        """Sums of the seen and the held-out particles of a half."""
        return self.sums.splits[half]

    def particles(self, half: int | None) -> Particles | None:
        """There are no images."""
        return None

    def _mean_noise(self) -> Mapping[str, Curve]:
        """Noise power of every half and optics group of one name, each part counted as often as it has particles."""
        members, totals = self.sums.members, dict[str, tuple[int, Curve]]()
        for number, part in enumerate(self.sums.parts):
            for half in (1, 2):
                own = members.group[(members.part == number) & (members.half == half)]
                for group, count in enumerate(np.bincount(own, minlength=len(part.groups)).tolist()):
                    name = f"half{half}_{part.groups[group]}"
                    n, total = totals.get(name, (0, np.zeros_like(part.noise[0, 0])))
                    totals[name] = (n + count, total + count * part.noise[half - 1, group])
        return {name: total / n for name, (n, total) in totals.items() if n}

    def _extent(self, half: int) -> Extent:
        if self.radius_px is not None:
            return Extent(self.radius_px)
        members = self.sums.members
        counts = np.bincount(members.part[members.half == half], minlength=len(self.sums.parts))
        usual = Extent(0.0).edge_px
        seen = [
            (part.extents[half].radius_px, int(count))
            for part, count in zip(self.sums.parts, counts, strict=True)
            if part.extents[half].edge_px == usual and count
        ]
        if not seen:
            return Extent(UNKNOWN_RADIUS * self.box_px, (UNKNOWN_END - UNKNOWN_RADIUS) * self.box_px)
        radii, weights = (np.array(values) for values in zip(*sorted(seen), strict=True))
        middle = np.searchsorted(np.cumsum(weights), 0.5 * weights.sum())
        return Extent(float(radii[middle]))
