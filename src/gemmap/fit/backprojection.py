"""Wiener back-projection: linear, unbiased where the data speak, the first baseline of every fit."""

import numpy as np
import torch
from torch import Tensor

from gemmap._types import Float, Volume
from gemmap.errors import NumericsError
from gemmap.fit import grid_planes
from gemmap.fit.aggregate import Aggregate, apodisation
from gemmap.fit.grid_planes import PlanesAt

#: Fraction of the mean positive weight that damps coefficients with little data.
DAMPING = 0.2

_CPU = torch.device("cpu")


def back_projection(aggregate: Aggregate) -> Volume:
    """V = crop(IFFT(N / (W + lambda))) / apod with lambda = 0.2 mean(W > 0), in grey values (float32).

    Raises
    ------
    NumericsError
        If no weight is positive.
    """
    from gemmap.kernels.cpu_planes import divide

    positive = np.count_nonzero(aggregate.weight > 0)
    if positive == 0:
        raise NumericsError("The particles carry no information: all their weights are zero; check CTFs and poses.")
    # Weights are not negative.
    damping = DAMPING * aggregate.weight.sum(dtype=np.float64) / positive
    m = aggregate.grid_px

    def divided(some: slice) -> Tensor:
        planes = np.empty((some.stop - some.start, m, m), np.complex64)
        divide(aggregate.numerator, aggregate.weight, damping, some.start, planes)
        return torch.from_numpy(planes)

    return to_real_space(divided, m, aggregate.box_px)


def to_real_space(planes: PlanesAt, grid_px: int, box_px: int) -> Volume:
    """Crop the inverse transform of an oversampled grid to the box and undo the trilinear kernel."""
    volume = grid_planes.to_real_space(planes, grid_px, box_px, _CPU).numpy()
    for axis in _windows(box_px, grid_px):
        volume /= axis
    return volume


def transform_of(volume: Volume, grid_px: int) -> PlanesAt:
    """Transform of a map as an aggregate holds it, F = FFT(pad(apod V)), some planes at a time: new ones each time.

    The inverse of :func:`to_real_space`: W F is what the numerator would be if the map were the truth.
    """
    smooth = volume.astype(np.float32)
    for axis in _windows(len(volume), grid_px):
        smooth *= axis
    rows = grid_planes.x_transform(torch.from_numpy(smooth), grid_px)
    return lambda some: grid_planes.planes_at(rows, some, grid_px)


def _windows(box_px: int, grid_px: int) -> tuple[Float[np.ndarray, "..."], ...]:
    """The trilinear kernel's transform along each axis."""
    window = apodisation(box_px, grid_px).astype(np.float32)
    return window[:, None, None], window[None, :, None], window[None, None, :]
