"""Trial fits: what they decide, on whose evidence, and how they notice dark particles."""

import numpy as np
import pytest
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.errors import InputError, NumericsError
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.config import FitConfig
from gemmap.fit.progress import Silent
from gemmap.fit.region import Region
from gemmap.fit.trials import TRIED, Choice, choose

BOX, NOISE = 24, 3.0
DENSITY = phantom(6, 40)
REGION = Region.build(BOX, 8.5, None)


def sets(n=200, noise=NOISE, sign=1.0, seed=0):
    table, images = particles(DENSITY, n, BOX, noise=noise, seed=seed)
    held_out = np.arange(n) % 4 == 3
    return [aggregate_of(table.select(rows), sign * images[rows], noise) for rows in (~held_out, held_out)]


def decide(seen, held_out, max_steps=8, count=1000, seed=0) -> Choice:
    return choose(seen, held_out, REGION, FitConfig(max_steps=max_steps), count, seed, Silent())


def test_the_trial_is_a_map_of_the_seen_particles():
    seen, held_out = sets()
    choice = decide(seen, held_out)
    assert choice.voxels in TRIED
    assert 0 <= choice.steps <= 8
    assert choice.trial.shape == (BOX,) * 3
    assert correlation(choice.trial, DENSITY.volume(BOX)) > 0.9
    again = decide(seen, held_out)
    np.testing.assert_array_equal(choice.trial, again.trial)
    assert (choice.steps, choice.voxels, choice.score) == (again.steps, again.voxels, again.score)


def test_held_out_particles_decide_but_are_not_fitted():
    """Other held-out particles may choose other settings; with the same choice, the trial map is the same."""
    seen, held_out = sets()
    _, others = sets(seed=5)
    first, second = decide(seen, held_out, max_steps=1), decide(seen, others, max_steps=1)
    assert first.score != second.score
    if first.voxels == second.voxels:
        np.testing.assert_array_equal(first.trial, second.trial)
    assert correlation(first.trial, second.trial) > 0.95


def test_the_score_rises_with_the_data():
    scores = [decide(*sets(n)).score for n in (60, 200, 600)]
    assert scores == sorted(scores)
    assert scores[-1] > 1.2 * scores[0]


def test_the_steps_are_limited():
    seen, held_out = sets(noise=1.0)
    assert decide(seen, held_out, max_steps=1).steps <= 1
    assert decide(seen, held_out, max_steps=3).steps <= 3


def test_dark_particles_are_refused():
    with pytest.raises(InputError, match=r"seem to be dark: negative density predicts held-out .* better.*--invert"):
        decide(*sets(sign=-1.0))


def test_noise_is_rarely_called_dark():
    box, n, refused = 32, 200, 0
    table, _ = particles(DENSITY, n, box, noise=1.0)
    held_out = np.arange(n) % 4 == 3
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=(n, box, box)).astype(np.float32)
        seen, rest = (aggregate_of(table.select(rows), noise[rows]) for rows in (~held_out, held_out))
        try:
            choice = choose(seen, rest, Region.build(box, 11.0, None), FitConfig(max_steps=2), 500, 0, Silent())
        except InputError:
            refused += 1
            continue
        assert np.isfinite(choice.trial).all()
    assert refused <= 1


@pytest.mark.parametrize("empty", [0, 1])
def test_a_set_without_particles_is_an_error(empty):
    both = sets()
    both[empty] = Accumulator(BOX, both[0].pixel_size_a).finish()
    with pytest.raises(NumericsError, match="carry no information"):
        decide(*both)
