"""NumPy's array files, read with their own claims checked first: no objects, and no more memory than bytes on disk."""

import ast
import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gemmap.errors import FormatError, InputError, reason_of
from gemmap.io.opening import file_bytes, open_input

#: NumPy refuses headers over 10 kB by default; files with many fields have larger ones.
_LARGEST_HEADER_BYTES = 2**20
#: An array of an archive may take this much memory, or this many times its compressed size if that is more.
_SMALL_BYTES, _LARGEST_RATIO = 2**28, 20
#: Arrays named in a sentence.
_NAMED = 5
#: Characters of NumPy's own words in a message.
_SHOWN = 120
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(handle: BinaryIO, n_bytes: int) -> np.ndarray:
    """Read an array from an open file of ``n_bytes`` in all.

    Raises
    ------
    ValueError
        Saying what is wrong with the file: it is no array, holds objects, or is shorter than its header says.
    """
    shape, fortran, dtype = _read_header(handle)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if any(side < 0 for side in shape) or (dtype.itemsize == 0 and math.prod(shape) > 0):
        raise ValueError(f"its header speaks of {dtype} values in the shape {shape}")
    wanted, there = math.prod(shape) * dtype.itemsize, n_bytes - handle.tell()
    if there < wanted:
        raise ValueError(f"it holds {there} bytes of values; its header promises {wanted}")
    # bytearray, so that the array can be written to
    values = np.frombuffer(bytearray(handle.read(wanted)), dtype) if wanted else np.zeros(math.prod(shape), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _read_header(handle: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(handle)
        if version in _HEADERS:
            return _HEADERS[version](handle, max_header_size=_LARGEST_HEADER_BYTES)
        if version != (3, 0):
            raise ValueError(f"its format has the version {version[0]}.{version[1]}")
        length = int.from_bytes(handle.read(4), "little")
        if length > _LARGEST_HEADER_BYTES:
            raise ValueError(f"its header takes {length} bytes")
        header = ast.literal_eval(handle.read(length).decode("utf-8"))
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        return tuple(map(int, header["shape"])), bool(header["fortran_order"]), dtype
    except ValueError as error:
        raise ValueError(str(error).split("\n")[0][:_SHOWN].rstrip(".")) from error
    except Exception as error:  # text that is parsed as Python can fail with nearly any exception
        raise ValueError(f"its header is damaged: {type(error).__name__}") from error


def load_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read those of the named arrays that an ``.npz`` archive has; the first is required.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is no archive of arrays, lacks the first, holds objects, or would take far more memory than
        its size.
    """
    try:
        with open_input(path) as handle, zipfile.ZipFile(handle) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if names[0] not in members:
                raise FormatError(f"{path} has no array {names[0]!r}; it has {', '.join(list(members)[:_NAMED])}.")
            return {name: _read_member(archive, members[name]) for name in names if name in members}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # archives can fail with nearly any exception
        reason = reason_of(error)
        raise FormatError(f"{path} is not a readable .npz file ({reason}); expected NumPy arrays.") from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.file_size > max(_SMALL_BYTES, _LARGEST_RATIO * info.compress_size):
        raise ValueError(f"{info.filename} would take {info.file_size} bytes of memory, from {info.compress_size}")
    with archive.open(info) as member:
        content = member.read(info.file_size)
    return read_npy(io.BytesIO(content), len(content))


def load_npy(path: Path, expected: str) -> np.ndarray:
    """Read an ``.npy`` file; ``expected`` says in messages what it should be.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is something else, holds objects, or is shorter than its header says.
    """
    with open_input(path) as handle:
        try:
            return read_npy(handle, file_bytes(handle))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
        except ValueError as error:
            raise FormatError(f"{path} is not {expected} ({error}); expected a NumPy table.") from error
