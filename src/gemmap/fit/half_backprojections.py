"""Back-projections of two half-sets alone, for judging maps that another program made of them."""

import numpy as np

from gemmap._types import Volume
from gemmap.fit.backprojection import back_projection
from gemmap.fit.config import FitConfig
from gemmap.fit.extent import find_extent
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.noise_power import inverse_noise, noise_power_of_groups
from gemmap.fit.one_pass import aggregate_half
from gemmap.fit.progress import Progress
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


def back_project_halves(
    table: ParticleTable, stack: ImageStack, config: FitConfig, progress: Progress
) -> tuple[Volume, Volume]:
    """Return the Wiener back-projections of half-sets 1 and 2, as a reconstruction makes them.

    Parameters
    ----------
    table, stack
        Particles, each in half 1 or 2, and their images, all of one box.
    config
        Symmetry, particle diameter, and images read at a time.
    progress
        Told what happens.

    Raises
    ------
    InputError
        If too many images are dead.
    """
    dead = DeadImages(len(table))
    volumes = []
    for half in (1, 2):
        # One of its own for each half: it holds what was inserted.
        state = RunState(Forgetful(), progress)
        rows = np.flatnonzero(table.half == half)
        extent = find_extent(table, stack, rows, half, dead, config, progress)
        noise = noise_power_of_groups(table, stack, rows, extent.radius_px, dead)
        split = aggregate_half(
            table, stack, rows, inverse_noise(table.optics, noise), half, dead, progress, state, config.group,
            config.chunk_bytes,
        )  # fmt: skip
        volumes.append(back_projection(split.total()))
        del split, state
    return volumes[0], volumes[1]
