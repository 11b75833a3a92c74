"""Particle images in MRC stacks, read as they are asked for, never whole."""

import errno
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Float, Int, PerParticle
from gemmap.errors import InputError
from gemmap.io.mrc_header import MrcHeader
from gemmap.io.stack_problems import header_problem, refuse

#: Files kept open at once, however many stacks there are: far below the usual limits, of 256 and more.
_OPEN_FILES = 64
#: Bytes read at a time where pixels have to be converted.
_PIECE_BYTES = 2**22


class MrcStack:
    """Particle images spread over MRC stacks; implements ``particles.stack.ImageStack`` if all have one box.

    Pixels are read with ordinary reads: a file that is cut short or taken away while a run goes on is a sentence,
    where a memory map would end the program.

    Parameters
    ----------
    headers
        One per stack.
    stack_of, index_in_stack
        (n,), the stack of each particle and its 0-based image there.
    sign
        (n,), +1 or -1, multiplied into the pixels so that particles are bright.

    Raises
    ------
    InputError
        If stacks cannot be used: images are not square or smaller than 16 px, or fewer than asked for.
    """

    def __init__(
        self,
        headers: Sequence[MrcHeader],
        stack_of: Int[np.ndarray, " n"],
        index_in_stack: Int[np.ndarray, " n"],
        sign: PerParticle,
    ) -> None:
        self._headers = tuple(headers)
        self._stack_of = np.asarray(stack_of)
        self._index = np.asarray(index_in_stack)
        self._sign = np.asarray(sign, np.float32)
        self._files = _OpenFiles()
        if not self._headers:
            raise InputError("No particle is left, so there is no image to read; check the filters given.")
        last = last_images(len(self._headers), self._stack_of, self._index)
        found = (header_problem(header, int(i)) for header, i in zip(self._headers, last, strict=True))
        refuse([problem for problem in found if problem is not None], len(self._headers))
        self._box_of_stack = np.array([header.shape[2] for header in self._headers])

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._stack_of)

    @property
    def boxes_px(self) -> Int[np.ndarray, " n"]:
        """Side of each particle's image in pixels."""
        return np.asarray(self._box_of_stack[self._stack_of])

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels.

        Raises
        ------
        InputError
            If stacks have different boxes; ``particles.frame`` brings them to one.
        """
        return self._one_box(np.arange(len(self._headers)))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The stacks' files, in the order of the table's stacks."""
        return tuple(header.path for header in self._headers)

    @property
    def header_pixel_sizes_a(self) -> tuple[float, ...]:
        """The different pixel sizes that the stacks' headers give, in Å, ascending; 0 where one does not say."""
        return tuple(sorted({header.pixel_size_a[0] for header in self._headers}))

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles, in the order asked, as float32 and bright.

        Stacks are visited one after another and each from front to back, whatever the order of ``rows``.

        Raises
        ------
        InputError
            If the images have different boxes, or a stack can no longer be read.
        """
        rows = np.asarray(rows)
        stack_of, index, sign = self._stack_of[rows], self._index[rows], self._sign[rows]
        box = self._one_box(np.unique(stack_of)) if len(rows) else int(self._box_of_stack[0])
        images = np.empty((len(rows), box, box), np.float32)
        order = np.lexsort((index, stack_of))
        for places in _runs(order, stack_of, index):
            self._read_run(int(stack_of[places[0]]), int(index[places[0]]), places, images)
        dark = np.flatnonzero(sign != 1.0)
        images[dark] *= sign[dark, None, None]
        return images

    def _read_run(self, stack: int, first: int, places: Int[np.ndarray, " r"], images: np.ndarray) -> None:
        """Read images that follow each other in a stack into ``images[places]``."""
        header = self._headers[stack]
        image_bytes = header.image_bytes
        if header.dtype == images.dtype and (np.diff(places) == 1).all():
            straight = images[places[0] : places[0] + len(places)]
            self._files.fill(header.path, header.offset + first * image_bytes, straight)
            return
        per_piece = max(1, _PIECE_BYTES // image_bytes)
        for start in range(0, len(places), per_piece):
            part = places[start : start + per_piece]
            pixels = np.empty((len(part), *header.shape[1:]), header.dtype)
            self._files.fill(header.path, header.offset + (first + start) * image_bytes, pixels)
            images[part] = pixels

    def _one_box(self, stacks: Int[np.ndarray, " s"]) -> int:
        """Side of the images of some stacks, which have to agree."""
        boxes, first = np.unique(self._box_of_stack[stacks], return_index=True)
        if len(boxes) > 1:
            found = ", ".join(f"{self._headers[stacks[i]].path} {box} px" for box, i in zip(boxes, first, strict=True))
            raise InputError(f"Images have different boxes: {found}; expected one box: extract or resample them alike.")
        return int(boxes[0])


def last_images(n_stacks: int, stack_of: Int[np.ndarray, " n"], index: Int[np.ndarray, " n"]) -> Int[np.ndarray, " s"]:
    """Highest 0-based image asked for in every stack, -1 for none."""
    highest = np.full(n_stacks, -1, np.int64)
    np.maximum.at(highest, stack_of, index)
    return highest


def _runs(
    order: Int[np.ndarray, " b"], stack_of: Int[np.ndarray, " b"], index: Int[np.ndarray, " b"]
) -> list[Int[np.ndarray, " r"]]:
    """Cut places, sorted by stack and image, where the next is not the next image of the same stack."""
    if len(order) == 0:
        return []
    cuts = (np.diff(stack_of[order]) != 0) | (np.diff(index[order]) != 1)
    return np.split(order, np.flatnonzero(cuts) + 1)


class _OpenFiles:
    """The files read last stay open; one read at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: OrderedDict[Path, int] = OrderedDict()
        # Not __del__: at the end of the interpreter it may run when modules are gone.
        weakref.finalize(self, _close_all, self._handles)

    def fill(self, path: Path, offset: int, pixels: np.ndarray) -> None:
        """Read bytes from a position of a file until the array is full."""
        rest = pixels.reshape(-1).view(np.uint8).data
        try:
            with self._lock:
                handle = self._open(path)
                while len(rest):
                    n_read = os.preadv(handle, [rest], offset)
                    if n_read == 0:
                        raise InputError(
                            f"{path} became shorter while it was read; put the whole file back and run again, or "
                            "resume the run."
                        )
                    rest, offset = rest[n_read:], offset + n_read
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error

    def _open(self, path: Path) -> int:
        while path not in self._handles:
            if len(self._handles) >= _OPEN_FILES:
                self._close_oldest()
            try:
                self._handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.EMFILE or not self._handles:
                    raise
                self._close_oldest()
        self._handles.move_to_end(path)
        return self._handles[path]

    def _close_oldest(self) -> None:
        os.close(self._handles.popitem(last=False)[1])


def _close_all(handles: OrderedDict[Path, int]) -> None:
    while handles:
        os.close(handles.popitem()[1])
