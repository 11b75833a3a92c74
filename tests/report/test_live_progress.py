"""What a page is told of a run: all the news, and slices only as often as somebody looks and time allows."""

import json
from pathlib import Path
from typing import Any

import live_news
import numpy as np
import pytest
import torch
from live_news import CUBE, Clock

from gemmap.fit.moments import Moment
from gemmap.fit.progress import Silent
from gemmap.report.live.progress import ATTENTION_S, INTERVAL_S, LiveProgress


class Spy(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in {"start", "advance", "finish", "note", "aggregate", "result", "moment"}:
            self.heard.append(name)
        return super().__getattribute__(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(tmp_path: Path, clock: Clock) -> LiveProgress:
    return LiveProgress(Silent(), tmp_path / "run1", 2.0, clock)


def seen(live: LiveProgress) -> dict[str, str]:
    """What is said below the slices, by their title."""
    return {picture["title"]: picture["text"] for picture in live.slices()["pictures"]}


def step(live: LiveProgress, number: int, asked: list[int] | None = None) -> None:
    def look() -> torch.Tensor:
        if asked is not None:
            asked.append(number)
        return live_news.cube()

    live.moment(Moment("fit half1", "Gaussians", number, look, -1.0 * number, 500))


def test_the_watcher_behind_it_hears_everything(tmp_path: Path) -> None:
    spy = Spy()
    live = LiveProgress(spy, tmp_path, 2.0)
    live_news.half_a_run(live)
    direct = Spy()
    live_news.half_a_run(direct)
    assert spy.heard == direct.heard
    live.aggregate("half1", None)
    assert spy.heard[-1] == "aggregate"


def test_the_state_says_what_happens(live: LiveProgress, clock: Clock) -> None:
    before = live.state(looks=False)
    assert (before["status"], before["stage"], before["log"], before["total"]) == ("running", "", [], 0)
    live.start("reading particles", 1000, "particles")
    clock.now += 4.0
    live.advance(100)
    state = live.state(looks=False)
    assert (state["stage"], state["done"], state["total"]) == ("reading particles", 100, 1000)
    assert state["words"] == "100 of 1,000 particles, 25 particles/s, 36.0 s left"
    assert state["elapsed"] == "4.0 s"
    live.advance(900, "SNR 0.1")
    assert live.state(looks=False)["words"] == "1,000 of 1,000 particles, SNR 0.1"
    live.finish()
    live.start("voxels", 20, "iterations")
    step(live, 0)
    assert live.state(looks=False)["stage"] == "Fit of half 1: voxels"
    assert live.state(looks=False)["log"][0].endswith("  reading particles: 1,000 particles in 4.0 s; SNR 0.1")
    json.dumps(live.state(looks=False), allow_nan=False)


def test_curves_grow_with_the_fits(live: LiveProgress) -> None:
    live_news.half_a_run(live)
    plots = live.state(looks=False)["plots"]
    loss, score, count = (plots[f"plot-{name}"] for name in ("loss", "score", "gaussians"))
    assert [len(series["x"]) for series in loss] == [4, 0, 0, 7, 0]
    assert loss[0] == {"x": [0, 1, 2, 3], "y": [0, -1000, -2000, -3000]}
    assert score[0] == {"x": [0, 2, 4, 6], "y": [0.8, 0.82, 0.84, 0.86]}
    assert count[3]["y"] == [480] * 7
    # A run that is resumed: the fit was done by an earlier process, and comes as its result.
    live.result("half2", live_news.result(5))
    assert len(live.state(looks=False)["plots"]["plot-loss"][1]["x"]) == 6


def test_a_loss_that_is_no_number_is_none(live: LiveProgress) -> None:
    live.moment(Moment("fit full", "Gaussians", 0, live_news.cube, float("nan"), 5))
    state = live.state(looks=False)
    assert state["plots"]["plot-loss"][2]["y"] == [None]
    json.dumps(state, allow_nan=False)


def test_nobody_looks_and_nothing_is_computed(live: LiveProgress, clock: Clock) -> None:
    asked: list[int] = []
    step(live, 0, asked)
    live.state(looks=False)  # a page in the background
    step(live, 1, asked)
    assert asked == []
    live.state(looks=True)
    step(live, 2, asked)
    assert asked == [2]
    clock.now += ATTENTION_S + 0.1
    step(live, 3, asked)
    assert asked == [2]
    assert seen(live) == {"Half 1": "fit, Gaussians, step 2"}


def test_slices_are_not_taken_too_often(live: LiveProgress, clock: Clock) -> None:
    asked: list[int] = []
    for number in range(100):
        live.state(looks=True)
        step(live, number, asked)
        clock.now += INTERVAL_S / 10
    assert 9 <= len(asked) <= 11


def test_slow_maps_are_asked_for_less_often(live: LiveProgress, clock: Clock) -> None:
    """One percent of the time, however long a map takes."""
    spent = 0.0

    def slow() -> torch.Tensor:
        nonlocal spent
        spent += 2.0
        clock.now += 2.0
        return live_news.cube()

    began = clock.now
    while clock.now - began < 2000:
        live.state(looks=True)
        live.moment(Moment("fit full", "Gaussians", 1, slow, 0.0, 1))
        clock.now += 8.0
    assert 0.005 < spent / (clock.now - began) < 0.0125


@pytest.mark.parametrize("error", [MemoryError("none left"), torch.OutOfMemoryError("CUDA out of memory")])
def test_looking_ends_no_run(live: LiveProgress, clock: Clock, error: Exception) -> None:
    asked = []

    def fail() -> torch.Tensor:
        asked.append(1)
        raise error

    for number in range(3):
        live.state(looks=True)
        live.moment(Moment("fit full", "Gaussians", number, fail, 0.0, 1))
        clock.now += 10 * INTERVAL_S
    assert asked == [1]
    assert f"no more slices: {error}" in live.state(looks=True)["log"][0]


def test_slices_are_pictures_of_the_planes(live: LiveProgress) -> None:
    live.state(looks=True)
    assert live.slices() == {"slices": 0, "pictures": []}
    step(live, 7)
    assert live.state(looks=True)["slices"] == live.slices()["slices"] == 1
    (picture,) = live.slices()["pictures"]
    assert [name for name, _ in picture["images"]] == ["xy", "xz", "yz"]
    assert all(source.startswith("data:image/png;base64,") for _, source in picture["images"])
    assert len({source for _, source in picture["images"]}) == 3
    assert picture["bar"] == "10 Å"  # of 48 Å
    assert picture["barPercent"] == pytest.approx(100 * 10 / 48, abs=0.1)
    assert picture["text"] == "fit, Gaussians, step 7"


def test_a_result_takes_the_place_of_what_was_on_the_way(live: LiveProgress) -> None:
    live.state(looks=True)
    step(live, 1)
    first = live.slices()["pictures"][0]
    live.result("half1", live_news.result())
    (picture,) = live.slices()["pictures"]
    assert picture["text"] == "finished, 3 steps"
    assert picture["bar"] == first["bar"]  # the same window of the box
    planes = live._pictures["half1"].planes
    np.testing.assert_array_equal(planes[0], live_news.volume(live_news.BOX)[16, 4:28, 4:28])
    assert planes[0].shape == (CUBE, CUBE)


def test_a_result_without_a_fit_before_is_shown_whole(live: LiveProgress) -> None:
    live.result("half1", live_news.result())
    assert live._pictures["half1"].planes[0].shape == (live_news.BOX,) * 2


def test_the_log_is_not_endless(live: LiveProgress) -> None:
    for i in range(1000):
        live.note(f"line {i}")
    log = live.state(looks=False)["log"]
    assert len(log) == 300
    assert log[-1].endswith("  line 999")


def test_the_end(live: LiveProgress, clock: Clock) -> None:
    assert not live.has_ended
    assert not live.is_watched()
    live.folder.mkdir()
    (live.folder / "report.html").write_text("<p>the report")
    clock.now += 5.0
    live.end("finished", stays=True)
    clock.now += 60.0
    state = live.state(looks=False)
    assert live.has_ended
    assert live.is_watched()
    assert (state["status"], state["report"], state["stays"], state["elapsed"]) == ("finished", True, True, "5.0 s")
    assert live.report == b"<p>the report"


def test_a_run_that_failed_has_no_report(live: LiveProgress) -> None:
    """An older one may lie in the folder."""
    live.folder.mkdir()
    (live.folder / "report.html").write_text("<p>of another run")
    live.end("failed", "The run failed: no disk")
    state = live.state(looks=False)
    assert live.report is None
    assert (state["report"], state["message"]) == (False, "The run failed: no disk")
