"""Poses, shifts, half-sets and copies, from tables made wrong in one way each."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gemmap.checks.table_verdicts import copies, half_sets, poses, shift_lengths, table_verdicts
from gemmap.geometry.rotations import from_relion_euler, to_relion_euler
from gemmap.particles.table import ParticleTable


def test_a_right_table_is_right(table: ParticleTable) -> None:
    assert [verdict.level for verdict in table_verdicts(table, 48)] == ["ok"] * 4


def test_poses_that_are_all_the_same(table: ParticleTable) -> None:
    verdict = poses(replace(table, rotations=np.tile(table.rotations[:1], (60, 1, 1))))
    assert verdict.level == "error"
    assert "All 60 particles have the same pose" in verdict.text


def test_angles_in_radians(table: ParticleTable) -> None:
    angles = np.radians(to_relion_euler(table.rotations))
    verdict = poses(replace(table, rotations=from_relion_euler(*angles.T)))
    assert verdict.level == "error"
    assert "radians" in verdict.text


def test_one_particle_has_a_pose_and_no_spread(table: ParticleTable) -> None:
    assert poses(table.select(np.array([0]))).level == "unknown"


def test_views_of_a_tilt_series_are_no_radians(table: ParticleTable) -> None:
    tilts = Rotation.from_euler("y", np.linspace(-60, 60, 60)[:, None], degrees=True).as_matrix()
    assert poses(replace(table, rotations=tilts)).level == "ok"


def test_large_shifts_are_counted(table: ParticleTable) -> None:
    shifts_a = table.shifts_a.copy()
    shifts_a[4] = 50.0, 50.0
    verdict = shift_lengths(replace(table, shifts_a=shifts_a), 48)
    assert verdict.level == "warning"
    assert "1 of 60 particles are shifted by more than a quarter of the box (up to 71 Å" in verdict.text
    assert "the first is particle 5" in verdict.text
    unknown = replace(table, optics=(replace(table.optics[0], box_px=None),))
    assert shift_lengths(unknown, None).level == "unknown"
    assert shift_lengths(unknown, 48).level == "ok"


@pytest.mark.parametrize(
    ("half", "level", "words"),
    [
        (np.zeros(60), "warning", "drawn at random"),
        (np.ones(60), "error", "All particles are in half 1"),
        (np.full(60, 2), "error", "All particles are in half 2"),
        (np.arange(60) % 3, "error", "20 of 60 particles have none"),
        (1 + (np.arange(60) < 10), "warning", "more than twice"),
        (1 + np.arange(60) % 2, "ok", "30 + 30"),
    ],
)
def test_half_sets(table: ParticleTable, half: np.ndarray, level: str, words: str) -> None:
    verdict = half_sets(replace(table, half=half.astype(np.int64)))
    assert verdict.level == level
    assert words in verdict.text


def test_an_image_in_both_halves(table: ParticleTable) -> None:
    rows = np.r_[0:60, 7]
    doubled = table.select(rows)
    half = np.r_[table.half, 3 - table.half[7]]
    verdict = copies(replace(doubled, half=half))
    assert verdict.level == "error"
    assert "1 of 60 images are in both halves (as in rows 8 and 61)" in verdict.text


def test_a_row_twice(table: ParticleTable) -> None:
    verdict = copies(table.select(np.r_[0:60, 7]))
    assert verdict.level == "warning"
    assert "1 of 61 rows repeat another row's image and pose (the first is particle 61)" in verdict.text


def test_symmetry_expanded_rows_are_right(table: ParticleTable) -> None:
    turned = Rotation.from_euler("z", 120, degrees=True).as_matrix()
    both = table.select(np.r_[0:60, 0:60])
    both = replace(both, rotations=np.concatenate([table.rotations, table.rotations @ turned]))
    verdict = copies(both)
    assert verdict.level == "ok"
    assert "120 rows of 60 images" in verdict.text
