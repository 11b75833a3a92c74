"""The last lines on the screen, word by word."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from gemmap.report.summary import RunSummary, duration_text, summary_lines
from gemmap.validate.resolution import Interval, Resolution

SUMMARY = RunSummary(
    resolution=Resolution(4.12, 0.5, "cross-FSC", "soft mask", False, 40.0),
    half_map_unmasked=Resolution(4.6, 0.143, "half-map FSC", "no mask", False, 36.0),
    half_map_masked=Resolution(2.8, 0.143, "half-map FSC", "soft mask", True, 64.0),
    backprojection_unmasked=Resolution(5.2, 0.143, "half-map FSC", "no mask", False, 32.0),
    backprojection_masked=Resolution(math.inf, 0.143, "half-map FSC", "soft mask", False, 0.0),
    n_particles=39988,
    n_excluded=12,
    n_dead=0,
    particles_per_second=412.3,
    wall_seconds=83.2,
    peak_memory_bytes=3_200_000_000,
    map_path=Path("run1/run_class001.mrc"),
)


def test_lines() -> None:
    assert summary_lines(SUMMARY) == [
        "Resolution         4.12 Å (cross-FSC 0.5, soft mask)",
        "  half-maps        at Nyquist (2.80 Å) (half-map FSC 0.143, soft mask); 4.60 Å (half-map FSC 0.143, no mask)",
        "  back-projection  not resolved: half-map FSC is below 0.143 from the first shell on (soft mask); "
        "5.20 Å (half-map FSC 0.143, no mask)",
        "Particles          39,988 used, 12 excluded",
        "Cost               412 particles/s, 1 min 23 s wall time, 3.2 GB peak memory",
        "Open the map       chimerax run1/run_class001.mrc",
    ]


def test_details_stand_between_the_resolutions_and_the_particles() -> None:
    lines = summary_lines(replace(SUMMARY, details=[("Direction", "cFAR 0.9")]))
    assert lines[3:5] == ["Direction          cFAR 0.9", summary_lines(SUMMARY)[3]]


def test_the_interval_and_the_limit_are_said() -> None:
    known = replace(SUMMARY.resolution, interval=Interval(3.9, 4.333))
    assert summary_lines(replace(SUMMARY, resolution=known))[0] == (
        "Resolution         4.12 Å (95 %: 3.90 to 4.33 Å; cross-FSC 0.5, soft mask)"
    )
    limited = replace(known, at_limit=True)
    assert summary_lines(replace(SUMMARY, resolution=limited))[0] == (
        "Resolution         at the limit of what is known (4.12 Å) (95 %: 3.90 to 4.33 Å; cross-FSC 0.5, soft mask)"
    )


@pytest.mark.parametrize(("n", "text"), [(1, "12 excluded (1 dead image)"), (3, "12 excluded (3 dead images)")])
def test_dead_images_are_named(n: int, text: str) -> None:
    assert summary_lines(replace(SUMMARY, n_dead=n))[3].endswith(text)


def test_the_command_survives_a_space_in_the_path_and_slow_runs_keep_a_digit() -> None:
    lines = summary_lines(replace(SUMMARY, map_path=Path("my run/map.mrc"), particles_per_second=0.84))
    assert lines[-1].endswith("chimerax 'my run/map.mrc'")
    assert "0.8 particles/s" in lines[-2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.97, "1 min 00 s"), (245.4, "4 min 05 s"), (3599.7, "1 h 00 min"),
     (7380, "2 h 03 min")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
