"""Named pieces of a computation in a folder, from which another process goes on.

The folder holds a safetensors file a piece and ``index.json``, which says which file is which piece. A piece is written
under a name of its own, then the index is replaced, then files it does not name are removed: a process that is killed
at any moment leaves the pieces of one moment, whole. The folder appears with the first piece.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from gemmap.errors import FormatError, InputError, OutputError
from gemmap.io.atomic import atomic_path
from gemmap.io.tensors import load_tensors, save_tensors

_SCHEMA, _VERSION = "gemmap-checkpoint", 1
_INDEX = "index.json"
#: Saving takes at most this part of the time, however slow the disk is.
_LARGEST_SHARE = 0.05


class Checkpoint:
    """A ``fit.keeper.Keeper`` on disk.

    Parameters
    ----------
    folder
        Where the pieces are, or will be.
    interval_s
        Least time between two saves; a save that took long makes it longer. With 0 it is always time for one.
    clock
        Seconds from some moment on.

    Raises
    ------
    InputError, FormatError
        If there is an index that cannot be read, or that another version wrote.
    """

    def __init__(self, folder: Path, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._interval_s, self._clock = folder, interval_s, clock
        self._last, self._wait_s = clock(), interval_s
        self._files = _read_index(folder / _INDEX)
        self._serial = 1 + max((_serial(file) for file in self._files.values()), default=0)

    def due(self) -> bool:
        """Whether the interval since the last save, or since the start, is over."""
        return self._clock() - self._last >= self._wait_s

    def names(self) -> Collection[str]:
        """Names of the pieces that are kept."""
        return self._files.keys()

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read a piece.

        Raises
        ------
        FormatError
            If its file is missing or damaged.
        """
        try:
            return load_tensors(self._folder / self._files[name])
        except (InputError, FormatError) as error:
            reason = str(error).partition("; ")[0].rstrip(".")
            raise FormatError(f"{reason}; {_begin_again(self._folder)}.") from error

    def keep(self, names: Collection[str], new: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]) -> None:
        """Keep the pieces ``names``: those in ``new`` as given, the others as they are.

        Raises
        ------
        OutputError
            If the disk is full or refuses; the pieces kept before are kept then.
        """
        started = self._clock()
        written = {name: f"{name}.{self._serial}.safetensors" for name in new}
        self._serial += 1
        files = {name: written.get(name) or self._files[name] for name in sorted(names)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name, file in written.items():
                save_tensors(self._folder / file, *new[name])
            content = {"schema": _SCHEMA, "version": _VERSION, "files": files}
            with atomic_path(self._folder / _INDEX) as temporary:
                temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"Cannot write {self._folder}: {error.strerror or error}; free space.") from error
        finally:
            # An interrupt may come just before the index is replaced or just after: what it says is so.
            self._files = _read_index(self._folder / _INDEX)
            self._clear_strangers()
            self._last = self._clock()
            self._wait_s = max(self._interval_s, (self._last - started) / _LARGEST_SHARE) if self._interval_s else 0.0

    def _clear_strangers(self) -> None:
        """Remove pieces that the index does not name; what cannot be removed does no harm."""
        for path in _our_files(self._folder):
            if path.name not in (_INDEX, *self._files.values()):
                with suppress(OSError):
                    path.unlink()


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint's files, the index first, and its folder unless it holds anything else.

    Those of other processes of the same run, in folders within, are removed with it.
    """
    for member in folder.glob("rank*"):
        remove_checkpoint(member)
    for path in sorted(_our_files(folder), key=lambda path: path.name != _INDEX):
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _our_files(folder: Path) -> list[Path]:
    """Return index, pieces, and what a killed process was writing (its name begins with a dot)."""
    return [path for pattern in (_INDEX, "*.safetensors", ".*.part.json") for path in folder.glob(pattern)]


def _read_index(path: Path) -> dict[str, str]:
    """Return the file of every piece; none if there is no index."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema, version = content["schema"], content["version"]
        files = {str(name): str(file) for name, file in content["files"].items()}
        serials = [_serial(file) for file in files.values()]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise FormatError(f"{path} is damaged; {_begin_again(path.parent)}.") from None
    if (schema, version) != (_SCHEMA, _VERSION) or not all(serials):
        raise FormatError(
            f"{path} holds {schema} version {version}; expected {_SCHEMA} version {_VERSION}: "
            f"{_begin_again(path.parent)}."
        )
    return files


def _serial(file: str) -> int:
    return int(file.split(".")[-2])


def _begin_again(folder: Path) -> str:
    return f"remove {folder} to compute everything again"
