"""Where a fit is at one moment, for whoever watches it; its map is computed only if somebody looks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gemmap.geometry.grids import centre

#: Central slices [y, x], [z, x] and [z, y] of a cube.
Planes: TypeAlias = tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]


@dataclass(frozen=True, eq=False)
class Moment:
    """A fit after some steps.

    Attributes
    ----------
    stage
        ``trials half1``, ``fit half1``, ``trials half2``, ``fit half2`` or ``fit full``.
    kind
        What is fitted.
    number
        Steps, iterations or batches done.
    cube
        Gives the map on the working cube, in units of the fit. What it reads changes when the fit goes on: it is to be
        called at once or never, and by the thread that is told.
    loss
        Data term in nats, as in :class:`gemmap.fit.records.StepRecord`; None for voxels.
    n_gaussians
        Of the whole map; None for voxels.
    score
        Of the map on held-out particles, where a trial has measured it.
    """

    stage: str
    kind: Literal["voxels", "Gaussians"]
    number: int
    cube: Callable[[], Float[Tensor, "d d d"]]
    loss: float | None = None
    n_gaussians: int | None = None
    score: float | None = None

    def planes(self) -> Planes:
        """Return copies of the central slices of the map."""
        return central_planes(self.cube())


def central_planes(cube: Float[Tensor, "d d d"]) -> Planes:
    """Return copies, on the CPU, of the slices through the origin of a cube with axes (z, y, x)."""
    middle = centre(len(cube))
    xy, xz, yz = (np.array(plane.cpu()) for plane in (cube[middle], cube[:, middle], cube[:, :, middle]))
    return xy, xz, yz
