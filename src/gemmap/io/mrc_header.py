"""The 1024-byte header of MRC2014 files: what to trust in it, and how to write it.

Many programs write half of the header: no MAP stamp, no machine stamp, voxel size 0 or 1. Only what is needed to find
the pixels is required here; sizes and lengths are checked against the file.
Source: Cheng et al. 2015, J. Struct. Biol. 192, 146; RELION ``src/rwMRC.h``.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from gemmap.errors import FormatError, InputError
from gemmap.io.opening import file_bytes, open_input

HEADER_BYTES = 1024
#: Modes that hold one real number per pixel. Mode 0 is signed, as the standard says.
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES = {3: "complex 16-bit integers", 4: "complex 32-bit floats", 101: "4-bit integers"}
_LARGEST_SIDE = 2**24


@dataclass(frozen=True)
class MrcHeader:
    """Where the pixels of a file are and what they mean.

    Attributes
    ----------
    shape
        (sections, rows, columns), slowest first.
    dtype
        Pixel type with its byte order.
    offset
        Position of the first pixel in bytes.
    pixel_size_a
        (x, y, z) in Å; 0 where the header does not say.
    axes
        Which axis (1 = x, 2 = y, 3 = z) runs along columns, rows and sections.
    origin_a
        (x, y, z) of the ORIGIN words in Å.
    start_px
        (x, y, z) of the NSTART words in voxels, put into this order.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    pixel_size_a: tuple[float, float, float]
    axes: tuple[int, int, int]
    origin_a: tuple[float, float, float] = (0.0, 0.0, 0.0)
    start_px: tuple[int, int, int] = (0, 0, 0)

    @property
    def image_bytes(self) -> int:
        """Bytes of one section."""
        return self.shape[1] * self.shape[2] * self.dtype.itemsize

    def map_pixels(self) -> np.ndarray:
        """Memory-map the pixels as (sections, rows, columns), in the file's own type."""
        try:
            return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read: {error}.") from error


def read_header(path: Path) -> MrcHeader:
    """Read and check the header of an MRC file; pixels are not touched.

    Raises
    ------
    InputError
        If the file is missing or unreadable.
    FormatError
        If it is no MRC file, holds complex or packed pixels, or is shorter than its header says.
    """
    try:
        with open_input(path) as handle:
            raw, n_bytes = handle.read(HEADER_BYTES), file_bytes(handle)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(raw) < HEADER_BYTES:
        raise FormatError(f"{path} holds {len(raw)} bytes; expected an MRC file, whose header takes {HEADER_BYTES}.")
    record = _decode(raw, path)
    mode = int(record["mode"])
    if mode not in MODES:
        raise FormatError(
            f"{path} has MRC mode {mode} ({_OTHER_MODES[mode]}); expected one of {sorted(MODES)}: convert it to mode 2."
        )
    byte_order = record.dtype["mode"].byteorder
    header = MrcHeader(
        path=Path(path),
        shape=(int(record["nz"]), int(record["ny"]), int(record["nx"])),
        dtype=np.dtype(MODES[mode]).newbyteorder(byte_order),
        offset=HEADER_BYTES + int(record["nsymbt"]),
        pixel_size_a=_pixel_size(record),
        axes=_axes(record, path),
        origin_a=_origin(record),
        start_px=_start(record, _axes(record, path)),
    )
    expected = header.offset + math.prod(header.shape) * header.dtype.itemsize
    if n_bytes < expected:
        nz, ny, nx = header.shape
        raise FormatError(
            f"{path} is truncated: it holds {n_bytes} bytes; expected {expected} by its header "
            f"({nz} x {ny} x {nx} pixels, mode {mode}): copy or write it again."
        )
    return header


def _decode(raw: bytes, path: Path) -> np.void:
    """Return the header in the byte order that gives possible sizes, trying the one its machine stamp names first."""
    first = ">" if raw[212:213] == b"\x11" else "<"
    for order in (first, "<" if first == ">" else ">"):
        record: np.void = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0]
        sides = [int(record[name]) for name in ("nx", "ny", "nz")]
        mode = int(record["mode"])
        possible = mode in MODES or mode in _OTHER_MODES
        if possible and all(0 < side <= _LARGEST_SIDE for side in sides) and int(record["nsymbt"]) >= 0:
            return record
    raise FormatError(f"{path} is not an MRC file: its header has impossible sizes or an unknown mode.")


def _pixel_size(record: np.void) -> tuple[float, float, float]:
    sizes = []
    for axis in "xyz":
        length, samples = float(record["cella"][axis]), int(record[f"m{axis}"])
        size = length / samples if samples > 0 else 0.0
        sizes.append(size if np.isfinite(size) and size > 0 else 0.0)
    return sizes[0], sizes[1], sizes[2]


def _axes(record: np.void, path: Path) -> tuple[int, int, int]:
    axes = int(record["mapc"]), int(record["mapr"]), int(record["maps"])
    if axes == (0, 0, 0):  # left empty by programs that know only the usual order
        return 1, 2, 3
    if sorted(axes) != [1, 2, 3]:
        raise FormatError(f"{path} names its axes {axes}; expected some order of (1, 2, 3).")
    return axes


def _origin(record: np.void) -> tuple[float, float, float]:
    x, y, z = (float(record["origin"][axis]) for axis in "xyz")
    return (x, y, z) if np.isfinite([x, y, z]).all() else (0.0, 0.0, 0.0)


def _start(record: np.void, axes: tuple[int, int, int]) -> tuple[int, int, int]:
    """NSTART words lie in the order of columns, rows, sections; returned as x, y, z."""
    of_axis = dict(zip(axes, (int(record[name]) for name in ("nxstart", "nystart", "nzstart")), strict=True))
    return of_axis[1], of_axis[2], of_axis[3]


def build_header(
    shape: tuple[int, int, int],
    mode: int,
    pixel_size_a: float,
    statistics: tuple[float, float, float, float],
    is_stack: bool,
    origin_a: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> bytes:
    """Return a little-endian MRC2014 header with start 0.

    Parameters
    ----------
    shape
        (sections, rows, columns).
    statistics
        Minimum, maximum, mean and standard deviation of the pixels.
    is_stack
        True for images (space group 0, one section per image), False for a volume (space group 1).
    origin_a
        Coordinate (x, y, z) of the first voxel in Å.
    """
    nz, ny, nx = shape
    record = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    depth = 1 if is_stack else nz
    values: dict[str, Any] = {
        "nx": nx, "ny": ny, "nz": nz, "mode": mode, "mx": nx, "my": ny, "mz": depth,
        "cella": (nx * pixel_size_a, ny * pixel_size_a, depth * pixel_size_a), "cellb": (90.0, 90.0, 90.0),
        "origin": origin_a, "mapc": 1, "mapr": 2, "maps": 3, "ispg": 0 if is_stack else 1,
        "dmin": statistics[0], "dmax": statistics[1], "dmean": statistics[2], "rms": statistics[3],
        "nversion": 20141, "map": b"MAP ", "machst": (0x44, 0x44, 0, 0), "nlabl": 1,
    }  # fmt: skip
    for name, value in values.items():
        record[name] = value
    record["label"][0] = b"written by gemmap"
    return record.tobytes()
