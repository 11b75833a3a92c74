"""Chunks of images, read by a thread while the caller computes on the chunk before."""

import queue
import threading
from collections.abc import Generator

import numpy as np

from gemmap._types import Bool, Float, Int
from gemmap.errors import InputError
from gemmap.particles.dead_images import DeadImages, is_dead, named
from gemmap.particles.stack import ImageStack

#: Chunks waiting to be taken. With the one being read and the one in use, four chunks are in memory.
_CHUNKS_WAITING = 2
_POLL_S = 0.05


def images_per_chunk(box_px: int, chunk_bytes: int = 2**26) -> int:
    """Return how many float32 images of this box fit ``chunk_bytes`` (at least one)."""
    return max(1, chunk_bytes // (4 * box_px**2))


def read_ahead(
    stack: ImageStack, rows: Int[np.ndarray, " n"], chunk_images: int, dead: DeadImages | None = None
) -> Generator[tuple[Int[np.ndarray, " b"], Float[np.ndarray, "b d d"]], None, None]:
    """Yield (rows, images) in chunks, in the order of ``rows``.

    A chunk is made of ``chunk_images`` rows (the last one of what is left); dead images are left out of it, so that it
    may be smaller, or empty. A thread reads up to three chunks ahead. It ends with the iteration, also when the caller
    leaves it early (closes or drops the generator), and what it raises is raised here.

    Parameters
    ----------
    dead
        Counts the images left out, when their chunk is yielded. Without it none may be.

    Raises
    ------
    InputError
        If more images are dead than ``dead`` allows, or one if it is None.
    """
    if chunk_images < 1:
        raise InputError(f"Chunks of {chunk_images} images were asked for; expected at least 1.")
    rows = np.asarray(rows)
    ready: queue.Queue[tuple[np.ndarray, np.ndarray, np.ndarray] | Exception | None] = queue.Queue(_CHUNKS_WAITING)
    stopped = threading.Event()

    def hand_over(item: tuple[np.ndarray, np.ndarray, np.ndarray] | Exception | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for start in range(0, len(rows), chunk_images):
                if stopped.is_set():
                    return
                chunk = rows[start : start + chunk_images]
                images = stack.read(chunk)
                hand_over((chunk, images, is_dead(images)))
            hand_over(None)
        except Exception as error:  # whatever it is belongs to the caller
            hand_over(error)

    reader = threading.Thread(target=read, name="gemmap-read-ahead", daemon=True)
    reader.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield _leave_out(*item, dead)
    finally:
        stopped.set()
        reader.join()


def read_living(
    stack: ImageStack, rows: Int[np.ndarray, " b"], dead: DeadImages | None = None
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k d d"]]:
    """Read images at once, without the dead ones: rows and images of the others, as :func:`read_ahead` yields them."""
    images = stack.read(rows)
    return _leave_out(rows, images, is_dead(images), dead)


def _leave_out(
    rows: Int[np.ndarray, " b"],
    images: Float[np.ndarray, "b d d"],
    is_out: Bool[np.ndarray, " b"],
    dead: DeadImages | None,
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k d d"]]:
    if not is_out.any():
        return rows, images
    if dead is None:
        raise InputError(
            f"{int(is_out.sum())} of {len(rows)} images read together are dead (pixels that are not finite numbers, or "
            f"all equal; {named(rows[is_out])}): remove these particles or extract them again."
        )
    dead.add(rows[is_out])
    return rows[~is_out], images[~is_out]
