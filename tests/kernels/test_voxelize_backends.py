"""Choice of backend, threads, and messages for what cannot be computed."""

from concurrent.futures import ThreadPoolExecutor

import numba
import pytest
import torch
from test_voxelize import random_set

from gemmap.errors import BackendError, InputError, NumericsError
from gemmap.kernels import ops, registry, threads

CPU = torch.device("cpu")


@pytest.fixture
def restore_threads():
    before = torch.get_num_threads()
    yield
    threads.configure(None)
    torch.set_num_threads(before)


def test_auto_is_the_fastest_that_can():
    assert registry.choose("voxelize", CPU, torch.float32) == "numba"
    assert registry.choose("voxelize", CPU, torch.float64) == "reference"
    assert registry.choose("voxelize_gather", torch.device("cuda"), torch.float64) == "reference"
    assert registry.choose("voxelize_gather", torch.device("mps"), torch.float32) == "reference"


def test_auto_is_triton_on_an_nvidia_gpu(monkeypatch):
    for installed, expected in ((True, ("triton", "reference")), (None, ("reference",))):
        monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name, installed=installed: installed)
        assert registry.usable(torch.device("cuda", 1), torch.float32) == expected
        assert registry.usable(torch.device("cuda"), torch.float64) == ("reference",)
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert registry.usable(torch.device("cuda"), torch.float32) == ("reference",), "an AMD GPU"


def test_triton_on_the_cpu_only_where_it_is_interpreted(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert registry.usable(CPU, torch.float32) == ("numba", "reference", "triton")
    monkeypatch.delenv("TRITON_INTERPRET")
    assert registry.usable(CPU, torch.float32) == ("numba", "reference")


def test_a_backend_asked_for_by_name_is_used_or_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert registry.choose("voxelize", CPU, torch.float32, "reference") == "reference"
    with pytest.raises(BackendError, match=r"'triton' cannot run voxelize .* auto or one of: numba, reference"):
        ops.voxelize(*random_set(1, 8), 8, backend="triton")
    doubles = [a.double() for a in random_set(1, 8)]
    with pytest.raises(BackendError, match=r"'numba' cannot run voxelize on torch.float64 .* one of: reference"):
        ops.voxelize(*doubles, 8, backend="numba")
    with pytest.raises(BackendError, match="'numba' cannot run voxelize_gather"):
        ops.voxelize_gather(torch.zeros(8, 8, 8).double(), *doubles, backend="numba")


def test_numba_missing(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert registry.usable(CPU, torch.float32) == ("reference",)


def test_bits_do_not_depend_on_the_number_of_threads(restore_threads):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core: no second thread to compare with")
    gaussians = random_set(500, 32)
    results = []
    for n in (1, 2):
        assert threads.configure(n) == n
        assert numba.get_num_threads() == torch.get_num_threads() == n
        volume = ops.voxelize(*gaussians, 32, backend="numba")
        results.append((volume, *ops.voxelize_gather(volume, *gaussians, backend="numba")))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_numba_runs_on_the_workqueue():
    ops.voxelize(*random_set(1, 8), 8, backend="numba")
    assert numba.threading_layer() == "workqueue"


def test_calls_from_several_python_threads():
    gaussians = random_set(200, 24)
    expected = ops.voxelize(*gaussians, 24)
    with ThreadPoolExecutor(4) as pool:
        volumes = list(pool.map(lambda _: ops.voxelize(*gaussians, 24), range(24)))
    assert all(torch.equal(v, expected) for v in volumes)


@pytest.mark.parametrize("n", [0, -1, 100_000])
def test_impossible_number_of_threads(n):
    with pytest.raises(InputError, match=f"threads is {n}; this process may use 1 to"):
        threads.configure(n)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centres": torch.zeros(3, 2)}, r"centres has shape \(3, 2\); expected \(3, 3\)"),
        ({"quaternions": torch.ones(3, 3)}, r"quaternions has shape \(3, 3\); expected \(3, 4\)"),
        ({"masses": torch.ones(3, 1)}, r"masses has shape \(3, 1\); expected \(3,\)"),
        ({"scales": torch.ones(3, 3).double()}, "scales is torch.float64 on cpu"),
        ({"masses": torch.ones(3, dtype=torch.int64)}, "centres is torch.float32 on cpu"),
        ({"size": 0}, "size is 0; expected at least 1"),
        ({"cut": 0.0}, "cut is 0.0; expected a positive number"),
        ({"cut": float("nan")}, "cut is nan"),
    ],
)
def test_wrong_shapes_and_types(change, message):
    names = ("centres", "scales", "quaternions", "masses")
    good = {**dict(zip(names, random_set(3, 8), strict=True)), "size": 8, "cut": 3.5}
    ops.voxelize(**good)
    with pytest.raises(ValueError, match=message):
        ops.voxelize(**{**good, **change})


def test_wrong_gradient():
    gaussians = random_set(3, 8)
    with pytest.raises(ValueError, match=r"grad_volume has shape \(8, 8, 7\); expected a cube"):
        ops.voxelize_gather(torch.zeros(8, 8, 7), *gaussians)
    with pytest.raises(ValueError, match=r"grad_volume is torch.float64 .* expected torch.float32"):
        ops.voxelize_gather(torch.zeros(8, 8, 8).double(), *gaussians)


@pytest.mark.parametrize(
    ("which", "value"), [(0, float("nan")), (1, 0.0), (1, -1.0), (1, float("inf")), (2, 0.0), (3, float("inf"))]
)
def test_impossible_values_are_named(which, value):
    gaussians = random_set(3, 8)
    gaussians[which][1:] = value
    with pytest.raises(NumericsError, match=r"2 of 3 Gaussians .* the first is number 1: centre"):
        ops.voxelize(*gaussians, 8)
