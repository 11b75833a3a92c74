"""The options of a live page, declared once, and the page beside the lines on the screen."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from gemmap.cli.images import RUN_PANEL
from gemmap.errors import InputError

if TYPE_CHECKING:
    from gemmap.cli.screen import Screen
    from gemmap.fit.progress import Progress
    from gemmap.report.live.progress import LiveProgress
    from gemmap.report.live.server import LiveServer

LOCALHOST = "127.0.0.1"

Live: TypeAlias = Annotated[
    bool,
    typer.Option("--live", help="Serve a page that shows the run while it goes on.", rich_help_panel=RUN_PANEL),
]
LivePort: TypeAlias = Annotated[
    int, typer.Option(metavar="N", help="Port of the live page; a free one by default.", rich_help_panel=RUN_PANEL)
]
LiveHost: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="HOST",
        help="Where the live page can be reached; by default from this machine only.",
        rich_help_panel=RUN_PANEL,
    ),
]
LiveStay: TypeAlias = Annotated[
    bool,
    typer.Option("--live-stay", help="Serve the page, with the report, until Ctrl-C.", rich_help_panel=RUN_PANEL),
]
#: Names of the parameters: how a run is watched is no option of the run, and may change when it is resumed.
NAMES = frozenset({"live", "live_port", "live_host", "live_stay"})
#: How long a run that has ended waits for those who watch to fetch its report, s.
_FAREWELL_S = 5.0


@dataclass(frozen=True)
class LivePage:
    """Where the page of a run is served, and whether it stays when the run has ended."""

    host: str
    port: int
    stay: bool

    @classmethod
    def of(cls, live: bool, host: str, port: int, stay: bool) -> "LivePage | None":
        """Return the page that the options ask for, if any.

        Raises
        ------
        InputError
            If there is to be none, and yet something is said about it.
        """
        if live:
            return cls(host, port, stay)
        for name, given in (("host", host != LOCALHOST), ("port", port != 0), ("stay", stay)):
            if given:
                raise InputError(f"--live-{name} was given without --live, which makes the page; add --live.")
        return None


@contextmanager
def watched(page: LivePage | None, screen: "Screen", folder: Path, pixel_size_a: float) -> "Iterator[Progress]":
    """Progress of a run on the screen and, if asked for, on a page as long as the block lasts.

    A run that has finished waits a moment for those who watch, or stays for them.
    """
    if page is None:
        yield screen.progress()
        return
    from gemmap.report.live.progress import LiveProgress
    from gemmap.report.live.server import LiveServer

    progress = LiveProgress(screen.progress(), folder, pixel_size_a)
    with LiveServer(progress, page.host, page.port) as server:
        screen.result([f"Watch the run: {server.url}"])
        if not server.is_local:
            screen.result([f"Note: {page.host} is open to other machines; whoever has this address can watch."])
        try:
            yield progress
        except KeyboardInterrupt as error:
            progress.end("interrupted", str(error))
            raise
        except BaseException as error:
            progress.end("failed", f"The run failed: {error}")
            _wait_for_readers(progress, server)
            raise
        progress.end("finished", stays=page.stay)
        # The run is over: an impatient user interrupts nothing but the waiting.
        with suppress(KeyboardInterrupt):
            if page.stay:
                screen.result(["The page, with the report, is served until Ctrl-C."])
                threading.Event().wait()
            _wait_for_readers(progress, server)


def _wait_for_readers(progress: "LiveProgress", server: "LiveServer") -> None:
    if progress.is_watched():
        server.site.ending_heard.wait(_FAREWELL_S)
