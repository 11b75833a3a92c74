"""Adam on all 11 parameters of every Gaussian against the normal equations.

Everything is dimensionless (voxels, logarithms, noise standard deviations), so one set of rates serves every particle.
The penalty on mass is the one of the voxel start: at step 0 the masses are already at their optimum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gemmap.errors import NumericsError
from gemmap.fit.adam import Adam
from gemmap.fit.config import Shape
from gemmap.fit.copies import ALONE, Copies
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters, bound, clone, restrict


@dataclass(frozen=True)
class Step:
    """State after some steps: ``loss`` is the data term in nats, ``volume`` the map of ``parameters`` with copies."""

    number: int
    loss: float
    parameters: Parameters
    volume: torch.Tensor


def fit_gaussians(
    equations: NormalEquations,
    start: Parameters,
    penalty: float,
    steps: int,
    keep_going: Callable[[Step], bool],
    shape: Shape = "free",
    copies: Copies = ALONE,
) -> Step:
    """Descend from ``start`` until ``keep_going`` says no or ``steps`` are done; return the last state.

    ``keep_going`` sees the state before each step and after the last one. ``penalty`` is the price of one unit of mass.
    Gaussians are those of the asymmetric unit that ``copies`` complete.

    Raises
    ------
    NumericsError
        If the loss is not a number.
    """
    now = clone(start)
    adam = Adam.at_rest(now)
    for number in range(steps + 1):
        everything = copies.expand(now)
        volume = everything.voxelize(equations.size)
        gradient, loss = equations.gradient(volume)
        if loss != loss:
            raise NumericsError(f"The fit diverged at step {number}: the loss is not a number; the data may hold NaN.")
        state = Step(number, loss, now, volume)
        if not keep_going(state) or number == steps:
            return state
        slopes = list(everything.gather(gradient))
        slopes[3] = slopes[3] + penalty * everything.log_masses.exp()
        now = bound(adam.step(now, restrict(copies.collect(slopes), shape)))
    return state
