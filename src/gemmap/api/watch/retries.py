"""Files that could not be used: tried again ever less often, and reported once."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from gemmap.io.settling import Stamp

#: A file that was bad so many times in a row is set aside.
TRIES = 3
#: Longest time between tries of a file that was set aside, in settle times.
_LONGEST = 64


@dataclass
class _Bad:
    stamp: Stamp
    tries: int
    next_s: float


class Retries:
    """Counts what happened to files. One that changed begins anew.

    A file that stays as it is may become good: the stacks it names may be on their way.

    Parameters
    ----------
    pause_s
        Time to the next try; from the third on it doubles.
    clock
        Seconds that never run backwards.
    """

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s, self._clock = pause_s, clock
        self._bad: dict[str, _Bad] = {}

    def may_try(self, name: str, stamp: Stamp) -> bool:
        """Whether it is time to try a file, which has settled."""
        bad = self._bad.get(name)
        return bad is None or bad.stamp != stamp or self._clock() >= bad.next_s

    def is_set_aside(self, name: str) -> bool:
        """Whether a file was bad too often for anyone to wait for it."""
        return name in self._bad and self._bad[name].tries >= TRIES

    def failed(self, name: str, stamp: Stamp) -> bool:
        """Count a failure; True if the file is set aside by this one."""
        bad = self._bad.get(name)
        tries = 1 if bad is None or bad.stamp != stamp else bad.tries + 1
        pause_s = self._pause_s * min(2 ** max(0, tries - TRIES), _LONGEST)
        self._bad[name] = _Bad(stamp, tries, self._clock() + pause_s)
        return tries == TRIES

    def succeeded(self, name: str) -> None:
        """Forget a file's failures."""
        self._bad.pop(name, None)
