"""One process at a time: a lock on an open file, which the system releases however the process ends."""

import errno
import fcntl
from pathlib import Path

from gemmap.errors import OutputError

#: File systems without locks; there the user has to take care.
_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


class FileLock:
    """Holds the lock on a file, which is made if it is not there, until `release`.

    Raises
    ------
    OutputError
        If another process holds it, or the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = open(path, "ab")  # noqa: SIM115 - open as long as the lock is held
        except OSError as error:
            raise OutputError(f"Cannot write {path}: {error.strerror or error}; choose another folder.") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                return
            self._file.close()
            raise OutputError(
                f"Another process is writing to {path.parent}; wait until it has ended, or choose another folder."
            ) from error

    def release(self) -> None:
        """Let go of the file."""
        self._file.close()
