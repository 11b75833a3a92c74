"""Progress as plain lines, one an interval: for log files and for output that is not a terminal."""

import time
from collections.abc import Callable

from gemmap.fit.aggregate import Aggregate
from gemmap.fit.moments import Moment
from gemmap.fit.records import FitResult
from gemmap.report.summary import duration_text


class LineProgress:
    """A ``fit.progress.Progress`` that writes whole lines and no carriage returns.

    Parameters
    ----------
    write
        Takes a line without its end.
    interval_s
        Least time between two lines of a running stage.
    clock
        Seconds from some moment on.
    """

    def __init__(
        self, write: Callable[[str], None], interval_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._interval_s = interval_s
        self._clock = clock
        self._stage, self._unit, self._text = "", "", ""
        self._total, self._done = 0, 0
        self._started = self._last = clock()

    def start(self, stage: str, total: int, unit: str) -> None:
        """Begin a stage; its first line comes after an interval."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done, self._text = 0, ""
        self._started = self._last = self._clock()

    def advance(self, done: int, text: str = "") -> None:
        """Write a line if the last one is an interval ago."""
        self._done += done
        self._text = text
        now = self._clock()
        if now - self._last < self._interval_s:
            return
        self._last = now
        rate = self._done / (now - self._started)
        left = f", {duration_text((self._total - self._done) / rate)} left" if rate > 0 else ""
        self._write(f"{self._stage}: {self._done:,} of {self._total:,} {self._unit}{left}{self._figure}")

    def finish(self) -> None:
        """Write how much was done in what time."""
        seconds = self._clock() - self._started
        self._write(f"{self._stage}: {self._done:,} {self._unit} in {duration_text(seconds)}{self._figure}")

    def note(self, text: str) -> None:
        """Write the text as it is."""
        self._write(text)

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Write nothing: the stage says it."""

    def result(self, name: str, result: FitResult) -> None:
        """Write how the fit ended."""
        steps = result.steps[-1].step
        self._write(f"Fit of {name}: {len(result.gaussians):,} Gaussians, {steps} steps, {result.stopped_because}")

    def moment(self, moment: Moment) -> None:
        """Write nothing: `advance` says it."""

    @property
    def _figure(self) -> str:
        return f"; {self._text}" if self._text else ""
