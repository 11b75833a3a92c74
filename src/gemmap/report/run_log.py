"""run.log: every message of a run with its time, on disk as soon as it is said."""

from datetime import datetime
from pathlib import Path

from gemmap.errors import OutputError


class RunLog:
    """A log file that grows line by line.

    Raises
    ------
    OutputError
        If the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str) -> None:
        """Append a line."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        try:
            with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as handle:
                handle.write(f"{now}  {text}\n")
        except OSError as error:
            raise OutputError(f"Cannot write {self._path}: {error.strerror or error}; free space.") from error

    def clear(self) -> None:
        """Remove all lines."""
        try:
            open(self._path, "w", encoding="utf-8").close()
        except OSError as error:
            raise OutputError(f"Cannot write {self._path}: {error.strerror or error}; free space.") from error
