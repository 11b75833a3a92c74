"""Number of threads, and the layer through which numba starts them."""

import functools
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from gemmap.errors import InputError


def configure(threads: int | None, share: int | None = None) -> int:
    """Set the number of threads of numba, for calls from this Python thread, and of torch; return it.

    Parameters
    ----------
    threads
        At least 1 and at most the cores of this process; None takes all of them, or ``share``.
    share
        Cores of this process where others use the rest.

    Raises
    ------
    InputError
        If there are not that many cores.
    """
    import numba
    import torch

    select_layer()
    most = available()
    if threads is not None and not 1 <= threads <= most:
        raise InputError(f"threads is {threads}; this process may use 1 to {most}: choose a number in that range.")
    chosen = threads or min(most, share or most)
    numba.set_num_threads(chosen)
    torch.set_num_threads(chosen)
    return chosen


def available() -> int:
    """Return the number of cores of this process."""
    import numba

    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def select_layer() -> None:
    """Choose numba's workqueue layer, unless numba has started its threads already.

    An OpenMP team of numba beside that of torch costs milliseconds per call on few cores. In exchange a workqueue must
    not be entered by two Python threads at once: see :data:`gemmap.kernels.registry.LOCK`.
    """
    import numba

    numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]


@functools.cache
def torch_workers(n: int) -> ThreadPoolExecutor:
    """Return ``n`` threads in each of which torch computes with one thread.

    Many small operations are better divided among them as a whole than one by one among torch's own threads, which wait
    for each other after every operation: on cores that are shared with other programs, for milliseconds.
    """
    import torch

    own = torch.get_num_threads()
    started = Barrier(n + 1)

    def prepare() -> None:
        # The first call takes torch's number for the process, the second changes it for this thread, and for new ones.
        torch.get_num_threads()
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(n, "torch", prepare)
    for _ in range(n):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(own)
    return pool
