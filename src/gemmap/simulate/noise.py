"""Noise of simulated images, with variance 1 per pixel."""

import numpy as np
import scipy.fft

from gemmap._types import Float, Int
from gemmap.simulate.config import Noise

#: Coloured noise has power 1 + EXCESS / (1 + (CORNER_A k)^2), k in 1/Å: bounded at k = 0, white at high frequency.
EXCESS, CORNER_A = 9.0, 50.0


def noise_power(kind: Noise, box_px: int, pixel_size_a: float) -> Float[np.ndarray, "d h"]:
    """Power of the Fourier coefficients (ky, kx >= 0) over that of white noise; its mean over the plane is 1."""
    k2 = np.fft.fftfreq(box_px, pixel_size_a)[:, None] ** 2 + np.fft.fftfreq(box_px, pixel_size_a) ** 2
    excess = EXCESS if kind == "coloured" else 0.0
    power = 1.0 + excess / (1.0 + CORNER_A**2 * k2)
    return np.asarray((power / power.mean())[:, : box_px // 2 + 1])


def draw_noise(
    particles: Int[np.ndarray, " b"], power: Float[np.ndarray, "d h"], seed: tuple[int, ...]
) -> Float[np.ndarray, "b d d"]:
    """Noise images, float32; each depends on ``seed`` and its particle's number only."""
    box_px = len(power)
    white = np.empty((len(particles), box_px, box_px), np.float32)
    for image, particle in zip(white, particles, strict=True):
        np.random.default_rng([*seed, int(particle)]).standard_normal(out=image, dtype=np.float32)
    if np.ptp(power) == 0.0:
        return white
    filtered = scipy.fft.rfft2(white) * np.sqrt(power).astype(np.float32)
    return np.asarray(scipy.fft.irfft2(filtered, s=(box_px, box_px)), np.float32)
