"""Maps and particle stacks in MRC files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gemmap._types import Volume
from gemmap.errors import InputError, NumericsError
from gemmap.io.atomic import atomic_path
from gemmap.io.image_list import ImageList
from gemmap.io.mrc_header import HEADER_BYTES, MODES, build_header, read_header
from gemmap.io.mrc_stack import MrcStack, last_images
from gemmap.io.paths import find_stacks, missing_stacks
from gemmap.io.stack_problems import StackProblem, read_headers, refuse
from gemmap.particles.table import ParticleTable


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
    InputError, FormatError
        If stacks are missing, damaged or too short: how many, and the first three.
    """
    return open_images(_images_of(table), folders, strip_prefix=strip_prefix, datadir=datadir, invert=invert)


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
    names = [images.stacks[i] for i in used]
    paths = find_stacks(names, folders, strip_prefix=strip_prefix, datadir=datadir)
    headers, problems = read_headers(names, paths, last_images(len(names), stack_of, images.index_in_stack))
    if problems and len(problems) == paths.count(None):
        raise missing_stacks(names, paths, folders, datadir)
    refuse(problems, len(names))
    sign = images.sign * (-1.0 if invert else 1.0)
    return MrcStack(headers, stack_of, images.index_in_stack, sign)


def stack_problems(
    table: ParticleTable,
    folders: Sequence[Path],
    *,
    strip_prefix: str | None = None,
    datadir: Path | None = None,
) -> list[StackProblem]:
    """Return every stack of a table's particles that is missing, damaged or too short; parameters as `open_stack`."""
    used, stack_of = np.unique(table.stack_of, return_inverse=True)
    names = [table.stacks[i] for i in used]
    paths = find_stacks(names, folders, strip_prefix=strip_prefix, datadir=datadir)
    return read_headers(names, paths, last_images(len(names), stack_of, table.index_in_stack))[1]


def _images_of(table: ParticleTable) -> ImageList:
    return ImageList(table.stacks, table.stack_of, table.index_in_stack, table.image_sign, table.half)


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


def write_map(
    path: Path, volume: Volume, pixel_size_a: float, origin_a: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> None:
    """Write a cubic map (z, y, x) as mode 2 with statistics and voxel size in the header.

    Parameters
    ----------
    origin_a
        Coordinate (x, y, z) in Å of voxel (0, 0, 0), for maps that lie over a model or over another map.

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
    header = build_header((len(data),) * 3, 2, pixel_size_a, statistics, is_stack=False, origin_a=origin_a)
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
