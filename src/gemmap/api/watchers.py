"""Several watchers of one run, and a way to stop it from outside."""

import time
from collections.abc import Callable

from gemmap.fit.aggregate import Aggregate
from gemmap.fit.moments import Moment
from gemmap.fit.progress import Progress
from gemmap.fit.records import FitResult


class Watchers:
    """A ``fit.progress.Progress`` that passes every piece of news to others, and ends the run when asked to.

    Parameters
    ----------
    *watchers
        Get the news, in this order.
    stop_asked
        Whether the run shall end; asked with the news, at most once an interval.
    interval_s
        Least time between two questions.

    Raises
    ------
    KeyboardInterrupt
        From the first piece of news after ``stop_asked`` says so.
    """

    def __init__(
        self, *watchers: Progress, stop_asked: Callable[[], bool] | None = None, interval_s: float = 1.0
    ) -> None:
        self._watchers, self._stop_asked, self._interval_s = watchers, stop_asked, interval_s
        self._last = -interval_s

    def start(self, stage: str, total: int, unit: str) -> None:
        """Pass it on."""
        self._ask()
        for watcher in self._watchers:
            watcher.start(stage, total, unit)

    def advance(self, done: int, text: str = "") -> None:
        """Pass it on."""
        self._ask()
        for watcher in self._watchers:
            watcher.advance(done, text)

    def finish(self) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.finish()

    def note(self, text: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.note(text)

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.aggregate(name, aggregate)

    def result(self, name: str, result: FitResult) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.result(name, result)
        self._ask()

    def moment(self, moment: Moment) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.moment(moment)

    def _ask(self) -> None:
        now = time.monotonic()
        if self._stop_asked is not None and now - self._last >= self._interval_s:
            self._last = now
            if self._stop_asked():
                raise KeyboardInterrupt
