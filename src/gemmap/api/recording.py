"""Stores the results of a run at once and tells the news to two watchers: the log file and the user's."""

from gemmap.fit.aggregate import Aggregate
from gemmap.fit.moments import Moment
from gemmap.fit.progress import Progress
from gemmap.fit.records import FitResult
from gemmap.report.progress_lines import LineProgress
from gemmap.report.run_folder import RunFolder


class Recorder:
    """A ``fit.progress.Progress`` in front of the user's own.

    Parameters
    ----------
    watcher
        Gets every piece of news, after it was stored.
    folder
        Where results and the log go; None to store nothing.
    pixel_size_a
        Of the maps, Å.
    save_aggregates
        Whether aggregates are stored too.
    """

    def __init__(self, watcher: Progress, folder: RunFolder | None, pixel_size_a: float, save_aggregates: bool) -> None:
        self._folder = folder
        self._pixel_size_a = pixel_size_a
        self._save_aggregates = save_aggregates
        log = [] if folder is None else [LineProgress(folder.log.write)]
        self._watchers: list[Progress] = [*log, watcher]

    def start(self, stage: str, total: int, unit: str) -> None:
        """Tell that a stage begins."""
        for watcher in self._watchers:
            watcher.start(stage, total, unit)

    def advance(self, done: int, text: str = "") -> None:
        """Tell that units are finished."""
        for watcher in self._watchers:
            watcher.advance(done, text)

    def finish(self) -> None:
        """Tell that the stage is over."""
        for watcher in self._watchers:
            watcher.finish()

    def note(self, text: str) -> None:
        """Tell a sentence."""
        for watcher in self._watchers:
            watcher.note(text)

    def aggregate(self, name: str, aggregate: Aggregate) -> None:
        """Store an aggregate, if asked to."""
        if self._folder is not None and self._save_aggregates:
            self._folder.write_aggregate(name, aggregate)
        for watcher in self._watchers:
            watcher.aggregate(name, aggregate)

    def result(self, name: str, result: FitResult) -> None:
        """Store maps and Gaussians of a fit."""
        if self._folder is not None:
            self._folder.write_fit(name, result, self._pixel_size_a)
        for watcher in self._watchers:
            watcher.result(name, result)

    def moment(self, moment: Moment) -> None:
        """Tell where a fit is."""
        for watcher in self._watchers:
            watcher.moment(moment)
