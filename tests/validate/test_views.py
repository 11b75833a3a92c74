"""Views of known distributions over the half-sphere."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gemmap.geometry.symmetry import point_group
from gemmap.validate.views import CAP_DEG, view_distribution


def test_even_views_have_a_density_of_one() -> None:
    views = view_distribution(Rotation.random(40_000, random_state=1).as_matrix())
    assert views.relative.mean() == pytest.approx(1.0, abs=0.02)
    assert views.relative.std() < 0.06
    assert np.all(views.directions[:, 2] > 0)


@pytest.mark.parametrize("tilt_deg", [0.0, 60.0, 120.0])
def test_one_view_is_where_its_angles_say(tilt_deg: float) -> None:
    """RELION's rot and tilt are azimuth and polar angle of the view; beyond 90 degrees its opposite is counted."""
    rot_deg = 35.0
    pose = Rotation.from_euler("ZYZ", [rot_deg, tilt_deg, 77.0], degrees=True).as_matrix().T
    views = view_distribution(pose[None])
    rot, tilt = np.radians([rot_deg, tilt_deg])
    wanted = np.array([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)])
    angle = np.degrees(np.arccos(np.clip(np.abs(views.directions @ wanted), -1.0, 1.0)))
    np.testing.assert_array_equal(views.counts, (angle <= CAP_DEG).astype(int))


def test_symmetry_gives_every_view_its_copies() -> None:
    pose = Rotation.from_euler("ZYZ", [10.0, 90.0, 0.0], degrees=True).as_matrix().T
    seen = view_distribution(pose[None], point_group("C3"))
    angles = sorted(np.degrees(np.arctan2(*seen.directions[seen.counts > 0][:, 1::-1].T)) % 60)
    # Copies every 120 degrees, and their opposites between: all within 10 degrees of 10 degrees.
    assert angles[0] >= 0.0 - 1e-6
    assert angles[-1] <= 10.0 + CAP_DEG + 1e-6
    assert seen.counts.max() == 1
