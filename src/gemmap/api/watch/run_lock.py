"""One watch for a folder of results: the lock of a process that ended, in whatever way, is none."""

import os
import socket
from pathlib import Path

from gemmap.errors import OutputError
from gemmap.io.lock import FileLock

#: Its presence says whose folder it is.
LOCK_NAME = "watch.lock"


class RunLock:
    """Held until `release`; the file says by which process of which machine.

    Raises
    ------
    OutputError
        If another process holds it.
    """

    def __init__(self, run: Path) -> None:
        path = run / LOCK_NAME
        try:
            self._lock = FileLock(path)
        except OutputError as error:
            holder = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
            if not holder:
                raise
            raise OutputError(
                f"{holder} is watching into {run} already; stop it first, or choose another folder."
            ) from error
        # The lock is on the file, not on its content: it is written in place.
        path.write_text(f"Process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()
