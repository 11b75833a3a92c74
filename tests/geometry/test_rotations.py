"""Rotation conventions against printed numbers, RELION's and cryoSPARC's formulas, and round trips."""

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.geometry.rotations import (
    from_cryosparc_pose,
    from_relion_euler,
    require_rotations,
    to_cryosparc_pose,
    to_relion_euler,
)

# One view, written by RELION and by cryoSPARC (docs/conventions.md).
EULER = (33.0, 77.0, -141.0)
POSE = (-1.530209, 0.080195, -1.558471)
MATRIX = [[0.196136, -0.623006, 0.757228], [0.541992, -0.574667, -0.613191], [0.817175, 0.530680, 0.224951]]


def column(*values):
    return [np.array([v]) for v in values]


def euler_matrix(rot, tilt, psi):
    """RELION's Euler_angles2matrix, typed from src/euler.cpp."""
    (ca, sa), (cb, sb), (cg, sg) = ((np.cos(np.radians(a)), np.sin(np.radians(a))) for a in (rot, tilt, psi))
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def random_angles(n):
    rng = np.random.default_rng(5)
    return rng.uniform(-180, 180, n), rng.uniform(0, 180, n), rng.uniform(-180, 180, n)


def test_golden_view():
    np.testing.assert_allclose(from_relion_euler(*column(*EULER))[0], MATRIX, atol=1e-6)
    np.testing.assert_allclose(from_cryosparc_pose(np.array([POSE]))[0], MATRIX, atol=2e-6)


def test_a_point_moves_to_the_pixel_known_by_hand():
    # psi turns the image: after psi = 90 deg the density's +x lies along the image's -y.
    point = from_relion_euler(*column(0.0, 0.0, 90.0))[0] @ [1.0, 0.0, 0.0]
    np.testing.assert_allclose(point, [0, -1, 0], atol=1e-12)
    # tilt turns about y: after tilt = 90 deg the density's +x points to the viewer and its +z along the image's -x.
    tilted = from_relion_euler(*column(0.0, 90.0, 0.0))[0]
    np.testing.assert_allclose(tilted @ [1.0, 0.0, 0.0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(tilted @ [0.0, 0.0, 1.0], [-1, 0, 0], atol=1e-12)


def test_every_entry_is_relions():
    angles = random_angles(50)
    expected = np.array([euler_matrix(*a) for a in zip(*angles, strict=True)])
    np.testing.assert_allclose(from_relion_euler(*angles), expected, atol=1e-14)


def test_round_trip_of_generic_views():
    angles = random_angles(200)
    np.testing.assert_allclose(to_relion_euler(from_relion_euler(*angles)), np.stack(angles, -1), atol=1e-9)


@pytest.mark.parametrize("tilt", [0.0, 180.0, 1e-7, 180.0 - 1e-7, 1e-10, -30.0, 200.0])
@pytest.mark.parametrize(("rot", "psi"), [(0.0, 0.0), (40.0, -75.0), (180.0, 180.0), (-135.0, 20.0)])
def test_round_trip_where_angles_are_not_unique(rot, tilt, psi):
    matrix = from_relion_euler(*column(rot, tilt, psi))
    angles = to_relion_euler(matrix)
    assert 0 <= angles[0, 1] <= 180
    np.testing.assert_allclose(from_relion_euler(*angles.T), matrix, atol=3e-9)


def test_cryosparc_round_trip_and_no_rotation():
    matrices = from_relion_euler(*random_angles(50))
    np.testing.assert_allclose(from_cryosparc_pose(to_cryosparc_pose(matrices)), matrices, atol=1e-12)
    np.testing.assert_allclose(from_cryosparc_pose(np.zeros((1, 3)))[0], np.eye(3), atol=0)
    half_turn = np.array([[0, np.pi, 0]])
    np.testing.assert_allclose(from_cryosparc_pose(half_turn)[0], np.diag([-1, 1, -1]), atol=1e-12)


def test_no_particles():
    none = np.zeros(0)
    assert from_relion_euler(none, none, none).shape == (0, 3, 3)
    assert to_relion_euler(np.zeros((0, 3, 3))).shape == (0, 3)
    assert from_cryosparc_pose(np.zeros((0, 3))).shape == (0, 3, 3)
    assert to_cryosparc_pose(np.zeros((0, 3, 3))).shape == (0, 3)
    assert require_rotations(np.zeros((0, 3, 3)), "poses.pkl").shape == (0, 3, 3)


def test_rotations_are_required():
    good = from_relion_euler(*random_angles(4)).astype(np.float32)
    assert require_rotations(good, "poses.pkl").dtype == np.float64
    with pytest.raises(InputError, match=r"poses.pkl: rotations have shape \(4, 9\); expected \(n, 3, 3\)"):
        require_rotations(good.reshape(4, 9), "poses.pkl")


@pytest.mark.parametrize("spoil", [np.diag([1, 1, -1.0]), 1.01 * np.eye(3), np.full((3, 3), np.nan), np.zeros((3, 3))])
def test_what_is_no_rotation_is_named(spoil):
    matrices = from_relion_euler(*random_angles(4))
    matrices[2:] = matrices[2:] @ spoil
    with pytest.raises(InputError, match=r"poses.pkl: 2 of 4 matrices are not rotations \(the first is particle 3\)"):
        require_rotations(matrices, "poses.pkl")
