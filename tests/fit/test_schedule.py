"""When the images engine takes which step."""

import math

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.fit.schedule import GROWTH_UNTIL, LAST_FACTOR, Schedule


@pytest.mark.parametrize(("n", "batch", "steps"), [(100, 10, 30), (101, 10, 33), (9, 10, 3), (1, 1, 3)])
def test_every_particle_once_an_epoch(n, batch, steps):
    assert Schedule(epochs=3, batch_size=batch).steps(n) == steps


def test_rates_fall_to_the_last_factor():
    factors = [Schedule().factor(done) for done in np.linspace(0, 1, 5)]
    assert factors[0] == 1.0
    assert factors[-1] == pytest.approx(LAST_FACTOR)
    np.testing.assert_allclose(np.diff(np.log(factors)), math.log(LAST_FACTOR) / 4)


@pytest.mark.parametrize("total", [3, 12, 100, 1000])
def test_growth_ends_before_the_rates_do(total):
    when = [k for k in range(1, total + 1) if Schedule().densifies_after(k, total)]
    assert when
    assert max(when) <= GROWTH_UNTIL * total
    assert not any(Schedule(growth=0.0).densifies_after(k, total) for k in range(1, total + 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "Number of epochs is 0; expected at least 1"),
        ({"batch_size": 0}, "Batch size is 0; expected at least 1 image"),
        ({"growth": 1.5}, "Growth is 1.5; expected a fraction from 0 to 1"),
    ],
)
def test_what_cannot_be_done(options, message):
    with pytest.raises(InputError, match=message):
        Schedule(**options)
