"""Sums on a device against those of numpy arrays; what happens where its memory is short."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, particles, phantom

from gemmap.errors import InputError
from gemmap.fit import aggregate_on_device, one_pass
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.aggregate_on_device import DeviceAccumulator
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.pieces import accumulator_from_piece, accumulator_to_piece
from gemmap.fit.progress import Silent
from gemmap.fit.uploads import Uploads
from gemmap.geometry.symmetry import point_group
from gemmap.particles.dead_images import DeadImages

BOX = 16
CPU = torch.device("cpu")
ON_A_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICES = ("cpu", pytest.param("cuda", marks=ON_A_GPU))
SHORT = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.fixture(scope="module")
def inputs():
    table, images = particles(phantom(4.0), 7, BOX, noise=0.5, n_groups=2)
    noise = np.random.default_rng(0).uniform(0.5, 2.0, (len(table.optics), BOX))
    return table, images, noise


def filled(accumulator, inputs, rows=slice(None)) -> Accumulator:
    table, images, noise = inputs
    chosen = np.arange(len(table))[rows]
    accumulator.add(images[chosen], table.select(chosen), noise, table.optics_group[chosen])
    return accumulator


def assert_same(got: Aggregate, expected: Aggregate) -> None:
    assert (got.n_particles, got.symmetry, got.box_px) == (expected.n_particles, expected.symmetry, expected.box_px)
    for a, e in ((got.numerator, expected.numerator), (got.weight, expected.weight)):
        assert a.dtype == e.dtype
        assert np.linalg.norm(a - e) < 1e-6 * np.linalg.norm(e)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("symmetry", ["C1", "D2", "C3"])
def test_is_the_aggregate_of_arrays(symmetry, device, inputs):
    group = point_group(symmetry)
    backend = {} if device == "cuda" else {"backend": "reference"}
    accumulator = DeviceAccumulator(BOX, PIXEL_SIZE_A, group, device=torch.device(device), **backend)
    for rows in (slice(0, 3), slice(3, 3), slice(3, None)):
        filled(accumulator, inputs, rows)
    assert_same(accumulator.finish(), filled(Accumulator(BOX, PIXEL_SIZE_A, group), inputs).finish())


@pytest.mark.parametrize("kind", ["arrays", "device"])
def test_another_process_goes_on_from_the_sums(kind, inputs):
    def new():
        if kind == "arrays":
            return Accumulator(BOX, PIXEL_SIZE_A)
        return DeviceAccumulator(BOX, PIXEL_SIZE_A, device=CPU, backend="reference")

    first, second = filled(new(), inputs, slice(0, 4)), new()
    assert accumulator_from_piece(accumulator_to_piece(first, 4), second) == 4
    filled(first, inputs, slice(4, None))
    filled(second, inputs, slice(4, None))
    a, b = first.finish(), second.finish()
    np.testing.assert_array_equal(a.numerator, b.numerator)
    np.testing.assert_array_equal(a.weight, b.weight)
    assert a.n_particles == b.n_particles == 7


def test_smaller_batches_where_memory_is_short(monkeypatch, inputs):
    prepare, sizes, said = aggregate_on_device.slices.prepare, [], []

    def short(images, *others):
        sizes.append(len(images))
        if len(images) > 2:
            raise SHORT
        return prepare(images, *others)

    monkeypatch.setattr(aggregate_on_device.slices, "prepare", short)
    accumulator = DeviceAccumulator(BOX, PIXEL_SIZE_A, device=CPU, say=said.append, backend="reference")
    assert_same(filled(accumulator, inputs).finish(), filled(Accumulator(BOX, PIXEL_SIZE_A), inputs).finish())
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert said == [f"the memory of cpu is short: images are inserted {n} at a time" for n in (3, 1)]


def test_batches_of_a_plan_get_smaller_where_it_was_wrong(monkeypatch, inputs):
    """The plan allows four at a time; from the second batch on there is room for one."""
    prepare, sizes, said = aggregate_on_device.slices.prepare, [], []

    def short(images, *others):
        sizes.append(len(images))
        if len(sizes) > 1 and len(images) > 1:
            raise SHORT
        return prepare(images, *others)

    monkeypatch.setattr(aggregate_on_device.slices, "prepare", short)
    accumulator = DeviceAccumulator(BOX, PIXEL_SIZE_A, device=CPU, most=4, say=said.append, backend="reference")
    assert_same(filled(accumulator, inputs).finish(), filled(Accumulator(BOX, PIXEL_SIZE_A), inputs).finish())
    assert sizes == [4, 3, 1, 1, 1]
    assert said == ["the memory of cpu is short: images are inserted 1 at a time"]


def test_memory_too_short_for_one_image_or_for_the_sums(monkeypatch, inputs):
    def short(*_, **__):
        raise SHORT

    accumulator = DeviceAccumulator(BOX, PIXEL_SIZE_A, device=CPU, backend="reference")
    monkeypatch.setattr(aggregate_on_device.slices, "prepare", short)
    with pytest.raises(
        InputError, match="The memory of cpu is too small for one image of a box of 16 px; give --device"
    ):
        filled(accumulator, inputs)
    monkeypatch.setattr(aggregate_on_device.torch, "zeros", short)
    with pytest.raises(InputError, match=r"too small for the Fourier grid of 24\^3 points of a box of 16 px"):
        DeviceAccumulator(BOX, PIXEL_SIZE_A, device=CPU)


@dataclass
class Stack:
    images: np.ndarray
    box_px: int = BOX

    def read(self, rows):
        return self.images[rows]


@pytest.mark.parametrize("device", ["a stand-in", pytest.param("cuda", marks=ON_A_GPU)])
def test_the_pass_with_its_sums_on_the_device(device, monkeypatch, inputs):
    table, images, noise = inputs
    asked, said = [], Silent()

    def stand_in(*arguments, device, most, say):
        asked.append((device, most))
        return DeviceAccumulator(*arguments, device=CPU, most=most, say=say, backend="reference")

    if device != "cuda":
        monkeypatch.setattr(one_pass, "DeviceAccumulator", stand_in)
    split, expected = (
        one_pass.aggregate_half(
            table, Stack(images), np.arange(len(table)), noise, 1, DeadImages(len(table)), said,
            RunState(Forgetful(), said), chunk_bytes=3 * 4 * BOX**2, device=where, device_images=2,
        )
        for where in ("cuda", "cpu")
    )  # fmt: skip
    assert set(asked) <= {(torch.device("cuda"), 2)}
    assert bool(asked) == (device != "cuda")
    assert_same(split.total(), expected.total())


@pytest.mark.parametrize("device", DEVICES)
def test_uploads_in_order(device):
    """More than there are buffers, of different sizes, other types and layouts; each is what was sent."""
    uploads = Uploads(torch.device(device))
    arrays = [np.full((n, 3, 3), n, np.float32) for n in (4, 1, 7, 0, 5)]
    arrays += [np.arange(6.0).reshape(2, 3).T, np.ones((2, 2), np.int16)]
    sent = [uploads.send(a) for a in arrays]
    for tensor, array in zip(sent, arrays, strict=True):
        assert tensor.dtype == torch.float32
        assert tensor.device.type == device
        np.testing.assert_array_equal(tensor.cpu().numpy(), array)
