"""The one box in which a run works, and images of any box brought to it while they are read."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from gemmap._types import Float, Int
from gemmap.errors import InputError
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.resampling import resample_images

SMALLEST_BOX_PX = 16
#: Bytes of images as they are on disk, and again of their transforms, that are in memory at a time.
_PIECE_BYTES = 2**22
#: Pixel sizes closer than this are one.
_SAME_PIXEL = 1e-4


@dataclass(frozen=True)
class Frame:
    """Box in pixels that all images are brought to, and Å per voxel of the map."""

    box_px: int
    pixel_size_a: float


class FramedStack:
    """Images brought to one box by cropping or padding their Fourier transforms; implements ``ImageStack``.

    Parameters
    ----------
    source
        Images as on disk or in memory; those that are read together have one box.
    boxes_px
        (n,), the side of each of them.
    box_px
        Side of the images that are returned.
    """

    def __init__(self, source: ImageStack, boxes_px: Int[np.ndarray, " n"], box_px: int) -> None:
        self._source, self._boxes_px, self._box_px = source, np.asarray(boxes_px), box_px

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._boxes_px)

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright (white)."""
        rows = np.asarray(rows)
        boxes = self._boxes_px[rows]
        images = np.empty((len(rows), self._box_px, self._box_px), np.float32)
        for box in np.unique(boxes):
            places = np.flatnonzero(boxes == box)
            piece = max(1, _PIECE_BYTES // (4 * int(box) ** 2))
            for start in range(0, len(places), piece):
                part = places[start : start + piece]
                images[part] = resample_images(self._source.read(rows[part]), self._box_px)
        return images


def common_size(table: ParticleTable) -> tuple[int, float]:
    """Box in pixels and pixel size in Å that most particles have, as read; the larger if two are equally frequent.

    Raises
    ------
    InputError
        If an optics group does not say its box.
    """
    counts = np.bincount(table.optics_group, minlength=len(table.optics))
    particles: dict[tuple[int, float], int] = {}
    for group, n in zip(table.optics, counts, strict=True):
        size = (box_of(group), group.pixel_size_a)
        particles[size] = particles.get(size, 0) + int(n)
    return max(particles, key=lambda size: (particles[size], *size))


def box_of(group: OpticsGroup) -> int:
    """Side of a group's images in pixels.

    Raises
    ------
    InputError
        If the group does not say it.
    """
    if group.box_px is None:
        raise InputError(f"Optics group {group.name} does not say the box of its images; expected it in pixels.")
    return group.box_px


def choose_frame(
    table: ParticleTable,
    *,
    box_px: int | None = None,
    target_pixel_size_a: float | None = None,
    max_resolution_a: float | None = None,
) -> Frame:
    """Return the frame of a run: what most particles have, or smaller as asked by at most one of the options.

    An odd box becomes the even one below.

    Parameters
    ----------
    box_px
        Side of the box, even.
    target_pixel_size_a
        Pixel size to come close to, in Å: the nearest even box is taken.
    max_resolution_a
        Resolution in Å that has to be kept: the smallest even box without prime factors above 5, which suit the FFT,
        whose Nyquist resolution is as good; the whole box if there is none.

    Raises
    ------
    InputError
        If what is asked for is larger than the images, odd, too small, or asked for twice.
    """
    options = {"box": box_px, "target pixel size": target_pixel_size_a, "maximum resolution": max_resolution_a}
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"The {given[0]} and the {given[1]} both choose the working size; give one of them.")
    box, pixel_size_a = common_size(table)
    if table.map_pixel_size_a is not None:
        pixel_size_a = table.map_pixel_size_a
    side_a, size = box * pixel_size_a, box - box % 2
    if box_px is not None:
        size = _checked_box(box_px, size)
    elif target_pixel_size_a is not None:
        size = _box_for_pixel(target_pixel_size_a, pixel_size_a, box)
    elif max_resolution_a is not None:
        size = _box_for_resolution(max_resolution_a, side_a, size)
    return Frame(size, pixel_size_a if size == box else side_a / size)


def bring_to_frame(table: ParticleTable, stack: ImageStack, frame: Frame) -> tuple[ParticleTable, ImageStack]:
    """Return the table and images of a frame; both as they are if they are in it already.

    An image of d pixels of p Å becomes one of D pixels of p d / D Å: the same field of view, the same grey values, the
    same poses, CTFs and shifts (which are in Å).
    """
    boxes = [box_of(group) for group in table.optics]
    optics = tuple(_framed(group, frame.box_px) for group in table.optics)
    differ = any(abs(g.pixel_size_a - frame.pixel_size_a) > _SAME_PIXEL * frame.pixel_size_a for g in optics)
    pixel_size_a = frame.pixel_size_a if differ or table.map_pixel_size_a is not None else None
    if set(boxes) != {frame.box_px}:
        stack = FramedStack(stack, np.array(boxes)[table.optics_group], frame.box_px)
    return replace(table, optics=optics, map_pixel_size_a=pixel_size_a), stack


def _framed(group: OpticsGroup, box_px: int) -> OpticsGroup:
    """The group as its images are after they were brought to a box."""
    box = box_of(group)
    if box == box_px:
        return group
    padding = (box + 1) // 2 if box < box_px else None
    empty = [shell for shell in (group.first_empty_shell, padding) if shell is not None]
    return replace(
        group,
        pixel_size_a=group.pixel_size_a * box / box_px,
        box_px=box_px,
        first_empty_shell=min(empty, default=None),
    )


def _checked_box(box_px: int, largest: int) -> int:
    if box_px % 2 or not SMALLEST_BOX_PX <= box_px <= largest:
        raise InputError(
            f"A working box of {box_px} px was asked for; expected an even number from {SMALLEST_BOX_PX} to "
            f"{largest}, the box of most images."
        )
    return box_px


def _box_for_pixel(target_a: float, pixel_size_a: float, box: int) -> int:
    side_a = box * pixel_size_a
    if not (np.isfinite(target_a) and pixel_size_a * (1.0 - _SAME_PIXEL) <= target_a <= side_a / SMALLEST_BOX_PX):
        raise InputError(
            f"A target pixel size of {target_a:g} Å was asked for; expected one from {pixel_size_a:.4g} Å, that of "
            f"most images, to {side_a / SMALLEST_BOX_PX:.4g} Å, which leaves {SMALLEST_BOX_PX} pixels."
        )
    return min(2 * round(0.5 * side_a / target_a), box - box % 2)


def _box_for_resolution(resolution_a: float, side_a: float, largest: int) -> int:
    if not (np.isfinite(resolution_a) and 0.0 < resolution_a <= 2.0 * side_a / SMALLEST_BOX_PX):
        raise InputError(
            f"A maximum resolution of {resolution_a:g} Å was asked for; expected more than 0 and at most "
            f"{2.0 * side_a / SMALLEST_BOX_PX:.4g} Å, which needs {SMALLEST_BOX_PX} pixels."
        )
    # Rounding must not cost a pixel where the resolution is Nyquist exactly.
    size = max(SMALLEST_BOX_PX, int(np.ceil(2.0 * side_a / resolution_a * (1.0 - 1e-9))))
    while size < largest and (size % 2 or scipy.fft.next_fast_len(size, real=True) != size):
        size += 1
    return min(size, largest)
