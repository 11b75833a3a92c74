"""The sums of particles that are in kept sums already, inserted once more just as they were: to be taken out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Float, Int
from gemmap.errors import InputError
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.kept_sums import KeptSums, Members
from gemmap.fit.noise_power import inverse_noise
from gemmap.fit.one_pass import CHUNK_BYTES
from gemmap.fit.progress import Progress, stage
from gemmap.geometry.symmetry import point_group
from gemmap.particles.background import Circles, NormalisedStack, WindowedStack
from gemmap.particles.batches import images_per_chunk, read_ahead
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.identity import IdentifiedStack
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


@dataclass(frozen=True, eq=False)
class Taken:
    """Sums of some members by half and set, and which they are."""

    sums: Mapping[tuple[int, int], Aggregate]
    ids: Int[np.ndarray, " k"]


def sums_of_members(sums: KeptSums, table: ParticleTable, stack: ImageStack, progress: Progress) -> Taken:
    """Insert particles as ``sums`` has them: with the half-set, noise and treatment that their images had there.

    Raises
    ------
    InputError
        If an image is not in ``sums``.
    """
    chunk = images_per_chunk(stack.box_px, CHUNK_BYTES)
    rows, ids = _recognise(table, stack, chunk, progress)
    found = sums.find(ids)
    if not len(rows) or (found < 0).any():
        missing = rows[found < 0]
        first = "there are none" if not len(missing) else f"the first is particle {int(missing[0]) + 1}"
        raise InputError(
            f"{len(missing):,} of the {len(table):,} particles to take out are not in the sums ({first}); give "
            "particles that were added, read with the same --box and --invert."
        )
    _require_all_copies(sums, ids)
    members = sums.members.select(found)
    weights, weight_of = _weights(sums, members, table, rows)
    treated = _treated(sums, members, table, stack, rows)
    group = point_group(sums.symmetry)
    accumulators: dict[tuple[int, int], Accumulator] = {}
    at = np.full(len(table), -1)
    at[rows] = np.arange(len(rows))
    with stage(progress, "inserting particles to take out", len(rows), "particles"):
        for part, images in read_ahead(treated, rows, chunk, DeadImages(len(table))):
            own = at[part]
            for key in set(zip(members.half[own].tolist(), members.place[own].tolist(), strict=True)):
                mine = (members.half[own] == key[0]) & (members.place[own] == key[1])
                into = accumulators.setdefault(key, Accumulator(sums.box_px, sums.pixel_size_a, group))
                into.add(images[mine], table.select(part[mine]), weights, weight_of[own[mine]])
            progress.advance(len(part))
    return Taken({key: accumulator.finish() for key, accumulator in accumulators.items()}, np.unique(ids))


def _require_all_copies(sums: KeptSums, ids: Int[np.ndarray, " k"]) -> None:
    """Refuse to take out some copies of an image (symmetry expansion) and leave others, or one copy twice."""
    taken, counts = np.unique(ids, return_counts=True)
    all_ids, all_counts = np.unique(sums.members.ids, return_counts=True)
    there = all_counts[np.searchsorted(all_ids, taken)]
    if (counts != there).any():
        which = int(np.flatnonzero(counts != there)[0])
        raise InputError(
            f"An image was added {there[which]} times and is listed {counts[which]} times to be taken out; list all of "
            "its copies, each once."
        )


def _recognise(
    table: ParticleTable, stack: ImageStack, chunk: int, progress: Progress
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Rows and ids of the particles whose images are not dead."""
    identified, living = IdentifiedStack(stack), []
    with stage(progress, "recognising particles to take out", len(table), "particles"):
        for part, _ in read_ahead(identified, np.arange(len(table)), chunk, DeadImages(len(table))):
            living.append(part)
            progress.advance(len(part))
    rows = np.concatenate(living) if living else np.zeros(0, np.int64)
    return rows, identified.ids[rows]


def _weights(
    sums: KeptSums, members: Members, table: ParticleTable, rows: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "w s"], Int[np.ndarray, " k"]]:
    """1/sigma^2 as each particle had it, and which of them is whose.

    The noise is that of the particle's part, half and group; shells without data are those of its optics now.
    """
    keys = np.stack([members.part, members.half, members.group, table.optics_group[rows]], axis=1)
    kinds, weight_of = np.unique(keys, axis=0, return_inverse=True)
    power = np.stack([sums.parts[part].noise[half - 1, group] for part, half, group, _ in kinds])
    optics = [table.optics[own] for *_, own in kinds]
    return inverse_noise(optics, power), weight_of.reshape(-1)


def _treated(
    sums: KeptSums, members: Members, table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " k"]
) -> ImageStack:
    """The images with their background treated as it was then, by the extent that their part and half saw."""
    if not any(sums.treatment.values()):
        return stack
    n = len(table)
    radius_a, edge_a = np.zeros(n), np.zeros(n)
    extents = [sums.parts[part].extents[half] for part, half in zip(members.part, members.half, strict=True)]
    radius_a[rows] = [extent.radius_px * sums.pixel_size_a for extent in extents]
    edge_a[rows] = [extent.edge_px * sums.pixel_size_a for extent in extents]
    pixel_sizes_a = np.array([group.pixel_size_a for group in table.optics])[table.optics_group]
    circles = Circles(radius_a / pixel_sizes_a, edge_a / pixel_sizes_a, -table.shifts_a / pixel_sizes_a[:, None])
    if sums.treatment["normalise"]:
        stack = NormalisedStack(stack, circles)
    return WindowedStack(stack, circles) if sums.treatment["window"] else stack
