"""What the compiled kernels of maps and of images know of one Gaussian: its axes, where it is, derivatives by its turn.

After a change here remove numba's caches (``make clean``): those of the callers do not notice it.
"""

from typing import TypeAlias

import numpy as np
from numba import njit

Vector: TypeAlias = tuple[float, float, float]

#: No 'nnan' or 'ninf': a NaN in a gradient must reach the caller.
FASTMATH = {"contract", "arcp", "nsz", "reassoc"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def own_axes(q: np.ndarray) -> tuple[Vector, Vector, Vector]:
    """Own axes of a Gaussian on the map axes, the columns of R(q / |q|), in float64."""
    w, x, y, z = np.float64(q[0]), np.float64(q[1]), np.float64(q[2]), np.float64(q[3])
    t = 2.0 / (w * w + x * x + y * y + z * z)
    return (
        (1.0 - t * (y * y + z * z), t * (x * y + w * z), t * (x * z - w * y)),
        (t * (x * y - w * z), 1.0 - t * (x * x + z * z), t * (y * z + w * x)),
        (t * (x * z + w * y), t * (y * z - w * x), 1.0 - t * (x * x + y * y)),
    )


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def overlap(middle: float, half_width: float, size: int) -> tuple[int, int]:
    """First and last grid point within half_width of the middle and inside 0 .. size-1; last < first if none is."""
    first = max(0.0, min(np.ceil(middle - half_width), float(size)))
    last = min(size - 1.0, max(np.floor(middle + half_width), -1.0))
    return int(first), int(last)


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def form(o: np.ndarray, u: Vector, v: Vector) -> float:
    """u^T M v, M the symmetric matrix whose xx, xy, xz, yy, yz, zz are columns 4 to 9 of a row."""
    total: float = u[0] * (o[4] * v[0] + o[5] * v[1] + o[6] * v[2])
    total += u[1] * (o[5] * v[0] + o[7] * v[1] + o[8] * v[2])
    total += u[2] * (o[6] * v[0] + o[8] * v[1] + o[9] * v[2])
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)
def turn(q: np.ndarray, t0: float, t1: float, t2: float, gradient: np.ndarray) -> None:
    """Write the derivative by a quaternion of any length from the torque about the Gaussian's own axes.

    q (0, t) is tangent to the sphere |q| = const: normalising only divides by |q|.
    """
    w, x, y, z = q[0], q[1], q[2], q[3]
    f = 2.0 / (w * w + x * x + y * y + z * z)
    gradient[0] = f * (-x * t0 - y * t1 - z * t2)
    gradient[1] = f * (w * t0 + y * t2 - z * t1)
    gradient[2] = f * (w * t1 + z * t0 - x * t2)
    gradient[3] = f * (w * t2 + x * t1 - y * t0)
