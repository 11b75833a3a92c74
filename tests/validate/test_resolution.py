"""RELION's rule for reading a resolution off a curve, and the sentence that goes with it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.validate.resolution import Interval, Resolution, resolution_at

CURVE = np.array([1.0, 0.9, 0.7, 0.3, 0.1])  # box 8 px of 1.5 Å: 12, 6, 4, 3 Å at shells 1 to 4


def read(curve: np.ndarray, threshold: float = 0.143, interpolate: bool = False, box_px: int = 8) -> Resolution:
    return resolution_at(curve, threshold, box_px, 1.5, "half-map FSC", "soft mask", interpolate)


@pytest.mark.parametrize(("threshold", "shell", "value_a"), [(0.143, 3, 4.0), (0.5, 2, 6.0), (0.8, 1, 12.0)])
def test_last_shell_before_the_first_value_below(threshold: float, shell: int, value_a: float) -> None:
    result = read(CURVE, threshold)
    assert (result.shell, result.value_a, result.at_nyquist) == (shell, value_a, False)


def test_a_value_equal_to_the_threshold_is_not_below_and_a_later_rise_does_not_count() -> None:
    assert read(np.array([1, 0.5, 0.4, 0.9, 0.9]), 0.5).shell == 1


def test_interpolation_places_the_crossing_on_the_line_between_two_shells() -> None:
    result = read(CURVE, 0.143, interpolate=True)
    assert result.shell == pytest.approx(3 + (0.3 - 0.143) / (0.3 - 0.1))
    assert result.value_a == pytest.approx(12.0 / result.shell)


@pytest.mark.parametrize("interpolate", [False, True])
def test_never_below_is_at_nyquist(interpolate: bool) -> None:
    result = read(np.ones(5), interpolate=interpolate)
    assert result.at_nyquist
    assert result.value_a == 3.0
    assert str(result) == "at Nyquist (3.00 Å) (half-map FSC 0.143, soft mask)"


def test_below_only_in_the_last_shell_is_not_at_nyquist() -> None:
    assert read(np.array([1, 1, 1, 1, 0.0])).at_nyquist is False


def test_odd_box() -> None:
    assert read(np.ones(5), box_px=9).value_a == pytest.approx(9 * 1.5 / 4)


@pytest.mark.parametrize("interpolate", [False, True])
def test_below_from_the_first_shell_is_not_resolved(interpolate: bool) -> None:
    result = read(np.array([1, 0.1, 0.9, 0.9, 0.9]), interpolate=interpolate)
    assert not result.is_resolved
    assert math.isinf(result.value_a)
    assert not result.at_nyquist
    assert str(result) == "not resolved: half-map FSC is below 0.143 from the first shell on (soft mask)"


def test_shell_zero_is_not_looked_at() -> None:
    assert read(np.array([-1, 0.9, 0.9, 0.1, 0.1])).shell == 2


def test_sentence() -> None:
    assert str(read(CURVE)) == "4.00 Å (half-map FSC 0.143, soft mask)"
    assert str(read(CURVE, 0.5)) == "6.00 Å (half-map FSC 0.5, soft mask)"


@pytest.mark.parametrize("curve", [np.ones(4), np.ones((5, 1)), np.array([1, 1, np.nan, 1, 1]), np.ones(0)])
def test_a_curve_that_does_not_fit_the_box_is_refused(curve: np.ndarray) -> None:
    with pytest.raises(InputError, match="one for each of the shells 0 to 4"):
        read(curve)


def test_a_box_of_one_pixel_has_no_resolution() -> None:
    with pytest.raises(InputError, match="box of 1 pixels"):
        read(np.ones(1), box_px=1)


def test_a_curve_above_the_threshold_where_knowledge_ends_is_read_there() -> None:
    known = np.array([True, True, True, False, False])
    result = resolution_at(np.array([1, 0.9, 0.7, 0, 0]), 0.5, 8, 1.5, "cross-FSC", "a mask", True, known)
    assert (result.shell, result.value_a, result.at_limit) == (2, 6.0, True)
    assert str(result) == "at the limit of what is known (6.00 Å) (cross-FSC 0.5, a mask)"
    crossed = resolution_at(np.array([1, 0.9, 0.3, 0, 0]), 0.5, 8, 1.5, "cross-FSC", "a mask", True, known)
    assert not crossed.at_limit
    assert crossed.shell == pytest.approx(1 + 0.4 / 0.6)
    assert not resolution_at(np.zeros(5), 0.5, 8, 1.5, "cross-FSC", "a mask", True, ~known & known).at_limit
    assert not resolution_at(np.ones(5), 0.5, 8, 1.5, "cross-FSC", "a mask", True, known).at_limit


def test_an_interval_stands_before_the_estimator() -> None:
    result = replace(read(CURVE), interval=Interval(3.3, 4.126))
    assert str(result) == "4.00 Å (95 %: 3.30 to 4.13 Å; half-map FSC 0.143, soft mask)"
