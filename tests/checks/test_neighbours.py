"""Picks of the same particle, found by their place."""

from dataclasses import replace

import numpy as np
import pytest

from gemmap.checks.neighbours import neighbours
from gemmap.particles.picks import Picks
from gemmap.particles.table import ParticleTable


@pytest.fixture
def picks() -> Picks:
    """60 picks, 10 in each of 6 micrographs, 300 px of 1 Å apart; the same places in every micrograph."""
    x = 300.0 * (np.arange(60) % 10)
    return Picks(np.arange(60) // 10, np.stack([x, x], axis=1), 1.0)


def test_distant_picks_are_right(table: ParticleTable, picks: Picks) -> None:
    assert neighbours(table, picks).level == "ok"
    assert neighbours(table, replace(picks, pixel_size_a=None)).level == "ok"


def test_the_same_place_in_both_halves(table: ParticleTable, picks: Picks) -> None:
    centre = picks.centre_px.copy()
    centre[3] = centre[2] + 0.2
    halves = np.ones(60, np.int64)
    same_half = neighbours(replace(table, half=halves), replace(picks, centre_px=centre, pixel_size_a=None))
    assert same_half.level == "warning"
    assert "2 of 60 particles lie within 0.5 px of another" in same_half.text
    halves[3] = 2
    across = neighbours(replace(table, half=halves), replace(picks, centre_px=centre, pixel_size_a=None))
    assert "different halves show the same particle (rows 3 and 4" in across.text
    assert across.measured["pairs_across_halves"] == 1


def test_shifts_count(table: ParticleTable, picks: Picks) -> None:
    """Two boxes 40 Å apart, with one particle between them."""
    centre, shifts_a = picks.centre_px.copy(), np.zeros((60, 2))
    centre[3] = centre[2] + (40.0, 0.0)
    table = replace(table, shifts_a=shifts_a, half=np.ones(60, np.int64))
    assert neighbours(table, replace(picks, centre_px=centre)).level == "ok"
    # Seen from box 4 the particle lies 20 Å to the left of the centre, from box 3 as much to the right.
    shifts_a[3], shifts_a[2] = (20.0, 0.0), (-20.0, 0.0)
    assert neighbours(replace(table, shifts_a=shifts_a), replace(picks, centre_px=centre)).measured["pairs"] == 1
    assert neighbours(replace(table, shifts_a=-shifts_a), replace(picks, centre_px=centre)).measured["pairs"] == 0


def test_copies_of_an_image_are_one_pick(table: ParticleTable, picks: Picks) -> None:
    rows = np.r_[0:60, 0:60]
    assert neighbours(table.select(rows), picks.select(rows)).level == "ok"


def test_placeholders_are_no_picks(table: ParticleTable, picks: Picks) -> None:
    same = replace(picks, centre_px=np.zeros((60, 2)), micrograph_of=np.zeros(60, np.int64))
    assert neighbours(table, same).level == "unknown"
    assert neighbours(table, replace(picks, micrograph_of=np.full(60, -1))).level == "ok"
