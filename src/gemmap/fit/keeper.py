"""What a long computation needs to continue from where it is, without knowing where that is kept."""

import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeAlias

from torch import Tensor

from gemmap.errors import OutputError
from gemmap.fit.progress import Progress

#: Named tensors, and named values that JSON can hold.
Piece: TypeAlias = tuple[Mapping[str, Tensor], Mapping[str, Any]]

_SECONDS = "seconds"


class Keeper(Protocol):
    """Keeps pieces so that another process finds them, all those of one moment or all those of the moment before."""

    def due(self) -> bool:
        """Whether it is time to keep something again."""

    def names(self) -> Collection[str]:
        """Names of the pieces that are kept."""

    def load(self, name: str) -> Piece:
        """Return a piece that is kept."""

    def keep(self, names: Collection[str], new: Mapping[str, Piece]) -> None:
        """From now on keep the pieces ``names``: those in ``new`` are as given, the others are kept already.

        Raises
        ------
        OutputError
            If that is not possible; what was kept before is kept then.
        """


class Forgetful:
    """Keeps nothing."""

    def due(self) -> bool:
        """Never."""
        return False

    def names(self) -> Collection[str]:
        """None."""
        return ()

    def load(self, name: str) -> Piece:
        """There is nothing to load."""
        raise KeyError(name)

    def keep(self, names: Collection[str], new: Mapping[str, Piece]) -> None:
        """Do nothing."""


class RunState:
    """The pieces from which a run could continue, and the time it took to come there.

    A stage asks `recall` whether its result is there already. If not it computes it, hands it to `hold`, tells with
    `drop` what nobody needs any more, and calls `save`, which keeps all of this if it is time to. Nothing is kept
    between these calls: what is on disk is always the state at one call of `save`.

    Attributes
    ----------
    seconds
        Wall time by stage of all processes that led here, without what was lost between the last save and a kill.
    """

    def __init__(self, keeper: Keeper, progress: Progress) -> None:
        self._keeper, self._progress = keeper, progress
        self._names = set(keeper.names())
        self._new: dict[str, Piece] = {}
        kept = self.recall(_SECONDS)
        self.seconds: dict[str, float] = {} if kept is None else dict(kept[1])
        self._clock = time.perf_counter()

    def due(self) -> bool:
        """Whether `save` would keep something new now."""
        return self._keeper.due()

    def recall(self, name: str) -> Piece | None:
        """Return a piece that an earlier process kept, or None."""
        return self._keeper.load(name) if name in self._names & set(self._keeper.names()) else None

    def hold(self, **pieces: Piece) -> None:
        """Take pieces to be kept; those of the same names are replaced. The next `save` reads the tensors."""
        self._names |= pieces.keys()
        self._new |= pieces

    def drop(self, *names: str) -> None:
        """Let go of pieces, whether they are there or not."""
        self._names -= set(names)
        for name in names:
            self._new.pop(name, None)

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to that of ``stage``."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._clock
        self._clock = now

    def save(self, stage: str, at_once: bool = False) -> None:
        """End a lap of ``stage`` and, if it is time to or ``at_once``, keep what is held.

        A disk that is full does not end a run whose results may still fit: it is noted, and tried again later.
        """
        self.lap(stage)
        if not self._new or not (at_once or self._keeper.due()):
            return
        self.hold(**{_SECONDS: ({}, dict(self.seconds))})
        try:
            self._keeper.keep(frozenset(self._names), self._new)
        except OutputError as error:
            self._progress.note(f"no checkpoint was written, the run goes on: {error}")
        else:
            self._new.clear()
