r"""Fourier sums over scattered points, F(k) = sum_i w_i exp(-2 pi i k.u_i), at the integer frequencies of a box.

Non-uniform FFT of type 1: points are spread with a Kaiser-Bessel kernel on a grid at least twice as fine as the box,
the grid is transformed, and the kernel's own transform divided out. Kernel and parameter: Beatty, Nishimura and Pauly,
IEEE Trans. Med. Imaging 24 (2005) 799; with six grid points and a factor of two the error is below 1e-4. Nothing is
shared with the reconstruction's kernels: a simulation must not inherit their errors.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
import scipy.special

from gemmap._types import Complex, Float

_WIDTH = 6
#: Points of the kernel's table per grid spacing; read with linear interpolation.
_TABLE = 1024


class FourierSum:
    """Fourier sums of points in the plane for boxes of side ``box_px``; points lie within the box.

    The half-plane array of frequencies (ky, kx) has FFT order along ky. At even sizes the frequency -box_px/2, which
    has no partner at +box_px/2, is left at 0.
    """

    def __init__(self, box_px: int) -> None:
        self.box_px = box_px
        # An even number, so that the grid's centre is a sign in Fourier space.
        self.fine_px = 2 * scipy.fft.next_fast_len(box_px, real=True)
        factor = self.fine_px / box_px
        beta = np.pi * np.sqrt((_WIDTH / factor * (factor - 0.5)) ** 2 - 0.8)
        self._table = _kaiser_bessel_table(beta)
        k = np.rint(np.fft.fftfreq(box_px, 1.0 / box_px)).astype(np.int64)
        correction = (1 - 2 * (k % 2)) / _kaiser_bessel_transform(k / self.fine_px, beta)
        if box_px % 2 == 0:
            correction[box_px // 2] = 0.0
        self._rows = k % self.fine_px
        self.n_kx = box_px // 2 + 1
        #: Divides the kernel out of both axes, (ky, kx) with kx >= 0.
        self.correction_half = np.outer(correction, correction[: self.n_kx]).astype(np.float32)
        #: The same for all kx.
        self.correction_full = np.outer(correction, correction).astype(np.float32)

    def spread(
        self,
        positions_px: Float[np.ndarray, "n 3"],
        plane: Float[np.ndarray, "2 3"],
        weights: np.ndarray,
    ) -> np.ndarray:
        """Grids (r, fine, fine) of points at ``plane @ position``, in pixels from the origin, with weights (n, r)."""
        grid = np.zeros((weights.shape[1], self.fine_px, self.fine_px), weights.dtype)
        scaled = np.ascontiguousarray(plane * (self.fine_px / self.box_px), np.float32)
        _compiled_spread()(grid, positions_px, scaled, weights, self._table)
        return grid

    def half_plane(self, grid: Float[np.ndarray, "r f f"]) -> Complex[np.ndarray, "r d h"]:
        """Frequencies (ky, kx >= 0) of real grids; multiply by ``correction_half``."""
        # Columns beyond the box are dropped between the axes: half of the second transform's work.
        rows = scipy.fft.rfft(grid, axis=2)[:, :, : self.n_kx]
        return np.asarray(scipy.fft.fft(rows, axis=1)[:, self._rows])

    def full_plane(self, grid: Complex[np.ndarray, "r f f"]) -> Complex[np.ndarray, "r d d"]:
        """Frequencies (ky, kx) of complex grids; multiply by ``correction_full``."""
        rows = scipy.fft.fft(grid, axis=2)[:, :, self._rows]
        return np.asarray(scipy.fft.fft(rows, axis=1)[:, self._rows])


def _kaiser_bessel_table(beta: float) -> Float[np.ndarray, "t w"]:
    """Row j: the kernel at the grid points seen by a point at j / _TABLE of a spacing before the first of them."""
    t = np.arange(_TABLE + 1)[:, None] / _TABLE + np.arange(_WIDTH) - _WIDTH / 2
    inside = np.sqrt(np.maximum(0.0, 1.0 - (2.0 * t / _WIDTH) ** 2))
    return np.asarray(scipy.special.i0(beta * inside) / scipy.special.i0(beta), np.float32)


def _kaiser_bessel_transform(nu: Float[np.ndarray, " n"], beta: float) -> Float[np.ndarray, " n"]:
    """Fourier transform of the kernel at ``nu`` cycles per grid spacing."""
    root = np.sqrt(beta**2 - (np.pi * _WIDTH * nu) ** 2)
    return np.asarray(_WIDTH / scipy.special.i0(beta) * np.sinh(root) / root)


def _spread(grid: Any, positions: Any, plane: Any, weights: Any, table: Any) -> None:
    """Add every point's kernel to the grids; plain loops, compiled by numba, which unrolls the constant width."""
    centre = grid.shape[1] // 2
    kernel = np.empty((2, _WIDTH), np.float32)
    corner = np.empty(2, np.int64)
    for i in range(positions.shape[0]):
        for axis in range(2):
            p = plane[axis, 0] * positions[i, 0] + plane[axis, 1] * positions[i, 1] + plane[axis, 2] * positions[i, 2]
            left = p + centre - _WIDTH / 2
            corner[axis] = int(np.ceil(left))
            row = (corner[axis] - left) * _TABLE
            low = min(int(row), _TABLE - 1)
            part = np.float32(row - low)
            for a in range(_WIDTH):
                kernel[axis, a] = table[low, a] + part * (table[low + 1, a] - table[low, a])
        for r in range(weights.shape[1]):
            for b in range(_WIDTH):
                wy = weights[i, r] * kernel[1, b]
                window = grid[r, corner[1] + b, corner[0] : corner[0] + _WIDTH]
                for a in range(_WIDTH):
                    window[a] += wy * kernel[0, a]


@functools.cache
def _compiled_spread() -> Callable[..., None]:
    """``_spread`` through numba, which is imported on first use; it holds no lock, so that threads run side by side."""
    import numba

    compiled: Callable[..., None] = numba.njit(nogil=True, fastmath=True, cache=True)(_spread)
    return compiled
