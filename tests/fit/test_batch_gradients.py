"""Shares of batches: every image is somebody's, sums are those of one process, and nobody waits for ever."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fit_cases import particles, phantom

from gemmap.errors import NumericsError
from gemmap.fit.batch_gradients import BatchGradients, Course, end_fits, gradients_of, help_fits
from gemmap.fit.copies import ALONE, Copies
from gemmap.fit.image_batches import Particles, image_batches
from gemmap.fit.parameters import Parameters
from gemmap.fit.schedule import Schedule
from gemmap.fit.team import Alone
from gemmap.geometry.symmetry import point_group
from gemmap.particles.stack import ArrayStack

CPU = torch.device("cpu")
BOX, N = 24, 11
TABLE, IMAGES = particles(phantom(4, 20), N, BOX, noise=1.0)
PARTICLES = Particles(TABLE, ArrayStack(IMAGES), np.arange(N), np.full((1, 13), 1e-3), TABLE.optics_group)
SCHEDULE = Schedule(epochs=2, batch_size=4)
COURSE = Course(unit=1.0, seed=5, done=0)


class Threads(Alone):
    """A member of a crew of threads."""

    def __init__(self, rank: int, size: int, place: list[Any], meet: threading.Barrier) -> None:
        self.rank, self.size, self._place, self._meet = rank, size, place, meet
        self.passed_on: list[np.ndarray] = []

    def gather(self, value: Any) -> Sequence[Any]:
        self._place[self.rank] = value
        self._meet.wait(10)
        everyone = list(self._place)
        self._meet.wait(10)
        return everyone

    def add_up(self, array: np.ndarray) -> None:
        array[...] = sum(self.gather(array.copy()))

    def pass_on(self, array: np.ndarray) -> None:
        array[...] = self.gather(array.copy())[0]
        self.passed_on.append(array)


def crew(size: int, work: Callable[[Particles], Any], of: Particles = PARTICLES) -> list[Any]:
    """What every member of a crew returns for the particles that it shares."""
    place, meet = [None] * size, threading.Barrier(size)

    def member(rank: int) -> Any:
        try:
            return work(replace(of, crew=Threads(rank, size, place, meet)))
        except BaseException:
            meet.abort()
            raise

    with ThreadPoolExecutor(size) as threads:
        return [job.result(60) for job in [threads.submit(member, rank) for rank in range(size)]]


def gaussians(n: int = 6) -> Parameters:
    draw = torch.from_numpy(np.random.default_rng(1).normal(size=(n, 10))).float()
    return Parameters(2.0 * draw[:, :3], 0.1 * draw[:, 3:6], draw[:, 6:], torch.zeros(n))


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("done", [0, 2, 4])
def test_every_image_of_every_batch_is_somebodys(size, done):
    """Six processes share batches of 4 and 3 images: some have none."""

    def read(mine: Particles) -> list[tuple[int, int, list[int]]]:
        shares = image_batches(mine, SCHEDULE, 5, done, CPU)
        return [(s.size, s.begin, [] if s.batch is None else s.batch.rows.tolist()) for s in shares]

    (alone,) = crew(1, read)
    assert [size for size, _, _ in alone] == ([4, 4, 3] * 2)[done:]
    for batch, *members in zip(alone, *crew(size, read), strict=True):
        rows: list[int] = []
        for of_all, begin, mine in members:
            assert (of_all, begin) == (batch[0], len(rows))
            rows += mine
        assert rows == batch[2]


def descend(mine: Particles, copies: Copies = ALONE, at: Callable[[], Parameters] = gaussians) -> Any:
    """Slopes and losses of all batches in the first process, None in the others."""
    if mine.crew.rank:
        return help_fits(mine, SCHEDULE, copies, CPU)
    with gradients_of(mine, SCHEDULE, copies, COURSE, CPU) as gradients:
        found = [gradients.next(at()) for _ in range(SCHEDULE.steps(N))]
    end_fits(mine.crew)
    return found


@pytest.mark.parametrize("size", [2, 3, 6])
@pytest.mark.parametrize("symmetry", ["C1", "C3"])
def test_a_crew_finds_what_one_process_finds(size, symmetry):
    copies = Copies.of(point_group(symmetry), CPU)
    (expected,) = crew(1, lambda mine: descend(mine, copies))
    found, *others = crew(size, lambda mine: descend(mine, copies))
    assert others == [None] * (size - 1)
    for (slopes, losses), (slopes_of_one, losses_of_one) in zip(found, expected, strict=True):
        torch.testing.assert_close(losses, losses_of_one, rtol=1e-6, atol=0.0)
        for ours, theirs in zip(slopes, slopes_of_one, strict=True):
            assert float((ours - theirs).norm()) < 1e-5 * float(theirs.norm())


def test_a_fit_may_end_before_its_last_batch_and_others_follow():
    def two_fits(mine: Particles) -> Any:
        if mine.crew.rank:
            return help_fits(mine, SCHEDULE, ALONE, CPU)
        found = []
        for done in (0, 1):
            with gradients_of(mine, SCHEDULE, ALONE, replace(COURSE, done=done), CPU) as gradients:
                found += [gradients.next(gaussians())[1] for _ in range(2 - done)]
        end_fits(mine.crew)
        return found

    first, second, again = crew(2, two_fits)[0]
    assert not torch.equal(first, second)
    torch.testing.assert_close(second, again, rtol=0.0, atol=0.0)


def test_gaussians_may_be_more_or_fewer_from_batch_to_batch():
    counts = iter([6, 9, 1, 9, 6, 2])
    found = crew(2, lambda mine: descend(mine, at=lambda: gaussians(next(counts))))[0]
    assert [len(slopes[3]) for slopes, _ in found] == [6, 9, 1, 9, 6, 2]


def beyond_numbers() -> Parameters:
    at = gaussians()
    at.centres[0] = torch.nan
    return at


def test_gaussians_beyond_all_numbers_leave_nobody_waiting():
    with pytest.raises(NumericsError):
        crew(1, lambda mine: descend(mine, at=beyond_numbers))
    for slopes, losses in crew(3, lambda mine: descend(mine, at=beyond_numbers))[0]:
        assert losses.isnan().all()
        assert all(bool(slope.isfinite().all()) for slope in slopes)


def test_a_fit_that_fails_dismisses_nobody():
    """Another process's loss of the first one ends the run: a dismissal would say that all is well."""

    def fail(mine: Particles) -> Any:
        if mine.crew.rank:
            with pytest.raises(threading.BrokenBarrierError):
                help_fits(mine, SCHEDULE, ALONE, CPU)
            return "told"
        with pytest.raises(ValueError, match="x"):
            one_batch(mine)
        mine.crew._meet.abort()
        return [len(array) for array in mine.crew.passed_on]

    def one_batch(mine: Particles) -> None:
        with gradients_of(mine, SCHEDULE, ALONE, COURSE, CPU) as gradients:
            gradients.next(gaussians())
            raise ValueError("x")

    assert crew(2, fail) == [[1, 6 * 11], "told"]


def test_batches_are_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(BatchGradients, "close", lambda self: closed.append(self))
    crew(2, descend)
    assert len(closed) == 2
