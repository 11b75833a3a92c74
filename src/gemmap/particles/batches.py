"""Chunks of images, read by a thread while the caller computes on the chunk before."""

import queue
import threading
from collections.abc import Generator

import numpy as np

from gemmap._types import Float, Int
from gemmap.errors import InputError
from gemmap.particles.stack import ImageStack

#: Chunks waiting to be taken. With the one being read and the one in use, four chunks are in memory.
_CHUNKS_WAITING = 2
_POLL_S = 0.05


def images_per_chunk(box_px: int, chunk_bytes: int = 2**26) -> int:
    """Return how many float32 images of this box fit ``chunk_bytes`` (at least one)."""
    return max(1, chunk_bytes // (4 * box_px**2))


def read_ahead(
    stack: ImageStack, rows: Int[np.ndarray, " n"], chunk_images: int
) -> Generator[tuple[Int[np.ndarray, " b"], Float[np.ndarray, "b d d"]], None, None]:
    """Yield (rows, images) in chunks of up to ``chunk_images``, in the order of ``rows``.

    A thread reads up to three chunks ahead. It ends with the iteration, also when the caller leaves it early (closes or
    drops the generator), and what it raises is raised here.

    Raises
    ------
    InputError
        If an image holds a pixel that is not a finite number: names the first such particle (counted from 1) and how
        many there are in its chunk.
    """
    if chunk_images < 1:
        raise InputError(f"Chunks of {chunk_images} images were asked for; expected at least 1.")
    rows = np.asarray(rows)
    ready: queue.Queue[tuple[np.ndarray, np.ndarray] | Exception | None] = queue.Queue(_CHUNKS_WAITING)
    stopped = threading.Event()

    def hand_over(item: tuple[np.ndarray, np.ndarray] | Exception | None) -> None:
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
                hand_over((chunk, read_finite(stack, chunk)))
            hand_over(None)
        except Exception as error:  # whatever it is belongs to the caller
            hand_over(error)

    reader = threading.Thread(target=read, name="gemmap-read-ahead", daemon=True)
    reader.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
        reader.join()


def read_finite(stack: ImageStack, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
    """Read images and make sure that every pixel is a finite number.

    Raises
    ------
    InputError
        As :func:`read_ahead`.
    """
    images = stack.read(rows)
    _require_finite(images, rows)
    return images


def _require_finite(images: Float[np.ndarray, "b d d"], rows: Int[np.ndarray, " b"]) -> None:
    # A sum is not finite if a term is not; it can overflow by itself too, so only then are the pixels looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = np.flatnonzero(~np.isfinite(images.sum(axis=(1, 2))))
    bad = [place for place in suspicious if not np.isfinite(images[place]).all()]
    if bad:
        raise InputError(
            f"{len(bad)} of {len(rows)} images read together hold pixels that are not finite numbers (the first is "
            f"particle {int(rows[bad[0]]) + 1}): extract these particles again or remove them."
        )
