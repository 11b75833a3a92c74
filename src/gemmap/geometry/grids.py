"""Centre index, frequency grids, cropping and padding.

Arrays are ``volume[z, y, x]`` and ``image[y, x]``; the origin is index N//2 on every axis, in real space and in centred
Fourier space. Half-plane Fourier arrays come from ``rfft``: axis -1 holds kx = 0 .. N//2, the others are in FFT order.
"""

import numpy as np

from gemmap._types import Float, Int


def centre(n: int) -> int:
    """Index of the origin on an axis of n samples."""
    return n // 2


def frequencies(n: int) -> Int[np.ndarray, " n"]:
    """Integer frequencies in FFT order: 0, 1, .., -1."""
    return np.asarray(np.rint(np.fft.fftfreq(n, 1.0 / n)), np.int64)


def half_plane_frequencies(n: int) -> tuple[Int[np.ndarray, "n 1"], Int[np.ndarray, " h"]]:
    """Integer (ky, kx) of the half-plane array of an n x n image, shaped to broadcast to (n, n//2 + 1)."""
    return frequencies(n)[:, None], np.arange(n // 2 + 1)


def shell_index(n: int, ndim: int) -> Int[np.ndarray, "..."]:
    """Shell number round(|k|) of every point of the half-complex Fourier array of an n^ndim grid (RELION's shells)."""
    k = [frequencies(n).astype(np.float64)] * (ndim - 1) + [np.arange(n // 2 + 1, dtype=np.float64)]
    square = np.zeros((1,) * ndim)
    for axis, freq in enumerate(k):
        shape = [1] * ndim
        shape[axis] = len(freq)
        square = square + (freq**2).reshape(shape)
    return np.floor(np.sqrt(square) + 0.5).astype(np.int64)


def radius_px(n: int, ndim: int) -> Float[np.ndarray, "..."]:
    """Distance in pixels of every point of an n^ndim grid from the origin at n//2, float32."""
    x = (np.arange(n) - centre(n)).astype(np.float32)
    square = np.zeros((1,) * ndim, np.float32)
    for axis in range(ndim):
        shape = [1] * ndim
        shape[axis] = n
        square = square + (x**2).reshape(shape)
    return np.sqrt(square)


def centred_slice(outer: int, inner: int) -> slice:
    """Slice that cuts ``inner`` samples out of ``outer`` so that the origins (index N//2) coincide."""
    if inner > outer:
        raise ValueError(f"cannot cut {inner} samples out of {outer}")
    start = centre(outer) - centre(inner)
    return slice(start, start + inner)
