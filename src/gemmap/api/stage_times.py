"""Wall time of stages, measured as they are told."""

import time

from gemmap.validate.stages import Stages


class StageTimes:
    """Stages told to somebody, and timed.

    Parameters
    ----------
    shown
        Told everything.

    Attributes
    ----------
    seconds
        Wall time by the name of the stage, in their order.
    """

    def __init__(self, shown: Stages) -> None:
        self._shown = shown
        self._stage, self._started = "", 0.0
        self.seconds: dict[str, float] = {}

    def start(self, stage: str, total: int, unit: str) -> None:
        """Tell that a stage begins."""
        self._stage, self._started = stage, time.perf_counter()
        self._shown.start(stage, total, unit)

    def advance(self, done: int, text: str = "") -> None:
        """Tell that units are finished."""
        self._shown.advance(done, text)

    def finish(self) -> None:
        """Tell that the stage is over."""
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + time.perf_counter() - self._started
        self._shown.finish()
