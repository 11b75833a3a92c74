"""Pickles that may hold NumPy arrays and nothing else: opening one runs no code of its author."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from gemmap.errors import FormatError, InputError

# What NumPy itself names in a pickled array, asked of NumPy because its modules have moved between versions.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]
_SCALAR = np.float64(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FROM_BUFFER for core in ("core", "_core")},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise FormatError(f"it asks for {module}.{name}") from None


def load_arrays(path: Path) -> tuple[np.ndarray, ...]:
    """Read the arrays of a pickle: one array, or a tuple of arrays (a list of numbers counts as an array).

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is no pickle, or asks for anything but numeric arrays; nothing it names is run.
    """
    try:
        with open(path, "rb") as handle:
            content = _ArraysOnly(handle).load()
        parts = content if isinstance(content, tuple) else (content,)
        arrays = tuple(np.asarray(part) if isinstance(part, list) else part for part in parts)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except FormatError as error:
        raise FormatError(
            f"{path} was not opened because {error}; expected a pickle of NumPy arrays only, or the arrays as .npz."
        ) from None
    except Exception as error:  # a damaged pickle can fail with nearly any exception
        raise FormatError(f"{path} is not a readable pickle ({error}); expected NumPy arrays.") from error
    for array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise FormatError(
                f"{path} holds {type(array).__name__} values that are not numbers; expected NumPy arrays."
            )
    return arrays
