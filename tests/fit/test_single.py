"""One fit: the settings it is given, and the residual it adds."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.fit.choice import TRIED, Settings
from gemmap.fit.config import FitConfig
from gemmap.fit.progress import Silent
from gemmap.fit.region import Region
from gemmap.fit.single import fit

BOX = 32
DENSITY = phantom(4, 30)
TRUTH = DENSITY.volume(BOX)
AGGREGATE = aggregate_of(*particles(DENSITY, 300, BOX, noise=3.0), 3.0)
REGION = Region.build(BOX, 13.0, None)
SETTINGS = Settings(TRIED[0], 3, inside_envelope=False)
NO_ERROR = np.zeros(BOX // 2 + 1)
SOME_ERROR = np.full(BOX // 2 + 1, 1.0 / AGGREGATE.weight.mean())


def fitted(settings=SETTINGS, error=NO_ERROR):
    return fit(AGGREGATE, settings, error, REGION, FitConfig(), 500, 0, Silent())


def test_the_steps_and_the_start_are_those_it_is_given():
    for steps in (0, 1, 4):
        result, _ = fitted(replace(SETTINGS, steps=steps))
        assert [s.step for s in result.steps] == list(range(steps + 1))
    wide, narrow = (fitted(replace(SETTINGS, voxels=v))[0] for v in TRIED)
    assert (wide.details["blob_px"], narrow.details["blob_px"]) == tuple(v.blob_px for v in TRIED)
    assert correlation(wide.voxels, narrow.voxels) < 0.9999


def test_without_an_error_the_map_is_that_of_the_gaussians():
    result, gaussian_map = fitted()
    np.testing.assert_array_equal(result.map, gaussian_map)
    assert correlation(gaussian_map, TRUTH) > 0.9


@pytest.mark.parametrize("inside", [False, True])
def test_the_residual_is_added_where_it_is_wanted(inside):
    result, gaussian_map = fitted(replace(SETTINGS, inside_envelope=inside), SOME_ERROR)
    added = result.map - gaussian_map
    where = REGION.envelope(gaussian_map, AGGREGATE.pixel_size_a) if inside else REGION.window
    assert np.linalg.norm(added) > 0.01 * np.linalg.norm(gaussian_map)
    assert not added[where == 0].any()
    assert result.details["residual_fraction_of_box"] == pytest.approx(where.mean())


def test_the_envelope_is_smaller_than_the_region():
    fractions = [
        fitted(replace(SETTINGS, inside_envelope=i), SOME_ERROR)[0].details["residual_fraction_of_box"] for i in (0, 1)
    ]
    assert fractions[1] < 0.8 * fractions[0]
