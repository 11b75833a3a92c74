"""Options of a fit that make no sense."""

import pytest

from gemmap.errors import InputError
from gemmap.fit.config import FitConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"particle_diameter_a": 0.0}, "Particle diameter is 0 Å; expected more than 0"),
        ({"particle_diameter_a": -5.0}, "Particle diameter is -5 Å; expected more than 0"),
        ({"particle_diameter_a": float("nan")}, "Particle diameter is nan Å; expected more than 0"),
        ({"n_gaussians": 0}, "Number of Gaussians is 0; expected at least 1"),
        ({"max_steps": 0}, "Maximum number of steps is 0; expected at least 1"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(InputError, match=message):
        FitConfig(**options)


def test_the_smallest_values_that_do():
    FitConfig(particle_diameter_a=1e-3, n_gaussians=1, max_steps=1)
