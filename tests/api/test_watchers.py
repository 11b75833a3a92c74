"""News go to all watchers in their order, and a run ends soon after it is asked to."""

import time

import pytest

from gemmap.api.watchers import Watchers
from gemmap.fit.progress import stage


class Diary:
    """Writes down what it is told."""

    def __init__(self, pages: list, name: str) -> None:
        self._pages, self._name = pages, name

    def __getattr__(self, news: str):
        return lambda *what: self._pages.append((self._name, news, *what))


def test_every_piece_of_news_goes_to_all() -> None:
    pages: list = []
    watchers = Watchers(Diary(pages, "a"), Diary(pages, "b"))
    with stage(watchers, "Read", 7, "particles"):
        watchers.advance(7, "fast")
    watchers.note("well")
    watchers.aggregate("half1", 1)  # type: ignore[arg-type]
    watchers.result("half1", 2)  # type: ignore[arg-type]
    news = [
        ("start", "Read", 7, "particles"),
        ("advance", 7, "fast"),
        ("finish",),
        ("note", "well"),
        ("aggregate", "half1", 1),
        ("result", "half1", 2),
    ]
    assert pages == [(name, *what) for what in news for name in "ab"]


def test_nobody_watches() -> None:
    Watchers().note("alone")


def test_it_is_asked_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watchers = Watchers(stop_asked=lambda: bool(asked.append(now[0])), interval_s=1.0)
    for _ in range(50):
        watchers.advance(1)
        now[0] += 0.125
    assert asked == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("news", ["start", "advance", "result"])
def test_a_run_ends_when_it_is_asked_to(news: str) -> None:
    pages: list = []
    watchers = Watchers(Diary(pages, "a"), stop_asked=lambda: True)
    arguments = {"start": ("Read", 7, "particles"), "advance": (1,), "result": ("half1", None)}[news]
    with pytest.raises(KeyboardInterrupt):
        getattr(watchers, news)(*arguments)
    # A result is there before the run ends; nothing else is.
    assert [page[1] for page in pages] == (["result"] if news == "result" else [])
