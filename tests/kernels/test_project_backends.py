"""Choice of backend, threads, and messages for what cannot be projected."""

from concurrent.futures import ThreadPoolExecutor

import numba
import pytest
import torch
from test_project import poses
from test_voxelize import random_set
from test_voxelize_backends import restore_threads

from gemmap.errors import BackendError, NumericsError
from gemmap.kernels import ops, registry, threads

__all__ = ["restore_threads"]
NAMES = ("centres", "scales", "quaternions", "masses", "rotations", "shifts")


def test_auto_is_the_fastest_that_can_and_a_name_is_obeyed_or_refused():
    cpu = torch.device("cpu")
    assert registry.choose("project", cpu, torch.float32) == "numba"
    assert registry.choose("project_gather", cpu, torch.float64) == "reference"
    assert registry.choose("project", torch.device("cuda"), torch.float64) == "reference"
    doubles = [a.double() for a in (*random_set(1, 8), *poses(1))]
    with pytest.raises(BackendError, match=r"'numba' cannot run project on torch.float64 .* one of: reference"):
        ops.project(*doubles, 8, backend="numba")
    with pytest.raises(BackendError, match="'numba' cannot run project_gather"):
        ops.project_gather(torch.zeros(1, 8, 8).double(), *doubles, backend="numba")


@pytest.mark.parametrize("b", [1, 2, 3])
def test_bits_do_not_depend_on_the_number_of_threads(b, restore_threads):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core: no second thread to compare with")
    inputs = [*random_set(1500, 33), *poses(b)]
    results = []
    for n in (1, 2):
        threads.configure(n)
        images = ops.project(*inputs, 33, backend="numba")
        results.append((images, *ops.project_gather(images, *inputs, backend="numba")))
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


def test_calls_from_several_python_threads():
    inputs = [*random_set(200, 24), *poses(2)]
    expected = ops.project(*inputs, 24)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: ops.project(*inputs, 24), range(24)))
    assert all(torch.equal(i, expected) for i in images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centres": torch.zeros(3, 2)}, r"project: centres has shape \(3, 2\); expected \(3, 3\)"),
        ({"masses": torch.ones(3, 1)}, r"project: masses has shape \(3, 1\); expected \(3,\)"),
        ({"rotations": torch.eye(3)}, r"project: rotations has shape \(3, 3\); expected \(3, 3, 3\)"),
        ({"rotations": torch.zeros(2, 3, 2)}, r"project: rotations has shape \(2, 3, 2\); expected \(2, 3, 3\)"),
        ({"shifts": torch.zeros(3, 2)}, r"project: shifts has shape \(3, 2\); expected \(2, 2\) for 2 rotations"),
        ({"shifts": torch.zeros(2, 2).double()}, "project: shifts is torch.float64 on cpu; expected torch.float32"),
        ({"rotations": torch.eye(3).double().repeat(2, 1, 1)}, "project: rotations is torch.float64"),
        ({"size": 0}, "project: size is 0; expected at least 1"),
        ({"cut": 0.0}, "project: cut is 0.0; expected a positive number"),
    ],
)
def test_wrong_shapes_and_types(change, message):
    good = {**dict(zip(NAMES, [*random_set(3, 8), *poses(2)], strict=True)), "size": 8, "cut": 3.5}
    ops.project(**good)
    with pytest.raises(ValueError, match=message):
        ops.project(**{**good, **change})


def test_wrong_gradient():
    inputs = [*random_set(3, 8), *poses(2)]
    for shape in ((2, 8, 7), (3, 8, 8), (8, 8)):
        with pytest.raises(ValueError, match=r"grad_images has shape .*; expected \(2, size, size\) for 2 rotations"):
            ops.project_gather(torch.zeros(shape), *inputs)
    with pytest.raises(ValueError, match=r"grad_images is torch.float64 .* expected torch.float32"):
        ops.project_gather(torch.zeros(2, 8, 8).double(), *inputs)


def test_impossible_values_are_named():
    inputs = [*random_set(3, 8), *poses(3)]
    for which, value in ((0, float("nan")), (1, 0.0), (2, 0.0), (3, float("inf"))):
        changed = [a.clone() for a in inputs]
        changed[which][1:] = value
        with pytest.raises(NumericsError, match=r"project: 2 of 3 Gaussians .* the first is number 1: centre"):
            ops.project(*changed, 8)
    changed = [a.clone() for a in inputs]
    changed[5][1:, 0] = float("nan")
    with pytest.raises(NumericsError, match=r"project: 2 of 3 shifts are not finite; the first is number 1: \[nan"):
        ops.project(*changed, 8)
    parallel = torch.tensor([[1.0, 2.0, 0.0], [-2.0, -4.0, 0.0], [0.0, 0.0, 1.0]])
    for matrix in (parallel, torch.zeros(3, 3), torch.full((3, 3), torch.nan)):
        changed = [a.clone() for a in inputs]
        changed[4][2] = matrix
        with pytest.raises(NumericsError, match=r"project: 1 of 3 views are singular .* the first is number 2"):
            ops.project(*changed, 8)
