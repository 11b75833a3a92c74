"""Maps and particle stacks in MRC files. Pixels are memory-mapped, never read whole."""

import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap._types import Float, Int, PerParticle, Volume
from gemmap.errors import InputError, NumericsError
from gemmap.io.atomic import atomic_path
from gemmap.io.image_list import ImageList
from gemmap.io.mrc_header import HEADER_BYTES, MODES, MrcHeader, build_header, read_header
from gemmap.io.paths import resolve_stacks
from gemmap.particles.table import ParticleTable

#: Maps kept open at once; thousands of stacks stay within any limit on open files.
_OPEN_STACKS = 16
_SMALLEST_BOX_PX = 16


class MrcStack:
    """Particle images spread over MRC stacks; implements ``particles.stack.ImageStack``.

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
        If images are not square, of one box, even and >= 16 px, or if a stack has fewer images than asked for.
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
        self._open: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._box_px = _common_box(self._headers)
        self._check_counts()

    def _check_counts(self) -> None:
        highest = np.full(len(self._headers), -1, np.int64)
        np.maximum.at(highest, self._stack_of, self._index)
        for header, last in zip(self._headers, highest, strict=True):
            if last >= header.shape[0]:
                raise InputError(
                    f"{header.path} holds {header.shape[0]} images; the particle file asks for image {last + 1}: "
                    "it belongs to another stack or another extraction."
                )

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._stack_of)

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._box_px

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
        """
        rows = np.asarray(rows)
        images = np.empty((len(rows), self._box_px, self._box_px), np.float32)
        stack_of, index, sign = self._stack_of[rows], self._index[rows], self._sign[rows]
        opened, pixels = -1, images
        for place in np.lexsort((index, stack_of)):
            if stack_of[place] != opened:
                _release(pixels)
                opened = int(stack_of[place])
                pixels = self._pixels(opened)
            images[place] = pixels[index[place]]
            if sign[place] != 1.0:
                images[place] *= sign[place]
        _release(pixels)
        return images

    def _pixels(self, stack: int) -> np.ndarray:
        with self._lock:
            if stack not in self._open:
                self._open[stack] = self._headers[stack].map_pixels()
                if len(self._open) > _OPEN_STACKS:
                    self._open.popitem(last=False)
            self._open.move_to_end(stack)
            return self._open[stack]


def _release(pixels: np.ndarray) -> None:
    """Give back the pages of a mapped file: they stay in the system's cache, but no longer count as our memory."""
    mapped = getattr(pixels, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)


def _common_box(headers: Sequence[MrcHeader]) -> int:
    """Side of the images shared by all stacks, after checking that it can be used."""
    if not headers:
        raise InputError("No particle is left, so there is no image to read; check the filters given.")
    first = headers[0]
    for header in headers:
        _, ny, nx = header.shape
        if nx != ny:
            raise InputError(f"{header.path} has images of {nx} x {ny} px; expected square images.")
        if header.axes != (1, 2, 3):
            raise InputError(f"{header.path} has axis order {header.axes}; expected (1, 2, 3) for a stack of images.")
        if nx != first.shape[2]:
            raise InputError(
                f"Images have different boxes: {first.path} {first.shape[2]} px, {header.path} {nx} px; "
                "expected one box: extract or resample them alike."
            )
    box = first.shape[2]
    if box % 2 or box < _SMALLEST_BOX_PX:
        raise InputError(
            f"{first.path} has a box of {box} px; expected an even box of at least {_SMALLEST_BOX_PX} px: "
            "extract the particles again."
        )
    return box


def open_stack(
    table: ParticleTable,
    folders: Sequence[Path],
    *,
    strip_prefix: str | None = None,
    datadir: Path | None = None,
    invert: bool = False,
) -> MrcStack:
    """Open the images of a table's particles; only the stacks that some particle uses need exist.

    Parameters
    ----------
    folders, strip_prefix, datadir
        Where stack names are looked up (``io.paths.resolve_stacks``).
    invert
        Multiply all pixels by -1, beside ``table.image_sign``: for dark particles whose file does not say so.

    Raises
    ------
    InputError
        If stacks are missing, damaged, too short, or differ in box.
    """
    images = ImageList(table.stacks, table.stack_of, table.index_in_stack, table.image_sign, table.half)
    return open_images(images, folders, strip_prefix=strip_prefix, datadir=datadir, invert=invert)


def open_images(
    images: ImageList,
    folders: Sequence[Path],
    *,
    strip_prefix: str | None = None,
    datadir: Path | None = None,
    invert: bool = False,
) -> MrcStack:
    """Open a list of images before there is a table of particles; see `open_stack`."""
    used, stack_of = np.unique(images.stack_of, return_inverse=True)
    paths = resolve_stacks([images.stacks[i] for i in used], folders, strip_prefix=strip_prefix, datadir=datadir)
    sign = images.sign * (-1.0 if invert else 1.0)
    return MrcStack([read_header(path) for path in paths], stack_of, images.index_in_stack, sign)


@dataclass(frozen=True)
class StackProblem:
    """A stack that cannot be used: its path (the name as written where there is no file), and what is wrong with it."""

    path: str
    reason: str


def stack_problems(
    table: ParticleTable,
    folders: Sequence[Path],
    *,
    strip_prefix: str | None = None,
    datadir: Path | None = None,
) -> list[StackProblem]:
    """Return every stack of a table's particles that is missing, damaged or too short; parameters as `open_stack`."""
    used, stack_of = np.unique(table.stack_of, return_inverse=True)
    last = np.full(len(used), -1, np.int64)
    np.maximum.at(last, stack_of, table.index_in_stack)
    problems = []
    for number, highest in zip(used, last, strict=True):
        name = table.stacks[number]
        try:
            (path,) = resolve_stacks([name], folders, strip_prefix=strip_prefix, datadir=datadir)
        except InputError:
            problems.append(StackProblem(name, "is missing"))
            continue
        try:
            n_images = read_header(path).shape[0]
        except InputError as error:
            problems.append(StackProblem(str(path), str(error).removeprefix(f"{path} ").removesuffix(".")))
            continue
        if highest >= n_images:
            reason = f"holds {n_images} images; the particle file asks for image {highest + 1}"
            problems.append(StackProblem(str(path), reason))
    return problems


def read_map(path: Path) -> tuple[Volume, float]:
    """Read a cubic map as float32 (z, y, x) and its pixel size in Å (0 if the header does not say).

    The axis order of the header is undone; origin and start fields are ignored, as RELION and cryoSPARC do.

    Raises
    ------
    InputError
        If the map is not cubic or its voxels are not.
    """
    header = read_header(Path(path))
    # axes lists column, row, section; the array's dimensions are section, row, column.
    dimension_of = {axis: 2 - place for place, axis in enumerate(header.axes)}
    stored = header.map_pixels()
    nz, ny, nx = (stored.shape[dimension_of[axis]] for axis in (3, 2, 1))
    if not nx == ny == nz:
        raise InputError(f"{path} is {nx} x {ny} x {nz} voxels (x, y, z); expected a cubic map: pad or crop it.")
    sizes = header.pixel_size_a
    if max(sizes) - min(sizes) > 1e-3 * max(sizes):
        raise InputError(
            f"{path} has voxels of {sizes[0]:g} x {sizes[1]:g} x {sizes[2]:g} Å; "
            "expected cubic voxels: correct its header."
        )
    volume = stored.transpose([dimension_of[axis] for axis in (3, 2, 1)])
    return np.ascontiguousarray(volume, dtype=np.float32), sizes[0]


def write_map(path: Path, volume: Volume, pixel_size_a: float) -> None:
    """Write a cubic map (z, y, x) as mode 2, origin 0, with statistics and voxel size in the header.

    Raises
    ------
    InputError
        If the volume is not cubic or the pixel size not positive.
    NumericsError
        If a voxel is not a finite number.
    OutputError
        If the file cannot be written.
    """
    data = np.ascontiguousarray(volume, dtype="<f4")
    if data.ndim != 3 or len(set(data.shape)) != 1 or data.size == 0:
        raise InputError(f"A map of shape {data.shape} cannot be written to {path}; expected a cubic volume.")
    _require_pixel_size(pixel_size_a, path)
    n_bad = int(np.count_nonzero(~np.isfinite(data)))
    if n_bad:
        raise NumericsError(f"{n_bad} of {data.size} voxels of {path} are not finite numbers; the map was not written.")
    mean = float(data.mean(dtype=np.float64))
    spread = float(np.sqrt(np.mean(np.square(data - mean), dtype=np.float64)))
    statistics = float(data.min()), float(data.max()), mean, spread
    header = build_header((len(data),) * 3, 2, pixel_size_a, statistics, is_stack=False)
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as handle:
        handle.write(header)
        handle.write(data.data)


def write_stack(path: Path, images: Iterable[np.ndarray], pixel_size_a: float, mode: int = 2) -> int:
    """Write square images one after another as an image stack (space group 0) and return how many there were.

    Parameters
    ----------
    images
        (n, d, d), or anything that yields (d, d) images.
    mode
        2 (float32) or 12 (float16, half the size, 3 significant digits).

    Raises
    ------
    InputError
        If an image is not square, differs in size, is not finite in the chosen mode, or there is none.
    OutputError
        If the file cannot be written.
    """
    if mode not in (2, 12):
        raise InputError(f"Particle stacks are written in mode 2 or 12; got mode {mode}.")
    _require_pixel_size(pixel_size_a, path)
    dtype = np.dtype(MODES[mode]).newbyteorder("<")
    n, box, low, high, mean, squares = 0, 0, np.inf, -np.inf, 0.0, 0.0
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as handle:
        handle.write(bytes(HEADER_BYTES))
        for image in images:
            box = box or image.shape[-1]
            if image.shape != (box, box):
                raise InputError(f"Image {n + 1} of {path} has shape {image.shape}; expected ({box}, {box}).")
            with np.errstate(over="ignore"):
                pixels = np.ascontiguousarray(image, dtype=dtype)
            exact = pixels.astype(np.float64)
            if not np.isfinite(exact).all():
                raise InputError(f"Image {n + 1} of {path} has values that are not finite in mode {mode}.")
            low, high = min(low, exact.min()), max(high, exact.max())
            handle.write(pixels.data)
            n += 1
            # Running mean and sum of squares about it: exact for any offset, unlike E[x^2] - E[x]^2.
            step = exact.mean() - mean
            mean += step / n
            squares += exact.var() * box**2 + step**2 * box**2 * (n - 1) / n
        if n == 0:
            raise InputError(f"There is no image to write to {path}.")
        statistics = low, high, mean, float(np.sqrt(squares / (n * box**2)))
        handle.seek(0)
        handle.write(build_header((n, box, box), mode, pixel_size_a, statistics, is_stack=True))
    return n


def _require_pixel_size(pixel_size_a: float, path: Path) -> None:
    if not (np.isfinite(pixel_size_a) and pixel_size_a > 0):
        raise InputError(f"Pixel size for {path} is {pixel_size_a:g} Å; expected a positive number.")
