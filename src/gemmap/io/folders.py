"""Folders that a command fills: refused when they exist, cleared of our own files only, checked for space."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from gemmap.errors import InputError, OutputError
from gemmap.units import memory_text


def require_free(folder: Path, overwrite: bool) -> None:
    """Check that a folder may be written, before anything is read or computed.

    Raises
    ------
    OutputError
        If it exists and ``overwrite`` is False, or if it is not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; expected a folder to write to: choose another name.")
    if folder.exists() and not overwrite:
        raise OutputError(f"{folder} exists; choose another folder, or give --overwrite to replace its results.")


def require_new_file(path: Path, suffix: str, overwrite: bool) -> None:
    """Check that a file may be written, before anything is read or computed.

    Raises
    ------
    OutputError
        If it exists and ``overwrite`` is False, or its name does not end with ``suffix``.
    """
    if path.suffix != suffix:
        raise OutputError(f"The output is {path}; expected a name that ends with {suffix}.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another name, or add --overwrite.")


def require_space(folder: Path, n_bytes: int) -> None:
    """Raise OutputError unless the disk of a folder, which need not exist yet, has this many bytes left."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise OutputError(
            f"The results need about {memory_text(n_bytes)} and the disk of {folder} has {memory_text(free)} left; "
            "free space or choose another output folder."
        )


def require_not_read(folder: Path, ours: Iterable[str], inputs: Iterable[Path]) -> None:
    """Raise InputError if a file of the folder that is named in ``ours``, and would be replaced, is an input."""
    read = {path.resolve() for path in inputs}
    clash = [folder / name for name in ours if (folder / name).is_file() and (folder / name).resolve() in read]
    if clash:
        raise InputError(f"{clash[0]} is read and would be replaced; choose another output folder.")


def prepare_folder(folder: Path, ours: Iterable[str]) -> None:
    """Make a folder and remove from it the files named in ``ours``; other files stay.

    Raises
    ------
    OutputError
        If the operating system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ours:
            if (folder / name).is_file():
                (folder / name).unlink()
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror or error}; choose another output folder."
        ) from error
