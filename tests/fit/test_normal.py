"""The normal equations against direct sums over every image's Fourier coefficients."""

import numpy as np
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, aggregate_of, particles, phantom

from gemmap.errors import NumericsError
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.normal import MARGIN_PX, NormalEquations, working_size
from gemmap.validate.masks import spherical_mask

CPU = torch.device("cpu")
BOX, SIZE, NOISE, N = 20, 14, 2.0, 60
DENSITY = phantom(4, 12)
TABLE, IMAGES = particles(DENSITY, N, BOX, noise=NOISE)


@pytest.fixture(scope="module")
def equations():
    return NormalEquations.build(aggregate_of(TABLE, IMAGES, NOISE), SIZE, CPU)


def direct(volume):
    """K V and b in grey values, summed over every image's coefficients within the radius that the grid can hold."""
    n = len(volume)
    x, u = np.arange(n) - n // 2, np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(x, x, x, indexing="ij")
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    k = np.arange(-(BOX // 2), BOX // 2 + 1)
    kx, ky = (q.ravel() for q in np.meshgrid(k, k))
    inside = np.hypot(kx, ky) <= BOX / 2 - BOX / 30
    kx, ky = kx[inside], ky[inside]
    image_x, image_y = (np.exp(-2j * np.pi * np.outer(k, u) / BOX) for k in (kx, ky))
    kv, b = np.zeros(n**3), np.zeros(n**3)
    for rotation, shift, image in zip(TABLE.rotations, TABLE.shifts_a / PIXEL_SIZE_A, IMAGES, strict=True):
        seen = points @ rotation.T
        wave = np.exp(2j * np.pi * (seen[:, :1] * kx + seen[:, 1:2] * ky) / BOX)
        observed = np.einsum("ky,kx,yx->k", image_y, image_x, image, optimize=True)
        centred = observed * np.exp(-2j * np.pi * (kx * shift[0] + ky * shift[1]) / BOX)
        kv += (wave @ (wave.conj().T @ volume.ravel())).real
        b += (wave @ centred).real
    return kv.reshape(volume.shape) / (NOISE * BOX) ** 2, b.reshape(volume.shape) / (NOISE * BOX) ** 2


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("name", ["smooth but misplaced", "white"])
def test_kernel_and_data_are_the_sums_over_images(equations, name):
    """The measured gridding error, in a sphere of a third of the box: 2 to 8 %."""
    inside = spherical_mask(SIZE, 3.5, 0.0) > 0
    white = np.random.default_rng(1).normal(size=(SIZE,) * 3) * inside
    volume = white if name == "white" else np.roll(DENSITY.volume(SIZE), 2, axis=0)
    kv, b = direct(volume)
    scaled = torch.from_numpy(volume.astype(np.float32)) / equations.unit
    gradient, loss = equations.gradient(scaled)
    for found, expected in ((equations.apply(scaled), kv), (equations.data, b), (gradient, kv - b)):
        assert distance(found.numpy()[inside] / equations.unit, expected[inside]) < 0.12
    terms = 0.5 * np.sum(volume * kv), np.sum(volume * b)
    assert loss == pytest.approx(terms[0] - terms[1], abs=0.1 * (abs(terms[0]) + abs(terms[1])))


def test_the_mean_of_the_images_is_a_constant_of_the_volume():
    """Only the coefficient k = 0 has a weight: K V is then the same everywhere, and so is b."""
    accumulator = Accumulator(BOX, PIXEL_SIZE_A)
    inverse_noise = np.zeros((1, BOX))
    inverse_noise[0, 0] = 1.0
    accumulator.add(IMAGES, TABLE, inverse_noise, TABLE.optics_group)
    only_mean = NormalEquations.build(accumulator.finish(), SIZE, CPU)
    volume = torch.rand((SIZE,) * 3, generator=torch.Generator().manual_seed(0))
    for constant in (only_mean.apply(volume), only_mean.data):
        np.testing.assert_allclose(constant.numpy(), float(constant.mean()), rtol=1e-3)
    assert float(only_mean.apply(volume).mean()) == pytest.approx(float(volume.sum()), rel=1e-3)


def test_the_kernel_is_symmetric_and_not_negative(equations):
    assert float(equations.kernel.min()) >= 0
    rng = np.random.default_rng(2)
    for _ in range(10):
        a, b = (torch.from_numpy(rng.normal(size=(SIZE,) * 3).astype(np.float32)) for _ in range(2))
        ka, kb = equations.apply(a), equations.apply(b)
        assert float((a * ka).sum()) >= 0
        scale = float((a * ka).sum() * (b * kb).sum()) ** 0.5
        assert float((a * kb).sum() - (b * ka).sum()) == pytest.approx(0, abs=1e-4 * scale)


def test_the_gradient_leaves_its_input_alone(equations):
    volume = torch.ones((SIZE,) * 3)
    first, second = equations.gradient(volume), equations.gradient(volume)
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    assert torch.equal(volume, torch.ones((SIZE,) * 3))


@pytest.mark.parametrize("grey", [1e-4, 1.0, 1e4])
def test_data_of_white_noise_have_unit_variance_in_any_unit(grey):
    table, _ = particles(DENSITY, 300, 24, noise=1.0)
    noise = np.random.default_rng(0).normal(size=(300, 24, 24)).astype(np.float32) * np.float32(grey)
    built = NormalEquations.build(aggregate_of(table, noise, grey), 16, CPU)
    assert float(built.data.std()) == pytest.approx(1.0, abs=0.06)
    assert float(built.kernel.mean()) == pytest.approx(1.0, abs=0.05)


def test_no_information_is_an_error():
    empty = Accumulator(BOX, PIXEL_SIZE_A).finish()
    with pytest.raises(NumericsError, match="carry no information: all their weights are zero; check CTFs and poses"):
        NormalEquations.build(empty, SIZE, CPU)


@pytest.mark.parametrize("radius", [0.5, 10.0, 10.1])
def test_working_size_holds_the_sphere_and_its_margin(radius):
    size = working_size(64, radius)
    assert size % 2 == 0
    assert size // 2 >= radius + MARGIN_PX > size // 2 - 1


@pytest.mark.parametrize("box", [1, 32, 33])
def test_the_working_cube_is_at_most_the_box(box):
    assert working_size(box, 0.6 * box) == box
