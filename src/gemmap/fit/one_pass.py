"""The pass over the images of a half: each is read once, and an interrupted pass goes on where it was kept."""

import numpy as np

from gemmap._types import Float, Int
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.fit.keeper import RunState
from gemmap.fit.pieces import accumulator_from_piece, accumulator_to_piece
from gemmap.fit.progress import Progress, stage
from gemmap.fit.split import N_SETS, Split, places
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup
from gemmap.particles.batches import images_per_chunk, read_ahead
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: Images read at a time, in bytes; four such chunks are in memory.
CHUNK_BYTES = 2**25

STAGE = "aggregate"


def set_names(half: int) -> list[str]:
    """Names under which the sets of a split are kept."""
    return [f"half{half}_set{which}" for which in range(N_SETS)]


def aggregate_half(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    inverse_noise: Float[np.ndarray, "g s"],
    half: int,
    progress: Progress,
    state: RunState,
    symmetry: PointGroup = NO_SYMMETRY,
) -> Split:
    """Insert the particles ``rows`` of a half, each in all views that the symmetry makes equal to its own.

    What an earlier process made of them is recalled.
    """
    recalled = [state.recall(name) for name in set_names(half)]
    if all(piece is not None for piece in recalled):
        return Split.of([aggregate_from_tensors(*piece) for piece in recalled if piece is not None])
    accumulators = [Accumulator(stack.box_px, table.pixel_size_a, symmetry) for _ in range(N_SETS)]
    names = [f"half{half}_pass{which}" for which in range(N_SETS)]
    done = 0
    for name, accumulator in zip(names, accumulators, strict=True):
        piece = state.recall(name)
        done = 0 if piece is None else accumulator_from_piece(piece, accumulator)
    if done:
        progress.note(f"half {half}: {done:,} of {len(rows):,} particles were inserted before")
    place = np.full(len(table), -1)
    place[rows] = places(table.original_image[rows])
    # Chunks of an interrupted pass begin where those of a whole one do: results are the same to the bit.
    chunk = images_per_chunk(stack.box_px, CHUNK_BYTES)
    with stage(progress, f"reading and inserting particles of half {half}", len(rows) - done, "particles"):
        for part, images in read_ahead(stack, rows[done:], chunk):
            for which, accumulator in enumerate(accumulators):
                mine = place[part] == which
                chosen = part[mine]
                accumulator.add(images[mine], table.select(chosen), inverse_noise, table.optics_group[chosen])
            done += len(part)
            progress.advance(len(part))
            if done < len(rows) and state.due():
                state.hold(**{n: accumulator_to_piece(a, done) for n, a in zip(names, accumulators, strict=True)})
                state.save(STAGE)
    state.drop(*names)
    split = Split.of([accumulator.finish() for accumulator in accumulators])
    state.hold(**{n: aggregate_to_tensors(a) for n, a in zip(set_names(half), split.sets(), strict=True)})
    state.save(STAGE)
    return split
