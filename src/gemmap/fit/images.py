"""The paper's engine: mini-batches of particles are projected, compared and gathered; Adam on all 11 parameters.

It minimises the same loss as the aggregate engine, image by image, and so has the residual of every particle. All
images of a batch enter its gradient, scaled to the number of particles, so that the price of mass means the same as in
the aggregate engine.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Int
from gemmap.errors import NumericsError
from gemmap.fit.adam import Adam
from gemmap.fit.config import Shape
from gemmap.fit.copies import ALONE, Copies
from gemmap.fit.density_control import densify, prune
from gemmap.fit.image_loss import ImageBatch, image_loss
from gemmap.fit.parameters import Parameters, bound, restrict
from gemmap.fit.schedule import GROWTH, Schedule
from gemmap.fit.training import MeanLoss, State
from gemmap.fit.uploads import Uploads
from gemmap.kernels import ops
from gemmap.particles.batches import read_ahead
from gemmap.particles.optics import image_model
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


@dataclass(frozen=True, eq=False)
class Particles:
    """The particles of one fit: rows of a table, their images, and the noise by which they are weighed.

    ``inverse_noise`` is 1/sigma^2 of several spectra at every shell, (g, s); ``noise_of`` says for every row of the
    table which one is its own.
    """

    table: ParticleTable
    stack: ImageStack
    rows: Int[np.ndarray, " n"]
    inverse_noise: Float[np.ndarray, "g s"]
    noise_of: Int[np.ndarray, " t"]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Trained:
    """The last good state of a training, and why it ended there; ``failure`` is empty if all epochs were done."""

    state: State
    failure: str


def train(
    particles: Particles,
    state: State,
    unit: float,
    penalty: float,
    schedule: Schedule,
    shape: Shape,
    cap: int,
    seed: int,
    watch: Callable[[State], None],
    copies: Copies = ALONE,
) -> Trained:
    """Fit Gaussians to the images, from the start or from where an earlier training was.

    Parameters
    ----------
    state
        Where to begin: :meth:`State.at_rest` of some Gaussians, or one that ``watch`` has seen.
    unit, penalty
        Grey value of density 1, and price of one unit of mass, as for
        :func:`gemmap.fit.gaussian_fit.fit_gaussians`.
    cap
        Largest number of Gaussians, copies not counted.
    watch
        Sees the state some times an epoch, as long as the loss has not grown beyond doubt.
    copies
        Complete the Gaussians of the state, an asymmetric unit.

    Raises
    ------
    InputError
        If a batch would hold more particles than there are.
    NumericsError
        If the loss of the start is not a number.
    """
    n = len(particles)
    schedule.require_batch(n)
    good = state
    now, adam, pull = state.parameters, state.adam.copy(), state.pull.clone()
    losses: list[Tensor] = []
    number = state.number
    for batch in image_batches(particles, schedule, seed, number, now.centres.device):
        number += 1
        try:
            everything = copies.expand(now)
            slopes, of_images = batch_gradient(everything, batch, unit, n / len(batch.rows))
        except NumericsError:  # Gaussians beyond all numbers
            if number == 1:
                raise
            return Trained(good, _diverged(number, good, math.inf))
        losses.append(of_images)
        if number == 1:
            good = State.at_rest(now, MeanLoss.of(of_images))
            if not good.first.is_finite:
                raise NumericsError("The loss of the start is not a number; the images or their noise may hold NaN.")
        if not bool(of_images.isfinite().all()):
            return Trained(good, _diverged(number, good, float(of_images.mean())))
        slopes[3] = slopes[3] + penalty * everything.log_masses.exp()
        slopes = copies.collect(slopes)
        pull = pull + slopes[0].norm(dim=1)
        rates = schedule.rates(number / schedule.batches(n))
        now = bound(adam.step(now, restrict(slopes, shape), rates))
        if schedule.densifies_after(number, n):
            now = _redistribute(now, adam, pull, cap)
            pull = torch.zeros_like(now.log_masses)
        if schedule.ends_window(number, n):
            loss = MeanLoss.of(torch.cat(losses))
            if loss.is_above(good.first):
                return Trained(good, _diverged(number, good, loss.mean))
            good = State(number, now, adam.copy(), pull, good.first, loss)
            losses.clear()
            watch(good)
    return Trained(good, "")


def _redistribute(parameters: Parameters, adam: Adam, pull: Float[Tensor, " n"], cap: int) -> Parameters:
    """Fewer Gaussians where they carry nothing, more where they are pulled; their moments follow."""
    fewer = prune(parameters)
    adam.follow(fewer.source, fewer.is_new)
    more = densify(fewer.parameters, pull[fewer.source], GROWTH, cap)
    adam.follow(more.source, more.is_new)
    return more.parameters


def _diverged(number: int, good: State, loss: float) -> str:
    return (
        f"the steps diverged: up to batch {number} the mean loss of an image went from {good.first.mean:.6g} to "
        f"{loss:.6g}; the Gaussians after batch {good.number} are kept: give a smaller --rate or larger "
        "--batch-size"
    )


@dataclass(frozen=True, eq=False)
class PosedBatch:
    """A batch with its rows in the table, views (b, 3, 3) and in-plane shifts (b, 2) in pixels."""

    rows: Int[np.ndarray, " b"]
    images: ImageBatch
    views: Float[Tensor, "b 3 3"]
    shifts_px: Float[Tensor, "b 2"]


def batch_gradient(
    parameters: Parameters, batch: PosedBatch, unit: float, multiplier: float = 1.0
) -> tuple[list[Tensor], Float[Tensor, " b"]]:
    """Derivatives of ``multiplier`` times the loss of a batch with respect to the four tensors, and its losses."""
    scales, masses = parameters.log_scales.exp(), parameters.log_masses.exp() * unit
    geometry = parameters.centres, scales, parameters.quaternions, masses, batch.views, batch.shifts_px
    projections = ops.project(*geometry, batch.images.box_px)
    compared = image_loss(projections, batch.images)
    gathered = ops.project_gather(compared.by_projection, *geometry)
    centres, by_scale, quaternions, by_mass = gathered[:4]
    slopes = [centres, by_scale * scales, quaternions, by_mass * masses]
    return [multiplier * slope for slope in slopes], compared.losses


def image_batches(
    particles: Particles, schedule: Schedule, seed: int, done: int, device: torch.device
) -> Iterator[PosedBatch]:
    """Every particle once an epoch, in an order of the seed and the epoch; the first ``done`` batches are left out.

    The last batch of an epoch may be smaller.
    """
    table, box_px = particles.table, particles.stack.box_px
    noise = torch.from_numpy(particles.inverse_noise).to(device, torch.float32)
    if schedule.loss == "mse":
        # Shells without data stay so.
        noise = torch.where(noise > 0, noise[noise > 0].mean(), 0.0)
    noise_of = torch.from_numpy(particles.noise_of)
    uploads = Uploads(device)
    first, left_out = divmod(done, schedule.batches(len(particles)))
    for epoch in range(first, schedule.all_epochs):
        order = np.random.default_rng([seed, epoch]).permutation(particles.rows)
        rest = order[left_out * schedule.batch_size :] if epoch == first else order
        for rows, images in read_ahead(particles.stack, rest, schedule.batch_size):
            model = image_model(table.select(rows), box_px * table.pixel_size_a)
            yield PosedBatch(
                rows,
                ImageBatch(
                    uploads.send(images),
                    torch.from_numpy(model.coefficients).to(device),
                    torch.from_numpy(model.scales).to(device, torch.float32),
                    noise[noise_of[rows]],
                ),
                torch.from_numpy(model.views).to(device, torch.float32),
                torch.from_numpy(model.shifts * box_px).to(device, torch.float32),
            )
