"""Bars on a terminal, whole lines elsewhere."""

import io

import pytest
from rich.console import Console

from gemmap.cli.screen import BarProgress, Screen
from gemmap.fit.progress import Progress, Silent, stage
from gemmap.report.progress_lines import LineProgress


def work(progress: Progress) -> None:
    with stage(progress, "Aggregate", 100, "particles"):
        for _ in range(4):
            progress.advance(25, "SNR 0.02")
        progress.note("Something to know.")


def test_a_terminal_gets_bars_and_keeps_the_lines() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    work(BarProgress(console))
    text = console.file.getvalue()
    assert "━" in text
    assert "100/100" in text
    assert "Something to know." in text
    assert "Aggregate: 100 particles in 0.0 s; SNR 0.02" in text


def test_a_stage_that_fails_leaves_no_bar_running() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    progress = BarProgress(console)

    def fail() -> None:
        with stage(progress, "Fit", 10, "steps"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert progress._bars is None
    console.print("after")
    assert console.file.getvalue().endswith("after\n")


@pytest.mark.parametrize(("verbose", "interval_s"), [(False, 10.0), (True, 1.0)])
def test_which_progress(capsys: pytest.CaptureFixture, verbose: bool, interval_s: float) -> None:
    assert isinstance(Screen(verbose, quiet=True).progress(), Silent)
    lines = Screen(verbose, quiet=False).progress()
    assert isinstance(lines, LineProgress)
    assert lines._interval_s == interval_s
    work(lines)
    out = capsys.readouterr().out
    assert out == "Something to know.\nAggregate: 100 particles in 0.0 s; SNR 0.02\n"


def test_long_lines_are_not_wrapped_and_brackets_are_text(capsys: pytest.CaptureFixture) -> None:
    Screen(verbose=False, quiet=False).say("[red] " + "x" * 300 + " 12.5")
    assert capsys.readouterr().out == "[red] " + "x" * 300 + " 12.5\n"
    Screen(verbose=False, quiet=True).say("nothing")
    assert capsys.readouterr().out == ""
