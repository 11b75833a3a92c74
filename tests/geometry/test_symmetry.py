"""Point groups against numbers that RELION 3.1.3 printed (``relion_refine --sym .. --print_symmetry_ops``)."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.geometry.symmetry import point_group, related_views

ORDERS = {
    "C1": 1, "C2": 2, "C3": 3, "C7": 7, "C99": 99, "D1": 2, "D2": 4, "D3": 6, "D3y": 6, "D7": 14, "T": 12, "O": 24,
    "I": 60, "I1": 60, "I2": 60, "I3": 60, "I4": 60,
}  # fmt: skip

#: One rotation of each group as RELION prints it, none of them in the others of its kind.
PRINTED = {
    "C3": [[-0.5, 0.86602539, 0], [-0.86602539, -0.5, 0], [0, 0, 1]],
    "D3": [[-0.5, -0.86603, 0], [-0.86603, 0.5, 0], [0, 0, -1]],
    "T": [[0.5, 0.28867, 0.8165], [0.86603, -0.16667, -0.4714], [0, 0.94281, -0.33333]],
    "O": [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    "I1": [[0.80902, -0.5, -0.30902], [0.5, 0.30902, 0.80902], [-0.30902, -0.80902, 0.5]],
    "I2": [[0.5, 0.80902, 0.30902], [-0.80902, 0.30902, 0.5], [0.30902, -0.5, 0.80902]],
    "I3": [[-0.44721, 0, -0.89443], [0, -1, 0], [-0.89443, 0, 0.44721]],
    "I4": [[-0.44721, 0, 0.89443], [0, -1, 0], [0.89443, 0, 0.44721]],
}


def is_in(rotation: np.ndarray, group: np.ndarray, tolerance: float = 1e-9) -> bool:
    return bool((np.abs(group - rotation).max(axis=(1, 2)) < tolerance).any())


def has_axis(name: str, direction: tuple[float, float, float], fold: int) -> bool:
    axis = np.array(direction) / np.linalg.norm(direction)
    angle = 2 * np.pi / fold
    cross = np.cross(np.eye(3), axis)
    rotation = np.eye(3) - np.sin(angle) * cross + (1 - np.cos(angle)) * (np.outer(axis, axis) - np.eye(3))
    return is_in(rotation, point_group(name).rotations)


@pytest.mark.parametrize("name", ORDERS)
def test_rotations_are_a_group_with_the_identity_first(name: str) -> None:
    group = point_group(name)
    r = group.rotations
    assert len(group) == ORDERS[name] == len(r)
    assert group.is_trivial == (name == "C1")
    np.testing.assert_array_equal(r[0], np.eye(3))
    np.testing.assert_allclose(r @ np.swapaxes(r, 1, 2), np.broadcast_to(np.eye(3), r.shape), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-14)
    some = r[:: max(1, len(r) // 12)]
    assert all(is_in(a @ b, r) and is_in(a.T, r) for a in some for b in some)
    assert all(np.abs(r[:i] - r[i]).max(axis=(1, 2)).min() > 0.04 for i in range(1, len(r)))


@pytest.mark.parametrize("name", PRINTED)
def test_a_rotation_that_relion_prints_is_in_its_group_and_in_no_other_of_its_kind(name: str) -> None:
    printed = np.array(PRINTED[name])
    assert is_in(printed, point_group(name).rotations, 1e-5)
    others = [other for other in PRINTED if other[0] == name[0] and other != name]
    assert not any(is_in(printed, point_group(other).rotations, 1e-3) for other in others)


def test_axes_are_where_the_conventions_say() -> None:
    golden = (1 + 5**0.5) / 2
    assert has_axis("C7", (0, 0, 1), 7)
    assert has_axis("D3", (0, 0, 1), 3)
    assert has_axis("D3", (1, 0, 0), 2)
    assert not has_axis("D3", (0, 1, 0), 2)
    assert has_axis("D3y", (0, 1, 0), 2)
    assert not has_axis("D3y", (1, 0, 0), 2)
    assert has_axis("T", (0, 0, 1), 3)
    assert has_axis("O", (0, 0, 1), 4)
    assert has_axis("I1", (0, 1, golden), 5)
    assert has_axis("I2", (1, 0, golden), 5)
    assert has_axis("I", (1, 0, golden), 5)
    assert has_axis("I3", (0, 0, 1), 5)
    assert has_axis("I4", (0, 0, 1), 5)
    assert all(has_axis(name, axis, 2) for name in ("I", "I1", "I2") for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


@pytest.mark.parametrize("fold", [2, 4, 6])
def test_the_second_axis_of_even_dihedral_groups_may_be_called_x_or_y(fold: int) -> None:
    on_x, on_y = (point_group(f"D{fold}{suffix}").rotations for suffix in ("", "y"))
    assert all(is_in(rotation, on_y) for rotation in on_x)


@pytest.mark.parametrize(("given", "name"), [("c7", "C7"), (" d2 ", "D2"), ("t", "T"), ("i", "I"), ("d3Y", "D3y")])
def test_names_in_any_case(given: str, name: str) -> None:
    assert point_group(given).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Td", "The symmetry Td has mirrors or an inversion"),
        ("Th", "mirrors"), ("Oh", "mirrors"), ("Ih", "mirrors"), ("I2h", "mirrors"), ("Ci", "mirrors"),
        ("Cs", "mirrors"),
        ("C3v", "mirrors"), ("D2d", "mirrors"), ("S4", "mirrors"),
        ("helical", "is that of a helix, which GEM does not reconstruct"), ("H", "helix"),
        ("I5", "has a name in RELION, but no axes"),
        ("C0", "The symmetry is 'C0'; expected C1, C2, .., D2, D3, .., T, O, I, or I1 to I4"),
        ("C100", "expected C1"),
        ("7", "expected C1"), ("", "expected C1"), ("C3y", "expected C1"), ("C-3", "expected C1"),
        ("I6", "expected C1"),
    ],
)  # fmt: skip
def test_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        point_group(name)


@pytest.mark.parametrize("name", ORDERS)
def test_cosets_and_grid_rotations_make_the_group_once(name: str) -> None:
    group = point_group(name)
    products = np.einsum("aij,bjk->abik", group.representatives, group.on_grid).reshape(-1, 3, 3)
    assert len(products) == len(group)
    assert all(is_in(rotation, products) for rotation in group.rotations)
    assert set(np.unique(group.on_grid)) <= {-1.0, 0.0, 1.0}


def test_grid_rotations_save_most_of_the_work_for_large_groups() -> None:
    left = {name: len(point_group(name).representatives) for name in ("C3", "C4", "D2", "O", "I", "I1", "T")}
    assert left == {"C3": 3, "C4": 1, "D2": 1, "O": 1, "I": 5, "I1": 5, "T": 12}


@pytest.mark.parametrize("name", ["C3", "T", "I1"])
def test_related_views_see_the_same_projection_of_a_symmetric_object(name: str) -> None:
    group = point_group(name)
    points = (group.rotations @ np.array([3.0, 1.0, -2.0])).round(9)
    pose = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    pose *= np.linalg.det(pose)

    def seen(view: np.ndarray) -> np.ndarray:
        image = (view @ points.T)[:2].T.round(6)
        return image[np.lexsort(image.T)]

    for operator in group.rotations:
        np.testing.assert_allclose(seen(related_views(pose[None], operator)[0]), seen(pose), atol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["C1", "C7", "D1", "D2", "D3", "D7", "T", "O", "I", "I1", "I2", "I3", "I4"])
def test_relion_prints_the_same_rotations(name: str) -> None:
    program = shutil.which("relion_refine")
    if program is None:
        pytest.skip("relion_refine is not installed")
    done = subprocess.run(
        [program, "--sym", name, "--print_symmetry_ops"], capture_output=True, text=True, timeout=60, check=True
    )
    number = r"\s+(-?[\d.]+(?:e-?\d+)?)"
    printed = re.findall(r"R\(\d+\)=" + 9 * number, done.stdout)
    theirs = np.array(printed, float).reshape(-1, 3, 3)
    ours = point_group(name).rotations
    assert len(theirs) == len(ours)
    assert all(is_in(rotation, ours, 2e-5) for rotation in theirs)
    assert all(is_in(rotation, theirs, 2e-5) for rotation in ours)


def test_cryosparc_means_other_axes_by_odd_dihedral_names_only() -> None:
    assert [name for name in ORDERS if point_group(name).cryosparc_differs] == ["D1", "D3", "D7"]
