"""Derivatives of the loss of one batch after the other; several processes compute shares of each batch.

The first process of a crew descends: it tells the others where the Gaussians are, and adds what all of them find. The
others keep nothing between batches but their place in the order of the particles, which seed and epoch determine.
"""

from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.errors import NumericsError
from gemmap.fit.copies import Copies
from gemmap.fit.image_batches import BatchShare, Particles, PosedBatch, image_batches
from gemmap.fit.image_loss import image_loss
from gemmap.fit.parameters import Parameters
from gemmap.fit.schedule import Schedule
from gemmap.fit.team import Team
from gemmap.kernels import ops

#: Shapes of the four tensors of one Gaussian, and how many numbers that is.
_SHAPES = ((3,), (3,), (4,), ())
_NUMBERS = 11


@dataclass(frozen=True)
class Course:
    """What tells the batches of one fit from those of another, apart from the particles.

    ``unit`` is the grey value of density 1; ``seed`` orders the particles; ``done`` batches are left out.
    """

    unit: float
    seed: int
    done: int


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


class BatchGradients:
    """Derivatives for batch after batch, as `gradients_of` opens them."""

    def __init__(self, particles: Particles, schedule: Schedule, copies: Copies, course: Course, device: torch.device):
        self._crew, self._copies, self._unit, self._device = particles.crew, copies, course.unit, device
        self._n_particles = len(particles)
        self._batches = image_batches(particles, schedule, course.seed, course.done, device)

    def close(self) -> None:
        """Stop reading."""
        self._batches.close()

    def next(self, asymmetric_unit: Parameters) -> tuple[list[Tensor], Float[Tensor, " b"]]:
        """Derivatives for the next batch, scaled to all particles, and the losses of its images.

        Raises
        ------
        NumericsError
            If Gaussians are beyond all numbers; in a crew of several processes the losses are NaN instead.
        """
        if self._crew.size == 1:
            return self._of_share(asymmetric_unit, next(self._batches))
        self._crew.pass_on(np.array([len(asymmetric_unit)]))
        self._crew.pass_on(_flat(asymmetric_unit.tensors()))
        return self._together(asymmetric_unit)

    def dismiss(self) -> None:
        """Tell the others of the crew that no batch follows."""
        if self._crew.size > 1:
            self._crew.pass_on(np.array([0]))

    def help(self) -> None:
        """Compute this process's share of batch after batch, until the first process says that no other follows."""
        while True:
            count = np.array([0])
            self._crew.pass_on(count)
            if not count[0]:
                return
            numbers = np.empty(_NUMBERS * count[0], np.float32)
            self._crew.pass_on(numbers)
            self._together(Parameters(*_tensors(numbers, self._device)))

    def _together(self, asymmetric_unit: Parameters) -> tuple[list[Tensor], Float[Tensor, " b"]]:
        """Add what all processes find for a batch."""
        share = next(self._batches)
        count = 0 if share.batch is None else len(share.batch.rows)
        try:
            slopes, losses = self._of_share(asymmetric_unit, share)
        except NumericsError:
            # The others wait for the sum; the first process ends the fit when it sees such losses.
            slopes = [torch.zeros_like(tensor) for tensor in asymmetric_unit.tensors()]
            losses = torch.full((count,), torch.nan)
        of_all = np.zeros(share.size, np.float32)
        of_all[share.begin : share.begin + count] = losses.cpu().numpy()
        found = np.concatenate([_flat(slopes), of_all])
        self._crew.add_up(found)
        return _tensors(found[: -share.size], self._device), torch.from_numpy(found[-share.size :]).to(self._device)

    def _of_share(self, asymmetric_unit: Parameters, share: BatchShare) -> tuple[list[Tensor], Float[Tensor, " m"]]:
        if share.batch is None:
            return [torch.zeros_like(tensor) for tensor in asymmetric_unit.tensors()], torch.zeros(0)
        everything = self._copies.expand(asymmetric_unit)
        slopes, losses = batch_gradient(everything, share.batch, self._unit, self._n_particles / share.size)
        return self._copies.collect(slopes), losses


@contextmanager
def gradients_of(
    particles: Particles, schedule: Schedule, copies: Copies, course: Course, device: torch.device
) -> Generator[BatchGradients, None, None]:
    """Open the batches of a fit; the first process's part of what a crew does."""
    if particles.crew.size > 1:
        particles.crew.gather(course)
    with closing(BatchGradients(particles, schedule, copies, course, device)) as gradients:
        yield gradients
        gradients.dismiss()


def help_fits(particles: Particles, schedule: Schedule, copies: Copies, device: torch.device) -> None:
    """Help the first process of a crew with its fits until it calls `end_fits`."""
    while (course := particles.crew.gather(None)[0]) is not None:
        with closing(BatchGradients(particles, schedule, copies, course, device)) as gradients:
            gradients.help()


def end_fits(crew: Team) -> None:
    """Tell the others of a crew that this process has no fit for them any more."""
    if crew.size > 1:
        crew.gather(None)


def _flat(tensors: Iterable[Tensor]) -> Float[np.ndarray, " k"]:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().numpy()


def _tensors(numbers: Float[np.ndarray, " k"], device: torch.device) -> list[Tensor]:
    """Take apart what `_flat` put together."""
    n = len(numbers) // _NUMBERS
    widths = [n * int(np.prod(shape)) for shape in _SHAPES]
    parts = torch.split(torch.from_numpy(numbers).to(device), widths)
    return [part.reshape(n, *shape) for part, shape in zip(parts, _SHAPES, strict=True)]
