"""Lines of progress, with a clock that is set by hand."""

import pytest

from gemmap.fit.progress import stage
from gemmap.report.progress_lines import LineProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def progress(lines: list[str], clock: Clock) -> LineProgress:
    return LineProgress(lines.append, interval_s=10.0, clock=clock)


def test_one_line_an_interval(lines: list[str], progress: LineProgress, clock: Clock) -> None:
    with stage(progress, "Aggregate", 4000, "particles"):
        for _ in range(40):
            clock.now += 1.0
            progress.advance(100, "SNR 0.02")
    assert lines == [
        "Aggregate: 1,000 of 4,000 particles, 30.0 s left; SNR 0.02",
        "Aggregate: 2,000 of 4,000 particles, 20.0 s left; SNR 0.02",
        "Aggregate: 3,000 of 4,000 particles, 10.0 s left; SNR 0.02",
        "Aggregate: 4,000 of 4,000 particles, 0.0 s left; SNR 0.02",
        "Aggregate: 4,000 particles in 40.0 s; SNR 0.02",
    ]


def test_a_stage_starts_from_nothing(lines: list[str], progress: LineProgress, clock: Clock) -> None:
    for name in ("a", "b"):
        with stage(progress, name, 10, "steps"):
            clock.now += 3.0
            progress.advance(10)
    progress.note("as it is")
    assert lines == ["a: 10 steps in 3.0 s", "b: 10 steps in 3.0 s", "as it is"]


def test_no_progress_yet_is_no_division_by_zero(lines: list[str], progress: LineProgress, clock: Clock) -> None:
    progress.start("Fit", 5, "steps")
    clock.now += 11.0
    progress.advance(0)
    assert lines == ["Fit: 0 of 5 steps"]
