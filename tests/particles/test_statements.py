from dataclasses import replace

import numpy as np
import pytest
from io_project import random_table

from gemmap.errors import InputError
from gemmap.particles.statements import flip_hand, state_ctf_applied


def test_flipped_poses_see_the_mirrored_points() -> None:
    """A point p_vol is imaged at (A p_vol)_xy; its mirror image is imaged there by the new pose."""
    table = random_table(7)
    points = np.random.default_rng(0).normal(size=(5, 3))
    flipped = flip_hand(table)
    seen = np.einsum("nij,pj->npi", table.rotations, points)[..., :2]
    mirrored = np.einsum("nij,pj->npi", flipped.rotations, -points)[..., :2]
    np.testing.assert_allclose(mirrored, seen, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(flipped.rotations), 1.0)
    np.testing.assert_array_equal(flip_hand(flipped).rotations, table.rotations)
    np.testing.assert_array_equal(flipped.shifts_a, table.shifts_a)


@pytest.mark.parametrize("applied", ["phase-flip", "multiplied"])
def test_the_statement_reaches_every_group(applied: str) -> None:
    table = state_ctf_applied(random_table(4), applied)
    assert [group.ctf_applied for group in table.optics] == [applied] * 2
    assert state_ctf_applied(table, applied).optics == table.optics


@pytest.mark.parametrize(
    ("stated", "in_file", "message"),
    [
        ("phase-flip", "multiplied", "group1 says that its images are multiplied by their CTF, and you that they are "),
        ("multiplied", "phase-flip", "are phase-flipped, and you that they are multiplied by their CTF"),
        ("multiplied", "corrected", "are corrected for their CTF, and you"),
    ],
)
def test_a_file_that_says_otherwise(stated: str, in_file: str, message: str) -> None:
    table = random_table(4)
    table = replace(table, optics=(table.optics[0], replace(table.optics[1], ctf_applied=in_file)))
    with pytest.raises(InputError, match=message):
        state_ctf_applied(table, stated)


def test_images_without_a_ctf() -> None:
    with pytest.raises(InputError, match="said to be phase-flipped and to carry no CTF"):
        state_ctf_applied(replace(random_table(4), ctf=None), "phase-flip")
