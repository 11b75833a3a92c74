"""How a long validation tells what it is doing; a run's ``Progress`` can be given for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stages(Protocol):
    """Receives the stages of a validation."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """A stage begins; ``total`` units are to come."""

    def advance(self, done: int, text: str = "") -> None:
        """``done`` further units of the running stage are finished."""

    def finish(self) -> None:
        """The running stage is over."""


class Unwatched:
    """Stages that nobody watches."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """Do nothing."""

    def advance(self, done: int, text: str = "") -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


@contextmanager
def stage_of(stages: Stages, name: str, total: int, unit: str) -> Iterator[None]:
    """Run a stage: start it, and finish it whatever happens."""
    stages.start(name, total, unit)
    try:
        yield
    finally:
        stages.finish()
