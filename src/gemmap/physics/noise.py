"""Noise power spectra from the image corners, and the whitening weights made of them."""

import numpy as np
import scipy.fft

from gemmap._types import Curve, Float
from gemmap.errors import InputError
from gemmap.geometry.grids import radius_px, shell_index

#: No shell may be called cleaner than this fraction of the image's own power, in the shell and on average over the
#: image: without noise, weights would be infinite, or grow by orders of magnitude from shell to shell.
RELATIVE_FLOOR = 1e-3
#: Width in pixels of the soft edge between particle and background: a hard edge leaks low frequencies into high shells.
EDGE_PX = 4.0
_CHUNK = 32


def background_window(box_px: int, radius: float) -> Float[np.ndarray, "d d"]:
    """Weight of each pixel as background: 0 inside the particle circle (radius in px), 1 outside, raised-cosine edge.

    Raises
    ------
    InputError
        If less than 2 % of the image lies outside the circle.
    """
    r = radius_px(box_px, 2).astype(np.float64)
    window = 0.5 - 0.5 * np.cos(np.pi * np.clip((r - radius) / EDGE_PX, 0.0, 1.0))
    if window.mean() < 0.02:
        raise InputError(
            f"A particle of {2 * radius:.0f} px leaves no background in a box of {box_px} px: "
            "give a smaller --particle-diameter, or extract the particles in a larger box."
        )
    return np.asarray(window)


def noise_spectrum(images: Float[np.ndarray, "n d d"], radius: float) -> Curve:
    """Noise power per shell 0 .. D-1 of the plain rfft2 (white noise of variance v has power v D^2).

    The mean over the background window is removed from each image first, so shell 0 takes the value of shell 1. Shells
    are kept above ``RELATIVE_FLOOR`` of the power of the whole images, in that shell and on average.
    """
    n, d, _ = images.shape
    window = background_window(d, radius)
    shell = shell_index(d, 2)
    weight = np.full(shell.shape, 2.0)
    weight[:, 0] = 1.0
    if d % 2 == 0:
        weight[:, -1] = 1.0
    background, whole = (np.zeros((d, d // 2 + 1)) for _ in range(2))
    for start in range(0, n, _CHUNK):
        x = np.asarray(images[start : start + _CHUNK], np.float64)
        x = x - (x * window).sum(axis=(1, 2), keepdims=True) / window.sum()
        for power, part in ((background, x * window), (whole, x)):
            transform = scipy.fft.rfft2(part)
            power += (transform.real**2 + transform.imag**2).sum(axis=0) / n
    count = np.maximum(np.bincount(shell.ravel(), weight.ravel(), minlength=d)[:d], 1.0)

    def per_shell(power: Float[np.ndarray, "d h"]) -> Curve:
        return np.asarray(np.bincount(shell.ravel(), (weight * power).ravel(), minlength=d)[:d] / count)

    noise = per_shell(background) * d**2 / (window**2).sum()
    total = per_shell(whole)
    floor = RELATIVE_FLOOR * np.maximum(total, (total * count).sum() / count.sum())
    noise = np.asarray(np.maximum(noise, floor))
    noise[0] = noise[1]
    if not (np.isfinite(noise).all() and (noise[: d // 2 + 1] > 0).all()):
        raise InputError(
            f"The background of {n} images has no variance: the images are constant or not numbers; check the stack."
        )
    return noise
