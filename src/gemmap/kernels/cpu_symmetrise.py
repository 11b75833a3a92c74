"""Numba kernel of the sum over rotations of the grid; :mod:`gemmap.kernels.reference_symmetrise` defines it.

Every point of the result is gathered by one thread, in the order of the rotations: results are identical to the bit
whatever the number of threads.
"""

import numpy as np
from numba import njit, prange

from gemmap._types import Float, Int


@njit(parallel=True, cache=True, nogil=True)
def symmetrise(
    volume: Float[np.ndarray, "m m h2 3"], rotations: Int[np.ndarray, "n 3 3"], out: Float[np.ndarray, "m m h2 3"]
) -> None:
    """Fill ``out`` with the sum over rotations R of the complete half-complex volume at R k."""
    m = volume.shape[0]
    half = m // 2
    for row in prange(m):
        # The loop variable is unsigned; with signed numbers it would make floating-point ones.
        z = np.int64(row) if row < half else np.int64(row) - m
        for column in range(m):
            y = column if column < half else column - m
            for x in range(half + 1):
                re = np.float32(0.0)
                im = np.float32(0.0)
                weight = np.float32(0.0)
                if x * x + y * y + z * z < (half + 1) * (half + 1):
                    for i in range(rotations.shape[0]):
                        r = rotations[i]
                        qx = r[0, 0] * x + r[0, 1] * y + r[0, 2] * z
                        qy = r[1, 0] * x + r[1, 1] * y + r[1, 2] * z
                        qz = r[2, 0] * x + r[2, 1] * y + r[2, 2] * z
                        sign = np.float32(1.0)
                        if qx < 0:
                            qx, qy, qz = -qx, -qy, -qz
                            sign = np.float32(-1.0)
                        iy = qy if qy >= 0 else qy + m
                        iz = qz if qz >= 0 else qz + m
                        re += volume[iz, iy, qx, 0]
                        im += sign * volume[iz, iy, qx, 1]
                        weight += volume[iz, iy, qx, 2]
                out[row, column, x, 0] = re
                out[row, column, x, 1] = im
                out[row, column, x, 2] = weight
