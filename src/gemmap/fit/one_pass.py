"""The pass over the images of a half: each is read once, and an interrupted pass goes on where it was kept."""

from collections.abc import Sequence

import numpy as np
import torch

from gemmap._types import Float, Int
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.aggregate_on_device import DeviceAccumulator
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.fit.keeper import Piece, RunState
from gemmap.fit.pieces import (
    accumulator_from_piece,
    accumulator_to_piece,
    dead_from_piece,
    dead_to_piece,
    is_of_share,
)
from gemmap.fit.progress import Progress, stage
from gemmap.fit.split import N_SETS, Split, places
from gemmap.fit.team import Alone, Team, share, share_begin
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup
from gemmap.particles.batches import images_per_chunk, read_ahead
from gemmap.particles.dead_images import DeadImages, named
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: Images read at a time, in bytes, unless memory is short; four such chunks are in memory.
CHUNK_BYTES = 2**25

STAGE = "aggregate"
_DEAD = "dead_images"


def set_names(half: int) -> list[str]:
    """Names under which the sets of a split are kept."""
    return [f"half{half}_set{which}" for which in range(N_SETS)]


def aggregate_half(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    inverse_noise: Float[np.ndarray, "g s"],
    half: int,
    dead: DeadImages,
    progress: Progress,
    state: RunState,
    symmetry: PointGroup = NO_SYMMETRY,
    chunk_bytes: int | None = None,
    device: str = "cpu",
    team: Team | None = None,
    device_images: int | None = None,
) -> Split:
    """Insert the particles ``rows`` of a half, each in all views that the symmetry makes equal to its own.

    Every process of a team inserts its share of them, and all have the sums then. What an earlier process made of them
    is recalled. ``dead`` counts those whose images show nothing; they are kept with the sums that they are left out of.
    With a ``device`` other than the CPU images are inserted there, at most ``device_images`` at a time.
    """
    team = team or Alone()
    recalled = [state.recall(name) for name in set_names(half)] if team.size == 1 else [None]
    if all(piece is not None for piece in recalled):
        return Split.of([aggregate_from_tensors(*piece) for piece in recalled if piece is not None])
    accumulators = [
        _accumulator(stack.box_px, table.pixel_size_a, symmetry, device, device_images, progress) for _ in range(N_SETS)
    ]
    names = [f"half{half}_pass{which}" for which in range(N_SETS)]
    begin, done, count = share_begin(len(rows), team), 0, len(share(rows, team))
    for name, accumulator in zip(names, accumulators, strict=True):
        piece = state.recall(name)
        if piece is not None and is_of_share(piece, begin, count):
            done = accumulator_from_piece(piece, accumulator)
    if done:
        progress.note(f"half {half}: {done:,} of {count:,} particles were inserted before")
    place = np.full(len(table), -1)
    place[rows] = places(table.original_image[rows])
    rows = share(rows, team)
    # Chunks of an interrupted pass begin where those of a whole one do: results are the same to the bit.
    chunk = images_per_chunk(stack.box_px, chunk_bytes or CHUNK_BYTES)
    with stage(progress, f"reading and inserting particles of half {half}", len(rows) - done, "particles"):
        for part, images in read_ahead(stack, rows[done:], chunk, dead):
            for which, accumulator in enumerate(accumulators):
                mine = place[part] == which
                chosen = part[mine]
                accumulator.add(images[mine], table.select(chosen), inverse_noise, table.optics_group[chosen])
            read = min(chunk, len(rows) - done)
            done += read
            progress.advance(read)
            if done < len(rows) and state.due():
                state.hold(
                    **_dead_piece(dead),
                    **{n: accumulator_to_piece(a, done, begin) for n, a in zip(names, accumulators, strict=True)},
                )
                state.save(STAGE)
    if team.size > 1:
        # The share of this process is kept as it is: when the run goes on, all processes add up again.
        state.hold(
            **_dead_piece(dead),
            **{n: accumulator_to_piece(a, len(rows), begin) for n, a in zip(names, accumulators, strict=True)},
        )
        state.save(STAGE, at_once=True)
        _add_up(accumulators, dead, team)
    else:
        state.drop(*names)
    split = Split.of([accumulator.finish() for accumulator in accumulators])
    if team.size == 1:
        kept = {n: aggregate_to_tensors(a) for n, a in zip(set_names(half), split.sets(), strict=True)}
        state.hold(**_dead_piece(dead), **kept)
    state.save(STAGE)
    _say(dead, np.flatnonzero(place >= 0), half, progress)
    return split


def _add_up(accumulators: Sequence[Accumulator], dead: DeadImages, team: Team) -> None:
    """Put together what all processes inserted, and which images they left out."""
    for accumulator in accumulators:
        sums = accumulator.sums
        team.add_up(sums)
        accumulator.sums = sums
    told = team.gather(([accumulator.n_particles for accumulator in accumulators], dead.rows))
    for which, accumulator in enumerate(accumulators):
        accumulator.n_particles = sum(counts[which] for counts, _ in told)
    dead.add(np.unique(np.concatenate([rows for _, rows in told])))


def _accumulator(
    box_px: int, pixel_size_a: float, symmetry: PointGroup, device: str, most: int | None, progress: Progress
) -> Accumulator:
    if torch.device(device).type == "cpu":
        return Accumulator(box_px, pixel_size_a, symmetry)
    return DeviceAccumulator(box_px, pixel_size_a, symmetry, device=torch.device(device), most=most, say=progress.note)


def recall_dead(n_particles: int, state: RunState) -> DeadImages:
    """Return the dead images that an earlier process found, to which others may be added."""
    piece = state.recall(_DEAD)
    return DeadImages(n_particles, () if piece is None else dead_from_piece(piece))


def _dead_piece(dead: DeadImages) -> dict[str, Piece]:
    return {_DEAD: dead_to_piece(dead)} if len(dead) else {}


def _say(dead: DeadImages, rows: Int[np.ndarray, " n"], half: int, progress: Progress) -> None:
    out = np.intersect1d(rows, dead.rows)
    if len(out):
        progress.note(f"half {half}: {len(out):,} of {len(rows):,} images are dead and left out ({named(out)})")
