"""Outputs appear whole or not at all: written under a temporary name beside the final one, then renamed."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gemmap.errors import OutputError


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of ``final``; on leaving the block it is synced to disk and renamed.

    The temporary name ends in the suffix of ``final`` because some writers choose their format by suffix. If the block
    raises, the temporary file is removed and an existing ``final`` stays as it was.

    Raises
    ------
    OutputError
        If the operating system refuses (disk full, no permission, missing folder), or if the block wrote nothing.
    """
    final = Path(final)
    temporary = final.with_name(_temporary_name(final, secrets.token_hex(6)))
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"Cannot write {final}: {reason}; free space or choose another output folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(finals: Iterable[Path]) -> None:
    """Remove temporary files that a killed process left where it was writing one of these."""
    for final in finals:
        for temporary in final.parent.glob(_temporary_name(final, "[0-9a-f]" * 12)):
            temporary.unlink(missing_ok=True)


def _temporary_name(final: Path, token: str) -> str:
    return f".{final.stem[:64]}.{token}.part{final.suffix}"


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable: the new name lives in the folder, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
