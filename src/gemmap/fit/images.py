"""The paper's engine: mini-batches of particles are projected, compared and gathered; Adam on all 11 parameters.

It minimises the same loss as the aggregate engine, image by image, and so has the residual of every particle. All
images of a batch enter its gradient, scaled to the number of particles, so that the price of mass means the same as in
the aggregate engine.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.errors import NumericsError
from gemmap.fit.adam import Adam
from gemmap.fit.batch_gradients import Course, gradients_of
from gemmap.fit.config import Shape
from gemmap.fit.copies import ALONE, Copies
from gemmap.fit.density_control import densify, prune
from gemmap.fit.image_batches import Particles
from gemmap.fit.parameters import Parameters, bound, restrict
from gemmap.fit.schedule import GROWTH, Schedule
from gemmap.fit.training import MeanLoss, State


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
    course = Course(unit, seed, number)
    with gradients_of(particles, schedule, copies, course, now.centres.device) as gradients:
        while number < schedule.steps(n):
            number += 1
            try:
                slopes, of_images = gradients.next(now)
            except NumericsError:  # Gaussians beyond all numbers
                if number == 1:
                    raise
                return Trained(good, _diverged(number, good, math.inf))
            losses.append(of_images)
            if number == 1:
                good = State.at_rest(now, MeanLoss.of(of_images))
                if not good.first.is_finite:
                    raise NumericsError(
                        "The loss of the start is not a number; the images or their noise may hold NaN."
                    )
            if not bool(of_images.isfinite().all()):
                return Trained(good, _diverged(number, good, float(of_images.mean())))
            slopes[3] = slopes[3] + penalty * len(copies) * now.log_masses.exp()
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
