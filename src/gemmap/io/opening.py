"""Input files are opened here: a folder, a pipe or a device in a file's place is a sentence, and never waits."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from gemmap.errors import FormatError, InputError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_input(path: Path) -> BinaryIO:
    """Open an ordinary file for reading bytes.

    Raises
    ------
    InputError
        If it is missing, unreadable, or no ordinary file.
    """
    try:
        # A pipe without a writer would keep an ordinary open waiting for one.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        mode = os.fstat(descriptor).st_mode
    except ValueError:  # a null byte
        raise InputError(f"{str(path)!r} is no name of a file; correct it.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InputError(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'no ordinary file')}; expected a file.")
    return os.fdopen(descriptor, "rb")


def file_bytes(handle: BinaryIO) -> int:
    """Size of an open file."""
    return os.fstat(handle.fileno()).st_size


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    InputError
        As `open_input`, or if reading fails.
    """
    with open_input(path) as handle:
        try:
            return handle.read()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_text(path: Path, expected: str, errors: str = "strict") -> str:
    """Return the content of a text file in UTF-8; a byte-order mark is left out.

    Parameters
    ----------
    expected
        What the file should be, for the message.
    errors
        What to do with other bytes, as for `bytes.decode`.

    Raises
    ------
    InputError
        As `read_bytes`.
    FormatError
        If it is not text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not a text file; expected {expected}.") from None


def is_file(path: Path) -> bool:
    """Whether there is an ordinary file; False too for a name that no file can have, or behind a closed folder."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
