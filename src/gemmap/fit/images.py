"""The paper's engine: mini-batches of particles are projected, compared and gathered; Adam on all 11 parameters.

It minimises the same loss as the aggregate engine, image by image, and so has the residual of every particle. All
images of a batch enter its gradient, scaled to the number of particles, so that the price of mass means the same as in
the aggregate engine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Int
from gemmap.errors import InputError, NumericsError
from gemmap.fit.adam import Adam
from gemmap.fit.density_control import densify, prune
from gemmap.fit.image_loss import ImageBatch, image_loss
from gemmap.fit.parameters import Parameters, bound
from gemmap.fit.schedule import Schedule
from gemmap.kernels import ops
from gemmap.particles.batches import read_ahead
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: A loss this many times the first one means that the steps are too large.
DIVERGED = 3.0


@dataclass(frozen=True, eq=False)
class Particles:
    """The particles of one fit: rows of a table, their images, and the noise by which they are weighed.

    ``inverse_noise`` is 1/sigma^2 for every optics group and shell, (g, s).
    """

    table: ParticleTable
    stack: ImageStack
    rows: Int[np.ndarray, " n"]
    inverse_noise: Float[np.ndarray, "g s"]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class TrainingStep:
    """State after a batch: mean loss of its images in nats, epochs done (a fraction), and the Gaussians."""

    number: int
    loss: float
    epochs: float
    parameters: Parameters


def train(
    particles: Particles,
    start: Parameters,
    unit: float,
    penalty: float,
    schedule: Schedule,
    cap: int,
    seed: int,
    device: torch.device,
    watch: Callable[[TrainingStep], None],
) -> Parameters:
    """Fit Gaussians to the images; return the last state.

    Parameters
    ----------
    start, unit, penalty
        Start, grey value of density 1, and price of one unit of mass, as for
        :func:`gemmap.fit.gaussian_fit.fit_gaussians`.
    cap
        Largest number of Gaussians.
    watch
        Sees the state after every batch.

    Raises
    ------
    InputError
        If a batch would hold more particles than there are.
    NumericsError
        If the loss is not a number, or grows beyond all bounds: the rates are too high.
    """
    if schedule.batch_size > len(particles):
        raise InputError(
            f"A batch of {schedule.batch_size} images was asked for, but there are {len(particles)} particles; give a "
            "smaller --batch-size."
        )
    now, adam = start, Adam.at_rest(start)
    pull = torch.zeros(len(now), device=device)
    total = schedule.steps(len(particles))
    first: float | None = None
    generator = np.random.default_rng(seed)
    for number, batch in enumerate(_batches(particles, schedule, generator, device), start=1):
        slopes, loss = batch_gradient(now, batch, unit, len(particles) / len(batch.rows))
        first = loss if first is None else first
        if not loss < DIVERGED * first:
            raise NumericsError(
                f"The fit diverged in batch {number}: the mean loss of an image went from {first:.4g} to {loss:.4g}; "
                "the rates are too high for these data, give a larger --batch-size or fewer Gaussians."
            )
        slopes[3] += penalty * now.log_masses.exp()
        pull += slopes[0].norm(dim=1)
        now = bound(adam.step(now, slopes, schedule.factor(number / total)))
        if schedule.densifies_after(number, total):
            fewer = prune(now)
            adam.follow(fewer.source, fewer.is_new)
            more = densify(fewer.parameters, pull[fewer.source], schedule.growth, cap)
            adam.follow(more.source, more.is_new)
            now, pull = more.parameters, torch.zeros(len(more.parameters), device=device)
        watch(TrainingStep(number, loss, number / schedule.batches(len(particles)), now))
    return now


@dataclass(frozen=True, eq=False)
class PosedBatch:
    """A batch with its rows in the table, rotations (b, 3, 3) and in-plane shifts (b, 2) in pixels."""

    rows: Int[np.ndarray, " b"]
    images: ImageBatch
    rotations: Float[Tensor, "b 3 3"]
    shifts_px: Float[Tensor, "b 2"]


def batch_gradient(
    parameters: Parameters, batch: PosedBatch, unit: float, multiplier: float = 1.0
) -> tuple[list[Tensor], float]:
    """Derivatives of ``multiplier`` times the loss of a batch with respect to the four tensors, and its mean loss."""
    scales, masses = parameters.log_scales.exp(), parameters.log_masses.exp() * unit
    geometry = parameters.centres, scales, parameters.quaternions, masses, batch.rotations, batch.shifts_px
    projections = ops.project(*geometry, batch.images.box_px)
    compared = image_loss(projections, batch.images)
    gathered = ops.project_gather(compared.by_projection, *geometry)
    centres, by_scale, quaternions, by_mass = gathered[:4]
    slopes = [centres, by_scale * scales, quaternions, by_mass * masses]
    return [multiplier * slope for slope in slopes], float(compared.losses.mean())


def _batches(
    particles: Particles, schedule: Schedule, generator: np.random.Generator, device: torch.device
) -> Iterator[PosedBatch]:
    """Every particle once an epoch, in random order; the last batch of an epoch may be smaller."""
    table = particles.table
    ctf = None if table.ctf is None else torch.from_numpy(table.ctf.phase_coefficients()).to(device, torch.float32)
    noise = torch.from_numpy(particles.inverse_noise).to(device, torch.float32)
    if not schedule.whitened:
        noise = noise.mean().expand_as(noise)
    for _ in range(schedule.epochs):
        for rows, images in read_ahead(particles.stack, generator.permutation(particles.rows), schedule.batch_size):
            chosen = table.select(rows)
            yield PosedBatch(
                rows,
                ImageBatch(
                    torch.from_numpy(images).to(device),
                    None if ctf is None else ctf[rows],
                    torch.from_numpy(chosen.scale).to(device, torch.float32),
                    noise[torch.from_numpy(chosen.optics_group)],
                    table.pixel_size_a,
                ),
                torch.from_numpy(chosen.rotations).to(device, torch.float32),
                torch.from_numpy(chosen.shifts_a / table.pixel_size_a).to(device, torch.float32),
            )
