"""Number of threads, and the layer through which numba starts them."""

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
