"""Fourier transforms with the origin at index N//2, and shifts as phases.

Forward transform: F(k) = sum_x f(x) exp(-2 pi i k.x / N) with x counted from the origin; no factor. Inverse: 1/N^d.
"""

import numpy as np
import scipy.fft

from gemmap._types import Complex, Float, Shifts
from gemmap.geometry.grids import centred_slice, half_plane_frequencies


def centred_rfftn(real: np.ndarray, ndim: int, workers: int = 1) -> np.ndarray:
    """Half-complex transform over the last ``ndim`` axes; origin at N//2 in real space, FFT order in Fourier."""
    axes = tuple(range(-ndim, 0))
    return np.asarray(scipy.fft.rfftn(np.fft.ifftshift(real, axes=axes), axes=axes, workers=workers))


def centred_irfftn(fourier: np.ndarray, n: int, ndim: int, workers: int = 1) -> np.ndarray:
    """Inverse of :func:`centred_rfftn` for a grid of side n."""
    axes = tuple(range(-ndim, 0))
    real = scipy.fft.irfftn(fourier, s=(n,) * ndim, axes=axes, workers=workers)
    return np.fft.fftshift(real, axes=axes)


def shift_phase(shifts_a: Shifts, box_px: int, pixel_size_a: float) -> Complex[np.ndarray, "n d h"]:
    """Phase exp(-2 pi i k.s / N) that moves the content of an observed image by +s, so that it is centred.

    The forward model multiplies a projection by the conjugate. ``shifts_a`` is (x, y) in Å.
    """
    ky, kx = half_plane_frequencies(box_px)
    s = np.asarray(shifts_a, np.float64) / pixel_size_a
    turns = (s[:, 0, None, None] * kx + s[:, 1, None, None] * ky) / box_px
    return np.asarray(np.exp(-2j * np.pi * turns))


def pad_centred(volume: Float[np.ndarray, "..."], size: int) -> Float[np.ndarray, "..."]:
    """Embed a cubic volume in zeros of side ``size``, origins together."""
    out = np.zeros((size,) * volume.ndim, volume.dtype)
    out[(centred_slice(size, volume.shape[-1]),) * volume.ndim] = volume
    return out


def crop_centred(volume: Float[np.ndarray, "..."], size: int) -> Float[np.ndarray, "..."]:
    """Cut a cube of side ``size`` around the origin."""
    return volume[(centred_slice(volume.shape[-1], size),) * volume.ndim]
