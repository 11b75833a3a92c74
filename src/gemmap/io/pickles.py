"""Pickles that may hold NumPy arrays and nothing else: opening one runs no code of its author.

What a pickle names is looked up in a list of a few stand-ins, written here in Python, that make plain arrays of numbers
from the bytes in the file. Nothing else can be called, not even NumPy: its own unpickling allocates what a file claims.
"""

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np

from gemmap.errors import FormatError, reason_of
from gemmap.io.opening import read_bytes

_NUMBER = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f[248]|f16)")


class _Dtype:
    """Stands for ``numpy.dtype``: real numbers only."""

    def __init__(self, text: str, *_options: object) -> None:
        if not _NUMBER.fullmatch(text):
            raise FormatError(f"it holds values of type {text!r}")
        self.dtype: np.dtype[Any] = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for an array that is filled after it was made."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, is_fortran, content = state[-4:]
        self.value = _from_bytes(content, dtype, shape, "F" if is_fortran else "C")


def _from_bytes(
    content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str, axis_order: tuple[int, ...] | None = None
) -> np.ndarray:
    # Without bytes there is nothing to make a view of.
    values = np.frombuffer(content, dtype.dtype) if len(content) else np.zeros(0, dtype.dtype)
    if order == "K" and axis_order is not None:
        return values.reshape(shape).transpose(axis_order)
    return values.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    return _from_bytes(content, dtype, (1,), "C").tolist()[0]


def _refuse_call(*_arguments: object) -> None:
    """Named in every pickled array, called in none that a program writes."""
    raise FormatError("it makes an array without values")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _refuse_call,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): lambda text, _encoding: text.encode("latin-1"),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_bytes for core in ("core", "_core")},
}


class _Bytes:
    """A file in memory that can only be read: CPython complains on stderr when ``readinto`` meets the end."""

    def __init__(self, data: bytes) -> None:
        buffer = io.BytesIO(data)
        self.read, self.readline = buffer.read, buffer.readline


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            stand_in = _STAND_INS[module, name]
        except KeyError:
            raise FormatError(f"it asks for {module}.{name}") from None
        # A pickle can set attributes of what it is given, so it is given nothing that lasts.
        return lambda *arguments: stand_in(*arguments)


def _require_modest(data: bytes) -> None:
    """Refuse numbers for parts that a file of this size cannot have: CPython makes room for all below."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > len(data):
            raise FormatError(f"it says to have {argument} parts")


def load_arrays(path: Path) -> tuple[np.ndarray, ...]:
    """Read the arrays of a pickle: one array, or a tuple of arrays (a list of numbers counts as an array).

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is no pickle, or asks for anything but numeric arrays; nothing it names is run.
    """
    data = read_bytes(path)
    try:
        # From memory: a length in the file that goes beyond its end is then not allocated.
        _require_modest(data)
        content = _ArraysOnly(_Bytes(data)).load()
        parts = content if isinstance(content, tuple) else (content,)
        arrays = [_as_array(part) for part in parts]
    except FormatError as error:
        raise FormatError(
            f"{path} was not opened because {error}; expected a pickle of NumPy arrays only, or the arrays as .npz."
        ) from None
    except Exception as error:  # a damaged pickle can fail with nearly any exception
        reason = reason_of(error)
        raise FormatError(f"{path} is not a readable pickle ({reason}); expected NumPy arrays.") from error
    numbers = tuple(array for array in arrays if array is not None)
    if not arrays or len(numbers) < len(arrays):
        odd = next((type(part).__name__ for part, array in zip(parts, arrays, strict=True) if array is None), "no")
        raise FormatError(f"{path} holds {odd} values that are not numbers; expected NumPy arrays.")
    return numbers


def _as_array(part: object) -> np.ndarray | None:
    """Return an array of numbers, or None for anything else."""
    if isinstance(part, _Array):
        return part.value
    # Lists in lists are left alone: a small file can hold one list a billion times.
    if isinstance(part, list) and all(isinstance(entry, int | float) for entry in part):
        array = np.asarray(part)
        return array if array.dtype.kind in "biuf" else None
    return part if isinstance(part, np.ndarray) else None
