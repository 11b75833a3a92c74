"""One particle file of a folder that is watched: its new particles, as sums."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap._types import Int
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction
from gemmap.api.sums import aggregate
from gemmap.api.watch.known_images import KnownImages
from gemmap.fit.kept_sums import KeptSums
from gemmap.fit.one_pass import CHUNK_BYTES
from gemmap.fit.progress import Progress, stage
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.io.settling import Settling, Stamp
from gemmap.particles.batches import images_per_chunk, read_ahead
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.halves import halves_of_ids
from gemmap.particles.identity import IdentifiedStack

#: More dead images than this part of a file are a fault of the file. Files of one micrograph have few particles: the
#: 1 % that a whole set may have would refuse a file of 99 for one image.
_LARGEST_DEAD_PART = 0.1


class NotSettledError(Exception):
    """A stack that the file names is still being written."""


@dataclass(frozen=True, eq=False)
class Intake:
    """What a file had to give.

    Attributes
    ----------
    sums
        Of its new particles; None without any, or where they are too few.
    n_particles
        In the file, as the options choose.
    n_new
        Of them, that were not added before; those with dead images are not counted.
    n_dead
        Whose images show nothing.
    """

    sums: KeptSums | None
    n_particles: int
    n_new: int
    n_dead: int


def take(
    options: ReconstructionOptions,
    settling: Settling,
    known: KnownImages,
    added: Int[np.ndarray, " k"],
    progress: Progress,
) -> Intake:
    """Insert the particles of a file that were not added before.

    Particles are recognised by their pixels. Half-sets are the file's; without any, each image has its own, whatever
    else is there (:func:`gemmap.particles.halves.halves_of_ids`).

    Parameters
    ----------
    options
        The file, and how it is read and inserted.
    settling
        Is asked whether the image stacks are complete.
    known
        Images read before; those of the file are added.
    added
        What the particles added so far are recognised by.
    progress
        Told what happens.

    Raises
    ------
    NotSettledError
        If a stack is being written.
    InputError, FormatError
        If the file cannot be used, as it is now.
    """
    plan = plan_reconstruction(options)
    stamps = _stamps(plan.stack_files, settling.settled)
    ids, living = _recognise(plan, stamps, known, progress)
    rows = np.flatnonzero(living & ~np.isin(ids, added))
    n, n_dead = len(ids), int((~living).sum())
    half = plan.table.half[rows] if plan.split.from_file else halves_of_ids(ids[rows], options.seed)
    if min(len(np.unique(ids[rows][half == which])) for which in (1, 2)) < LEAST_PARTICLES:
        return Intake(None, n, len(rows), n_dead)
    sums = aggregate(plan.select(rows, half), progress)
    if _stamps(plan.stack_files, Stamp.of) != stamps:
        raise NotSettledError
    return Intake(sums, n, len(rows), n_dead)


def _stamps(paths: tuple[Path, ...], stamp_of: Callable[[Path], Stamp | None]) -> list[Stamp]:
    # All are asked: each is waited for from the first time that it is looked at.
    stamps = [stamp_of(path) for path in paths]
    there = [stamp for stamp in stamps if stamp is not None]
    if len(there) < len(stamps):
        raise NotSettledError
    return there


def _recognise(
    plan: ReconstructionPlan, stamps: list[Stamp], known: KnownImages, progress: Progress
) -> tuple[Int[np.ndarray, " n"], np.ndarray]:
    """What every image is recognised by, read where that is not known, and which of them are not dead."""
    table = plan.table
    ids, seen = known.recall(plan.stack_files, table.stack_of, table.index_in_stack)
    unread, living = np.flatnonzero(~seen), seen.copy()
    identified, dead = IdentifiedStack(plan.stack), DeadImages(len(table), largest_part=_LARGEST_DEAD_PART)
    chunk = images_per_chunk(plan.stack.box_px, plan.config.chunk_bytes or CHUNK_BYTES)
    with stage(progress, "recognising particles", len(unread), "particles"):
        for part, _ in read_ahead(identified, unread, chunk, dead):
            living[part] = True
            progress.advance(len(part))
    ids[unread] = identified.ids[unread]
    new = unread[living[unread]]
    known.learn(plan.stack_files, stamps, table.stack_of[new], table.index_in_stack[new], ids[new])
    return ids, living
