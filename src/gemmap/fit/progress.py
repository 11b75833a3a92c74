"""How a long computation tells what it is doing, without knowing where the words go."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from gemmap.fit.aggregate import Aggregate
from gemmap.fit.moments import Moment
from gemmap.fit.records import FitResult


class Progress(Protocol):
    """Receives the news of a run; the command line draws bars, a notebook may print, a test may record."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """A stage begins; ``total`` units are to come."""

    def advance(self, done: int, text: str = "") -> None:
        """``done`` further units of the running stage are finished; ``text`` is a short figure of interest."""

    def finish(self) -> None:
        """The running stage is over."""

    def note(self, text: str) -> None:
        """Something worth a line in the log."""

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """The aggregate of ``half1`` or ``half2`` is complete."""

    def result(self, name: str, result: FitResult) -> None:
        """The fit of ``half1``, ``half2`` or ``full`` is complete: the receiver may store it at once."""

    def moment(self, moment: Moment) -> None:
        """A fit has gone on; ``moment.cube()``, asked for before this returns, is its map."""


class Silent:
    """Progress that nobody watches."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """Do nothing."""

    def advance(self, done: int, text: str = "") -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Do nothing."""

    def result(self, name: str, result: FitResult) -> None:
        """Do nothing."""

    def moment(self, moment: Moment) -> None:
        """Do nothing."""


@contextmanager
def stage(progress: Progress, name: str, total: int, unit: str) -> Iterator[None]:
    """Run a stage: start it, and finish it whatever happens."""
    progress.start(name, total, unit)
    try:
        yield
    finally:
        progress.finish()
