"""How evidence becomes a choice, and how two halves agree on one."""

import numpy as np
import pytest

from gemmap.fit.agreement import HeldOutAgreement
from gemmap.fit.choice import CAUTION, TRIED, Choice, Gain, Settings, best_of, joint


def choice(gain, error, steps, inside=False):
    """A half whose second setting scores ``gain`` more than the first."""
    gains = (Gain(0.0, 0.0), Gain(gain, error))
    settings = Settings(TRIED[best_of(gains)], steps, inside)
    return Choice(settings, gains, np.zeros((4, 4, 4), np.float32), np.zeros(3), 0.1, HeldOutAgreement({}, {}))


@pytest.mark.parametrize(
    ("value", "error", "best"),
    [(0.01, 0.0, 1), (0.01, 0.005, 1), (0.01, 0.01 / CAUTION + 0.001, 0), (-0.01, 0.0, 0), (0.0, 0.0, 0)],
)
def test_a_gain_must_exceed_its_error(value, error, best):
    assert best_of([Gain(0.0, 0.0), Gain(value, error)]) == best


def test_of_two_gains_the_surer_one_counts():
    assert best_of([Gain(0.0, 0.0), Gain(0.012, 0.016), Gain(0.010, 0.002)]) == 2


def test_the_evidence_of_halves_adds():
    """Neither half is sure, both together are; and a sure half is overruled by one that is surer of the opposite."""
    unsure = choice(0.002, 0.01, 4)
    assert unsure.settings.voxels == TRIED[0]
    assert joint(unsure, unsure).voxels == TRIED[0]
    nearly = choice(0.004, 0.0085, 4)
    assert nearly.settings.voxels == TRIED[0]
    assert joint(nearly, nearly).voxels == TRIED[1]
    assert joint(choice(0.01, 0.002, 4), choice(-0.02, 0.002, 4)).voxels == TRIED[0]


def test_the_shorter_fit_and_the_envelope_only_if_both_want_it():
    assert joint(choice(0.0, 0.0, 6), choice(0.0, 0.0, 2)).steps == 2
    wants, does_not = choice(0.0, 0.0, 2, inside=True), choice(0.0, 0.0, 2)
    assert joint(wants, wants).inside_envelope
    assert not joint(wants, does_not).inside_envelope
    assert not joint(does_not, wants).inside_envelope
