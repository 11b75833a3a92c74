"""The sphere, its working cube, and the envelope of the particle in it."""

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, phantom

from gemmap.errors import InputError
from gemmap.fit.region import EDGE_PX, Region, to_box, to_cube

CPU = torch.device("cpu")


def distance(box):
    x = np.arange(box) - box // 2
    return np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)


@pytest.mark.parametrize("box", [48, 49])
def test_a_soft_sphere_that_the_cube_holds(box):
    region = Region.build(box, 10.0, None)
    assert (region.window[distance(box) <= 10.0] == 1.0).all()
    assert not region.window[distance(box) >= 10.0 + EDGE_PX].any()
    assert region.size < box
    cube = region.on(CPU)
    assert cube.shape == (region.size,) * 3
    assert float(cube.double().sum()) == pytest.approx(region.window.sum(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize(("box", "size"), [(21, 12), (20, 13), (16, 16), (15, 15)])
def test_cube_and_box_have_one_centre(box, size):
    volume = np.zeros((box,) * 3, np.float32)
    volume[box // 2, box // 2 + 1, box // 2 - 2] = 3.0
    cube = to_cube(volume, size, CPU)
    assert float(cube[size // 2, size // 2 + 1, size // 2 - 2]) == 3.0
    back = to_box(cube, box, 2.0)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, 2.0 * volume)


def test_a_mask_narrows_the_sphere():
    mask = np.zeros((32,) * 3, np.float32)
    mask[:, :, 16:] = 0.5
    plain, narrowed = Region.build(32, 8.0, None), Region.build(32, 8.0, mask)
    np.testing.assert_allclose(narrowed.window, plain.window * mask)
    assert narrowed.size == plain.size


def test_a_mask_without_anything_in_the_sphere_is_refused():
    mask = np.zeros((32,) * 3, np.float32)
    mask[:3] = 1.0
    with pytest.raises(InputError, match="The mask is empty inside the particle sphere: check its position and --part"):
        Region.build(32, 6.0, mask)


def test_the_envelope_holds_the_particle_and_little_else():
    """A particle of 8 voxels radius, beside the centre of a sphere of 20."""
    box = 64
    density = phantom(8, 60, sigma=1.5)
    density.centres[:, 0] += 5.0
    truth = density.volume(box).astype(np.float32)
    noise = 0.1 * truth.max() * np.random.default_rng(0).normal(size=truth.shape)
    region = Region.build(box, 20.0, None)
    envelope = region.envelope((truth + noise).astype(np.float32), PIXEL_SIZE_A)
    assert envelope.shape == truth.shape
    assert (envelope * truth).sum() > 0.97 * truth.sum()
    assert envelope.mean() < 0.5 * region.window.mean()
    assert (envelope <= region.window + 1e-6).all()
    assert envelope.min() >= 0


def test_without_a_particle_the_envelope_is_the_window():
    region = Region.build(24, 8.0, None)
    np.testing.assert_array_equal(region.envelope(np.zeros((24,) * 3, np.float32), PIXEL_SIZE_A), region.window)
