"""How the slice kernels are called: backends, threads, types of input, and messages for what does not fit."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import torch
from test_slices import Case, empty_volume, inserted

from gemmap.errors import BackendError, NumericsError
from gemmap.kernels import registry, slices, threads


@pytest.fixture
def restore_threads():
    before = torch.get_num_threads()
    yield
    threads.configure(None)
    torch.set_num_threads(before)


def arguments(case, **changes):
    of_model = {name: changes.pop(name) for name in ("coefficients", "shifts", "scales") if name in changes}
    known = {"images": case.images, "group": case.group, "inverse_noise": case.inverse_noise}
    return {**known, "model": dataclasses.replace(case.model(), **of_model), **changes}


def test_auto_is_numba_where_it_can(monkeypatch):
    asked = []
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda kernel, name: asked.append((kernel, name)) or load(kernel, name))
    case = Case(1, 16)
    inserted(case, 24, "auto")
    assert asked == [("prepare_slices", "numba"), ("insert_slices", "numba"), ("complete_plane", "numba")]
    asked.clear()
    inserted(case, 24, "auto", np.float64)
    assert asked == [("prepare_slices", "numba"), ("insert_slices", "reference"), ("complete_plane", "reference")]


def test_a_backend_asked_for_by_name_is_used_or_refused(monkeypatch):
    case = Case(1, 16)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(BackendError, match=r"'triton' cannot run prepare_slices .* auto or one of: numba, reference"):
        case.prepare("triton")
    with pytest.raises(BackendError, match=r"'numba' cannot run insert_slices on torch.float64 .* one of: reference"):
        slices.insert(case.prepare(), case.rotations, empty_volume(24, np.float64), "numba")
    with pytest.raises(BackendError, match=r"'numba' cannot run complete_plane on torch.float64"):
        slices.complete_plane(empty_volume(24, np.float64), "numba")
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"'numba' cannot run prepare_slices .* one of: reference"):
        case.prepare("numba")


def test_bits_do_not_depend_on_the_number_of_threads(restore_threads):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core: no second thread to compare with")
    case = Case(9, 30)
    results = []
    for n in (1, 2):
        threads.configure(n)
        results.append((case.prepare("numba"), inserted(case, 46, "numba")))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    assert numba.threading_layer() == "workqueue"


def test_calls_from_several_python_threads():
    case = Case(5, 16)
    expected = inserted(case, 24, "numba")
    with ThreadPoolExecutor(4) as pool:
        volumes = list(pool.map(lambda _: inserted(case, 24, "numba"), range(16)))
    assert all(np.array_equal(v, expected) for v in volumes)


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_any_layout_and_type_of_input(backend):
    """Memory maps are read-only, STAR columns may be strided or integers: the result is the same."""
    case = Case(4, 16)
    case.images = np.rint(3 * case.images)
    case.scales = np.ones(4)
    expected, volume = case.prepare(backend), inserted(case, 24, backend)
    strided = np.repeat(case.model().shifts, 2, axis=0)[::2]
    read_only = case.inverse_noise.copy()
    read_only.flags.writeable = False
    changed = arguments(
        case,
        images=case.images.astype(np.int16),
        shifts=strided,
        scales=np.broadcast_to(np.int64(1), 4),
        group=case.group.astype(np.uint8),
        inverse_noise=read_only,
    )
    got = slices.prepare(**changed, backend=backend)
    np.testing.assert_array_equal(got, expected)
    got.flags.writeable = False
    rotations = np.asfortranarray(case.rotations)
    rotations.flags.writeable = False
    again = empty_volume(24)
    slices.insert(got, rotations, again, backend)
    slices.complete_plane(again, backend)
    np.testing.assert_array_equal(again, volume)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": np.zeros((3, 16, 15))}, ValueError, r"images have shape \(3, 16, 15\); expected \(b, d, d\)"),
        (
            {"coefficients": np.zeros((2, 33))},
            ValueError,
            r"coefficients has shape \(2, 33\); expected \(3, 33\)",
        ),
        ({"shifts": np.zeros((3, 3))}, ValueError, r"shifts has shape \(3, 3\); expected \(3, 2\)"),
        ({"scales": np.ones((3, 1))}, ValueError, r"scales has shape \(3, 1\); expected \(3,\)"),
        ({"group": np.zeros(1, int)}, ValueError, r"group has shape \(1,\); expected \(3,\)"),
        (
            {"group": np.array([0, 3, 1])},
            ValueError,
            r"groups 0 to 3 are named; expected 0 to 2, one per row of inverse",
        ),
        ({"group": np.array([0, -1, 1])}, ValueError, r"groups -1 to 1 are named"),
        (
            {"inverse_noise": np.ones((3, 8))},
            ValueError,
            r"shape \(3, 8\); expected \(groups, shells\) with at least 9",
        ),
        ({"inverse_noise": np.ones(16)}, ValueError, r"inverse_noise has shape \(16,\)"),
        ({"inverse_noise": np.full((3, 9), -1.0)}, NumericsError, r"negative or not finite; expected 1/sigma\^2 >= 0"),
        ({"inverse_noise": np.full((3, 9), np.inf)}, NumericsError, "negative or not finite"),
        ({"inverse_noise": np.full((3, 9), np.nan)}, NumericsError, "negative or not finite"),
        ({"shifts": np.full((3, 2), np.nan)}, NumericsError, "a CTF, shift or scale is not finite"),
        ({"scales": np.array([1, np.inf, 1])}, NumericsError, "a CTF, shift or scale is not finite"),
        ({"coefficients": np.full((3, 33), np.nan)}, NumericsError, "a CTF, shift or scale is not finite"),
    ],
)
def test_what_cannot_be_prepared(change, error, message):
    case = Case(3, 16)
    slices.prepare(**arguments(case))
    with pytest.raises(error, match=message):
        slices.prepare(**arguments(case, **change))


def test_what_cannot_be_inserted():
    case = Case(2, 16)
    prepared = case.prepare()
    with pytest.raises(ValueError, match=r"slices and views have shapes \(2, 16, 9, 3\) and \(1, 3, 3\); expected"):
        slices.insert(prepared, case.rotations[:1], empty_volume(24))
    with pytest.raises(ValueError, match=r"expected \(2, 15, 8, 3\)"):
        slices.insert(prepared[:, :15], case.rotations, empty_volume(24))
    with pytest.raises(ValueError, match="the volume has side 12; expected at least the slices' 16"):
        slices.insert(prepared, case.rotations, empty_volume(12))
    singular = case.rotations.copy()
    singular[1, 1] = 2 * singular[1, 0]
    with pytest.raises(NumericsError, match=r"insert: 1 of 2 views are singular or not finite; the first is number 1"):
        slices.insert(prepared, singular, empty_volume(24))
    with pytest.raises(NumericsError, match="insert: 2 of 2 views are singular or not finite"):
        slices.insert(prepared, np.nan * case.rotations, empty_volume(24))
    for backend in ("numba", "reference"):
        with pytest.raises(ValueError, match=r"expected \(24, 24, 13, 3\) in float32 or float64"):
            slices.insert(prepared, case.rotations, np.zeros((24, 24, 24, 3), np.float32), backend)
        with pytest.raises(ValueError, match="type float16; expected"):
            slices.complete_plane(empty_volume(24, np.float16), backend)
        with pytest.raises(ValueError, match="filled in place: expected a writable array in C order"):
            slices.complete_plane(np.asfortranarray(empty_volume(24)), backend)
        read_only = empty_volume(24)
        read_only.flags.writeable = False
        with pytest.raises(ValueError, match="filled in place"):
            slices.insert(prepared, case.rotations, read_only, backend)
