"""When the images engine takes which step."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.fit.schedule import SEARCH, Schedule


@pytest.mark.parametrize(("n", "batch", "steps"), [(100, 10, 30), (101, 10, 33), (9, 10, 3), (1, 1, 3)])
def test_every_particle_once_an_epoch(n, batch, steps):
    assert Schedule(epochs=3, batch_size=batch).steps(n) == steps


def test_a_random_start_gets_more_epochs_unless_told():
    assert Schedule().all_epochs < Schedule(start="random").all_epochs
    assert Schedule(epochs=4).all_epochs == Schedule(epochs=4, start="random").all_epochs == 4


@pytest.mark.parametrize("start", ["aggregate", "random"])
def test_rates_never_rise_and_end_low(start):
    schedule = Schedule(epochs=10, start=start)
    rates = np.array([schedule.rates(e) for e in np.linspace(0, 10, 101)])
    assert (np.diff(rates, axis=0) <= 0).all()
    np.testing.assert_allclose(rates[-1], rates[0] / (11.0 if start == "aggregate" else 10.0))
    assert (rates > 0).all()


def test_rates_fall_as_the_time_from_a_near_start():
    """1/t: the steps of any two stretches [t, 2t] are worth the same."""
    rates = np.array([Schedule(epochs=99).rates(e)[0] for e in range(63)])
    np.testing.assert_allclose(rates, rates[0] / np.arange(1, 64))


def test_a_random_start_searches_first():
    schedule = Schedule(epochs=10, start="random")
    assert schedule.rates(0) == schedule.rates(10 * SEARCH)
    assert schedule.rates(10 * SEARCH + 1)[0] < schedule.rates(0)[0]
    assert schedule.rates(0)[0] > Schedule().rates(0)[0]


def test_the_rate_is_a_factor():
    np.testing.assert_allclose(Schedule(rate=0.3).rates(1.5), 0.3 * np.array(Schedule().rates(1.5)))


@pytest.mark.parametrize("n", [3, 12, 100, 1000])
def test_growth_is_for_the_search_only(n):
    schedule = Schedule(batch_size=2, start="random")
    total = schedule.steps(n)
    when = [k for k in range(1, total + 1) if schedule.densifies_after(k, n)]
    assert when
    assert max(when) <= SEARCH * total
    assert not any(Schedule(batch_size=2).densifies_after(k, n) for k in range(1, total + 1))


@pytest.mark.parametrize(("n", "batch"), [(1, 1), (7, 2), (100, 10), (1000, 16)])
def test_the_loss_is_recorded_some_times_an_epoch_and_at_the_end(n, batch):
    schedule = Schedule(epochs=3, batch_size=batch)
    total = schedule.steps(n)
    when = [k for k in range(1, total + 1) if schedule.ends_window(k, n)]
    assert when[-1] == total
    assert len(when) <= total
    assert min(total, 3) <= len(when) <= 3 * 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "Number of epochs is 0; expected at least 1"),
        ({"batch_size": 0}, "Batch size is 0; expected at least 1 image"),
        ({"rate": 0.0}, "Rate is 0; expected a factor above 0, 1 for the usual"),
        ({"rate": float("inf")}, "Rate is inf; expected a factor above 0"),
        ({"rate": float("nan")}, "Rate is nan; expected a factor above 0"),
    ],
)
def test_what_cannot_be_done(options, message):
    with pytest.raises(InputError, match=message):
        Schedule(**options)
