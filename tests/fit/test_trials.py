"""Trial fits: what they decide, on whose evidence, and how they notice dark particles."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import aggregate_of, correlation, particles, phantom

from gemmap.errors import InputError, NumericsError
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.choice import TRIED, Choice
from gemmap.fit.config import FitConfig
from gemmap.fit.progress import Silent
from gemmap.fit.region import Region
from gemmap.fit.split import Split, places
from gemmap.fit.trials import LEAST_STEPS, choose

BOX, NOISE = 24, 3.0
DENSITY = phantom(6, 40)
REGION = Region.build(BOX, 8.5, None)


def split_of(table, images, noise=1.0) -> Split:
    place = places(table.original_image)
    parts = [aggregate_of(table.select(place == p), images[place == p], noise) for p in (0, 1, 2)]
    return Split(parts[0], (parts[1], parts[2]))


def split(n=200, noise=NOISE, sign=1.0, seed=0) -> Split:
    table, images = particles(DENSITY, n, BOX, noise=noise, seed=seed)
    return split_of(table, sign * images, noise)


def decide(parts: Split, max_steps=8, count=1000, seed=0) -> Choice:
    return choose(parts, REGION, FitConfig(max_steps=max_steps), count, seed, Silent(), "trials half1")


def test_the_trial_is_a_map_of_the_seen_particles():
    choice = decide(split())
    assert choice.settings.voxels in TRIED
    assert 0 <= choice.settings.steps <= 8
    assert choice.trial.shape == (BOX,) * 3
    assert correlation(choice.trial, DENSITY.volume(BOX)) > 0.9
    again = decide(split())
    np.testing.assert_array_equal(choice.trial, again.trial)
    assert (choice.settings.steps, choice.settings.voxels, choice.score) == (
        again.settings.steps,
        again.settings.voxels,
        again.score,
    )


def test_held_out_particles_decide_but_are_not_fitted():
    """Other held-out particles may choose other settings; with the same choice, the trial map is the same."""
    plain = split()
    others = replace(plain, held_out=split(seed=5).held_out)
    first, second = decide(plain, max_steps=1), decide(others, max_steps=1)
    assert first.score != second.score
    if first.settings.voxels == second.settings.voxels:
        np.testing.assert_array_equal(first.trial, second.trial)
    assert correlation(first.trial, second.trial) > 0.95


def test_the_score_rises_with_the_data():
    scores = [decide(split(n)).score for n in (60, 200, 600)]
    assert scores == sorted(scores)
    assert scores[-1] > 1.2 * scores[0]


def test_the_steps_are_limited():
    parts = split(noise=1.0)
    assert decide(parts, max_steps=1).settings.steps <= 1
    assert decide(parts, max_steps=3).settings.steps <= 3


def test_without_evidence_the_safe_settings_are_kept():
    """Noise alone seldom prefers another setting to the first one tried, or more steps than the least."""
    table, _ = particles(DENSITY, 200, BOX, noise=1.0)
    chosen = []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=(200, BOX, BOX)).astype(np.float32)
        chosen.append(decide(split_of(table, noise), max_steps=8))
    assert sum(choice.settings.voxels == TRIED[0] for choice in chosen) >= 5
    assert sum(choice.settings.steps == LEAST_STEPS for choice in chosen) >= 5


def test_much_data_chooses_another_setting_or_more_steps():
    choice = decide(split(n=1200, noise=0.3), max_steps=12)
    assert choice.settings.voxels != TRIED[0] or choice.settings.steps > LEAST_STEPS


@pytest.mark.parametrize(("n", "noise"), [(40, NOISE), (200, NOISE), (200, 8.0)])
def test_dark_particles_are_refused(n, noise):
    with pytest.raises(InputError, match=r"seem to be dark: negative density predicts held-out .* better.*--invert"):
        decide(split(n=n, noise=noise, sign=-1.0))


def test_noise_is_not_called_dark():
    box, n = 32, 200
    table, _ = particles(DENSITY, n, box, noise=1.0)
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=(n, box, box)).astype(np.float32)
        parts = split_of(table, noise)
        choice = choose(parts, Region.build(box, 11.0, None), FitConfig(max_steps=2), 500, 0, Silent(), "trials half1")
        assert np.isfinite(choice.trial).all()


def test_no_particles_to_see_or_to_judge_by_is_an_error():
    full = split()
    nothing = Accumulator(BOX, full.seen.pixel_size_a).finish()
    for parts in (replace(full, seen=nothing), replace(full, held_out=(nothing, nothing))):
        with pytest.raises(NumericsError, match="carry no information"):
            decide(parts)
