"""What this machine can do: multiply-adds in float32 on one core, and reading and writing memory on all."""

import time
from collections.abc import Callable

import numpy as np
from numba import njit, prange

_TERMS, _IN_CACHE, _REPEATS = 32, 1024, 4000
#: Two arrays of 256 MB, far beyond any cache but the largest.
_IN_MEMORY = 2**26


@njit(fastmath={"contract"})
def _multiply_add(x: np.ndarray, sums: np.ndarray, repeats: int) -> None:
    """A polynomial of _TERMS terms at every number of a small array, again and again."""
    c = np.float32(0.7)
    for r in range(repeats):
        start = np.float32(r)
        for i in range(len(x)):
            p = start
            for _ in range(_TERMS):
                p = p * x[i] + c
            sums[i] += p


@njit(parallel=True)
def _triad(a: np.ndarray, b: np.ndarray) -> None:
    for i in prange(len(a)):
        a[i] = a[i] + np.float32(0.5) * b[i]


def _fastest(function: Callable[[], object], clock: Callable[[], float], repeats: int = 5) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def multiply_add_gflops() -> float:
    """Billions of operations per second of CPU time of one core, a multiply-add counted as two."""
    x, sums = np.linspace(0.1, 0.9, _IN_CACHE, dtype=np.float32), np.zeros(_IN_CACHE, np.float32)
    seconds = _fastest(lambda: _multiply_add(x, sums, _REPEATS), time.process_time)
    return 2.0 * _TERMS * _IN_CACHE * _REPEATS / seconds / 1e9


def triad_gb_per_s() -> float:
    """Billions of bytes per second, by the clock on the wall, of a = a + b/2: two reads and a write."""
    a, b = np.zeros(_IN_MEMORY, np.float32), np.ones(_IN_MEMORY, np.float32)
    return 12.0 * _IN_MEMORY / _fastest(lambda: _triad(a, b), time.perf_counter) / 1e9
