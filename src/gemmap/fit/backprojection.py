"""Wiener back-projection: linear, unbiased where the data speak, the first baseline of every fit."""

import numpy as np
import scipy.fft
import torch

from gemmap._types import Volume
from gemmap.errors import NumericsError
from gemmap.fit.aggregate import Aggregate, apodisation
from gemmap.geometry.grids import centred_slice

#: Fraction of the mean positive weight that damps coefficients with little data.
DAMPING = 0.2


def back_projection(aggregate: Aggregate) -> Volume:
    """V = crop(IFFT(N / (W + lambda))) / apod with lambda = 0.2 mean(W > 0), in grey values (float32).

    Raises
    ------
    NumericsError
        If no weight is positive.
    """
    positive = aggregate.weight[aggregate.weight > 0]
    if positive.size == 0:
        raise NumericsError("The particles carry no information: all their weights are zero; check CTFs and poses.")
    damping = np.float32(DAMPING * positive.mean(dtype=np.float64))
    return to_real_space(aggregate.numerator / (aggregate.weight + damping), aggregate.box_px)


def to_real_space(transform: np.ndarray, box_px: int) -> Volume:
    """Crop the inverse transform of an oversampled half-complex grid to the box and undo the trilinear kernel."""
    m = transform.shape[0]
    volume = np.fft.fftshift(scipy.fft.irfftn(transform, s=(m, m, m), workers=torch.get_num_threads()))
    box = volume[(centred_slice(m, box_px),) * 3]
    return np.ascontiguousarray(box / _kernel_transform(box_px, m), dtype=np.float32)


def to_fourier_space(volume: Volume, grid_px: int) -> np.ndarray:
    """Transform of a map as an aggregate holds it, F = FFT(pad(apod V)), origin at N//2, complex64.

    The inverse of :func:`to_real_space`: W F is what the numerator would be if the map were the truth.
    """
    padded = np.zeros((grid_px,) * 3, np.float32)
    padded[(centred_slice(grid_px, len(volume)),) * 3] = volume * _kernel_transform(len(volume), grid_px)
    return np.asarray(scipy.fft.rfftn(np.fft.ifftshift(padded), workers=torch.get_num_threads()))


def _kernel_transform(box_px: int, grid_px: int) -> Volume:
    window = apodisation(box_px, grid_px).astype(np.float32)
    return np.asarray(window[:, None, None] * window[None, :, None] * window[None, None, :])
