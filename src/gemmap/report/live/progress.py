"""Keeps what a page needs to show a run while it goes on, at next to no cost when nobody watches."""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from gemmap.fit.aggregate import Aggregate
from gemmap.fit.moments import Moment, Planes, central_planes
from gemmap.fit.progress import Progress
from gemmap.fit.records import FitResult
from gemmap.geometry.grids import centred_slice
from gemmap.report.html.page import REPORT_NAME
from gemmap.report.live.curves import Curves
from gemmap.report.live.pictures import Picture
from gemmap.report.progress_lines import LineProgress
from gemmap.report.summary import duration_text

Status: TypeAlias = Literal["running", "finished", "interrupted", "failed"]

#: Slices are taken from a fit no more often than this, and only while somebody looked within the last seconds.
INTERVAL_S, ATTENTION_S = 2.5, 10.0
#: Most of the time of a run that is spent on slices.
MOST_OF_TIME = 0.01
_LOG_LINES = 300
_TITLES = {"half1": "Half 1", "half2": "Half 2", "full": "All particles"}
_STAGES = {
    "trials half1": "Trial fits of half 1",
    "fit half1": "Fit of half 1",
    "trials half2": "Trial fits of half 2",
    "fit half2": "Fit of half 2",
    "fit full": "Fit of all particles",
}
_COUNTED = {"voxels": "iteration", "Gaussians": "step"}


class LiveProgress:
    """A ``fit.progress.Progress`` in front of another one, whose state other threads may ask for.

    Parameters
    ----------
    watcher
        Gets every piece of news first.
    folder
        Where the run writes its results.
    pixel_size_a
        Of the maps, Å.
    clock
        Seconds from some moment on.
    """

    def __init__(
        self, watcher: Progress, folder: Path, pixel_size_a: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder.resolve()
        self._watcher, self._pixel_size_a, self._clock = watcher, pixel_size_a, clock
        self._lock = threading.Lock()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._lines = LineProgress(self._write, interval_s=float("inf"), clock=clock)
        self._curves = Curves()
        self._pictures: dict[str, Picture] = {}
        self._version = 0
        self._began = self._stage_began = clock()
        self._looked = self._heard = self._next = float("-inf")
        self._side_px: int | None = None
        self._stage, self._unit, self._text, self._of = "", "", "", ""
        self._done, self._total = 0, 0
        self._status: Status = "running"
        self._ended: float | None = None
        self._message, self._stays = "", False
        #: The page of the finished run.
        self.report: bytes | None = None

    def start(self, stage: str, total: int, unit: str) -> None:
        """A stage begins."""
        self._watcher.start(stage, total, unit)
        with self._lock:
            self._lines.start(stage, total, unit)
            self._stage, self._total, self._unit = stage, total, unit
            self._done, self._text, self._of, self._stage_began = 0, "", "", self._clock()

    def advance(self, done: int, text: str = "") -> None:
        """Units are finished."""
        self._watcher.advance(done, text)
        with self._lock:
            self._lines.advance(done, text)
            self._done += done
            self._text = text

    def finish(self) -> None:
        """The stage is over."""
        self._watcher.finish()
        with self._lock:
            self._lines.finish()

    def note(self, text: str) -> None:
        """Something is worth a line."""
        self._watcher.note(text)
        with self._lock:
            self._lines.note(text)

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """The sums of a half are complete: nothing to see."""
        self._watcher.aggregate(name, aggregate)

    def result(self, name: str, result: FitResult) -> None:
        """A fit is complete: its curves and its map take the place of those on the way."""
        self._watcher.result(name, result)
        box_px = len(result.map)
        cut = centred_slice(box_px, min(self._side_px or box_px, box_px))
        planes = central_planes(torch.from_numpy(result.map[cut, cut, cut]))
        with self._lock:
            self._lines.result(name, result)
            self._curves.complete(f"fit {name}", result.steps)
            self._show(name, f"finished, {result.steps[-1].step} steps", planes)

    def moment(self, moment: Moment) -> None:
        """A fit has gone on: its curves grow, and if somebody looks and it is time for it, its slices are taken."""
        self._watcher.moment(moment)
        with self._lock:
            self._of = _STAGES[moment.stage]
            self._curves.add(moment)
            now = self._clock()
            wanted = now >= self._next and now - self._looked < ATTENTION_S
        if not wanted:
            return
        try:
            planes = moment.planes()
        except (MemoryError, RuntimeError) as error:  # PyTorch has no exception of its own for the memory of the CPU
            # Looking at a run must not end it.
            self._next = float("inf")
            self.note(f"the live page shows no more slices: {error}")
            return
        self._side_px = len(planes[0])
        kind, _, name = moment.stage.partition(" ")
        text = f"{kind.removesuffix('s')}, {moment.kind}, {_COUNTED[moment.kind]} {moment.number:,}"
        with self._lock:
            self._show(name, text, planes)
            after = self._clock()
            self._next = after + max(INTERVAL_S, (after - now) / MOST_OF_TIME)

    def end(self, status: Status, message: str = "", stays: bool = False) -> None:
        """Nothing more is to come; the report of a finished run is read, and ``stays`` to be asked for."""
        path = self.folder / REPORT_NAME
        self.report = path.read_bytes() if status == "finished" and path.is_file() else None
        with self._lock:
            self._status, self._message, self._stays, self._ended = status, message, stays, self._clock()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come."""
        return self._ended is not None

    def is_watched(self) -> bool:
        """Whether somebody asked for the state within the last seconds."""
        return self._clock() - self._heard < ATTENTION_S

    def state(self, looks: bool) -> dict[str, Any]:
        """Return everything but slices for JSON; ``looks`` says that somebody would see them."""
        with self._lock:
            now = self._clock()
            self._heard = now
            if looks:
                self._looked = now
            return {
                "status": self._status,
                "message": self._message,
                "report": self.report is not None,
                "stays": self._stays,
                "elapsed": duration_text((now if self._ended is None else self._ended) - self._began),
                "stage": ": ".join(filter(None, [self._of, self._stage])),
                "done": self._done,
                "total": self._total,
                "words": self._words(now),
                "plots": self._curves.plain(),
                "slices": self._version,
                "log": list(self._log),
            }

    def slices(self) -> dict[str, Any]:
        """Return the slices of every fit so far for JSON, with the number that `state` gives."""
        with self._lock:
            version, pictures = self._version, dict(self._pictures)
        return {"slices": version, "pictures": [picture.plain() for picture in pictures.values()]}

    def _words(self, now: float) -> str:
        seconds = now - self._stage_began
        words = [f"{self._done:,} of {self._total:,} {self._unit}"]
        if 0 < self._done < self._total and seconds > 0 and self._status == "running":
            rate = self._done / seconds
            words.append(f"{rate:,.0f} {self._unit}/s" if rate >= 10 else f"{rate:.2g} {self._unit}/s")
            words.append(f"{duration_text((self._total - self._done) / rate)} left")
        return ", ".join([*words, *filter(None, [self._text])])

    def _show(self, name: str, text: str, planes: Planes) -> None:
        self._pictures[name] = Picture(_TITLES[name], text, planes, len(planes[0]) * self._pixel_size_a)
        self._version += 1

    def _write(self, line: str) -> None:
        self._log.append(f"{datetime.now().astimezone():%H:%M:%S}  {line}")
