"""A stage ends whatever happens in it."""

import pytest

from gemmap.fit.progress import Silent, stage


class Spy(Silent):
    def __init__(self) -> None:
        self.calls: list[object] = []

    def start(self, stage: str, total: int, unit: str) -> None:
        self.calls.append((stage, total, unit))

    def finish(self) -> None:
        self.calls.append("finished")


def test_a_stage_starts_and_finishes():
    spy = Spy()
    with stage(spy, "reading", 7, "particles"):
        assert spy.calls == [("reading", 7, "particles")]
    assert spy.calls == [("reading", 7, "particles"), "finished"]


def test_a_stage_that_fails_finishes_too():
    spy = Spy()
    with pytest.raises(ZeroDivisionError), stage(spy, "fit", 1, "steps"):
        raise ZeroDivisionError
    assert spy.calls[-1] == "finished"
