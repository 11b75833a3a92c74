"""One fit: the settings it is given, and the residual it adds."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.fit.choice import TRIED, Settings
from gemmap.fit.config import FitConfig
from gemmap.fit.image_batches import Particles
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.progress import Silent
from gemmap.fit.region import Region
from gemmap.fit.schedule import Schedule
from gemmap.fit.single import fit
from gemmap.particles.stack import ArrayStack

BOX = 32
DENSITY = phantom(4, 30)
TRUTH = DENSITY.volume(BOX)
TABLE, IMAGES = particles(DENSITY, 300, BOX, noise=3.0)
AGGREGATE = aggregate_of(TABLE, IMAGES, 3.0)
WHITE = np.full((1, BOX // 2 + 1), 1.0 / (3.0 * BOX) ** 2)
PARTICLES = Particles(TABLE, ArrayStack(IMAGES), np.arange(300), WHITE, TABLE.optics_group)
REGION = Region.build(BOX, 13.0, None)
SETTINGS = Settings(TRIED[0], 3, inside_envelope=False)
NO_ERROR = np.zeros(BOX // 2 + 1)
SOME_ERROR = np.full(BOX // 2 + 1, 1.0 / AGGREGATE.weight.mean())


def fitted(settings=SETTINGS, error=NO_ERROR, progress=None, **options):
    progress = progress or Silent()
    run = RunState(Forgetful(), progress)
    config = FitConfig(**options)
    return fit(AGGREGATE, PARTICLES, settings, error, REGION, config, 500, 0, progress, run, "fit half1")


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


def test_both_engines_reach_the_same_map():
    """From the same start; baselines do not depend on the engine."""
    aggregate, images = fitted()[0], fitted(schedule=Schedule(batch_size=20))[0]
    np.testing.assert_array_equal(aggregate.voxels, images.voxels)
    np.testing.assert_array_equal(aggregate.backprojection, images.backprojection)
    assert correlation(aggregate.map, images.map) > 0.99
    assert not np.array_equal(aggregate.map, images.map)
    assert images.stopped_because == "all 3 epochs are done"
    assert [s.step for s in images.steps][-1] == 45
    assert images.steps[0].loss > 0


def test_a_random_start_has_room_to_grow():
    result, _ = fitted(schedule=Schedule(batch_size=20, start="random"))
    assert 250 < len(result.gaussians) <= 500
    assert correlation(result.map, TRUTH) > 0.9


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize("rate", [1.0, 1e4])
def test_steps_that_diverge_leave_a_map_and_a_note(rate):
    notes = Notes()
    result, gaussian_map = fitted(schedule=Schedule(batch_size=20, rate=rate), progress=notes)
    assert ("diverged" in result.stopped_because) == (rate > 1)
    assert [result.stopped_because in text for text in notes.texts] == [True] * (rate > 1)
    assert correlation(gaussian_map, TRUTH) > 0.9
    assert result.steps


@pytest.mark.parametrize("schedule", [None, Schedule(batch_size=20)])
def test_the_shape_acts_on_both_engines(schedule):
    free, fixed = (fitted(schedule=schedule, shape=shape)[0].gaussians.scales_a for shape in ("free", "fixed"))
    assert float(fixed.std()) < 1e-5 * float(fixed.mean())
    assert float(free.std()) > 1e-3 * float(free.mean())


@pytest.mark.parametrize(("most", "reached"), [(2, True), (3, True), (4, True), (5, True), (6, False), (24, False)])
def test_a_bound_that_was_reached_is_said(most, reached):
    """Trials score every second step: with at most 5 they can choose 4."""
    result, _ = fitted(replace(SETTINGS, steps=min(4, most - most % 2)), max_steps=most)
    assert (result.stopped_because == f"the bound of {most} steps was reached; more --max-steps may serve") == reached
    assert ("did not predict held-out particles better" in result.stopped_because) != reached
