"""Messages and progress on the screen: bars on a terminal, a line an interval elsewhere."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gemmap.fit.progress import Progress, Silent
from gemmap.report.progress_lines import LineProgress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from gemmap.fit.aggregate import Aggregate
    from gemmap.fit.moments import Moment
    from gemmap.fit.records import FitResult

_INTERVAL_S, _VERBOSE_INTERVAL_S = 10.0, 1.0


class Screen:
    """Standard output of a command.

    Parameters
    ----------
    verbose
        Say more, and more often.
    quiet
        Say only the result.
    """

    def __init__(self, verbose: bool, quiet: bool) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.verbose, self._quiet = verbose, quiet

    def say(self, *lines: str) -> None:
        """Print lines, unless quiet."""
        if not self._quiet:
            self.result(lines)

    def result(self, lines: Iterable[str]) -> None:
        """Print lines in any case."""
        for line in lines:
            # Names of files that are not UTF-8 cannot be printed as they are.
            self._console.print(line.encode("utf-8", "backslashreplace").decode())

    def plan(self, lines: Iterable[str], options: Mapping[str, object]) -> None:
        """Print what will be done, and with every option if verbose, unless quiet."""
        if self.verbose:
            self.say(*(f"{name}: {value}" for name, value in options.items()))
        self.say(*lines)

    def progress(self) -> Progress:
        """Return the progress that fits the output."""
        if self._quiet:
            return Silent()
        if self._console.is_terminal:
            return BarProgress(self._console)
        interval_s = _VERBOSE_INTERVAL_S if self.verbose else _INTERVAL_S
        return LineProgress(lambda line: self.result([line]), interval_s)


class BarProgress:
    """A ``fit.progress.Progress`` that draws a bar for each stage."""

    def __init__(self, console: "Console") -> None:
        self._lines = LineProgress(lambda line: console.print(line), interval_s=float("inf"))
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def start(self, stage: str, total: int, unit: str) -> None:
        """Draw an empty bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._lines.start(stage, total, unit)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task(stage, total=total, text="")
        self._bars.start()

    def advance(self, done: int, text: str = "") -> None:
        """Move the bar on."""
        self._lines.advance(done, text)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=done, text=text)

    def finish(self) -> None:
        """Replace the bar by a line that says what was done."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        self._lines.finish()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._lines.note(text)

    def aggregate(self, name: str, aggregate: "Aggregate") -> None:
        """Print nothing: the stage says it."""

    def result(self, name: str, result: "FitResult") -> None:
        """Print how the fit ended."""
        self._lines.result(name, result)

    def moment(self, moment: "Moment") -> None:
        """Draw nothing: `advance` says it."""
