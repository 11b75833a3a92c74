"""Whether another program is still writing a file: it is not, once size and time have stayed the same for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Stamp:
    """Size of a file, and time of its last change as its file system counts."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Return the stamp of a file as it is now; None if it is not there."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return cls(stat.st_size, stat.st_mtime_ns)


class Settling:
    """Remembers files as they were looked at.

    Time is counted on this machine, from when a stamp was first seen: the clock of a file server may differ, and a copy
    may be given the time of its original while it is being written.

    Parameters
    ----------
    settle_s
        A file has settled when its stamp has been the same for so long.
    clock
        Seconds that never run backwards.
    """

    def __init__(self, settle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._settle_s, self._clock = settle_s, clock
        self._seen: dict[Path, tuple[Stamp, float]] = {}

    def settled(self, path: Path) -> Stamp | None:
        """Look at a file: its stamp if it has settled, None if it changes, is new, or is not there."""
        stamp, now = Stamp.of(path), self._clock()
        if stamp is None:
            self._seen.pop(path, None)
            return None
        before = self._seen.get(path)
        if before is None or before[0] != stamp:
            self._seen[path] = (stamp, now)
            return None
        return stamp if now - before[1] >= self._settle_s else None
