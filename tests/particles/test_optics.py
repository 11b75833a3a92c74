"""Views, scales and shifts that a table gives, and a Gaussian under magnification in real and in Fourier space."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles_insert import random_rotations

from gemmap.errors import InputError
from gemmap.kernels import ops
from gemmap.particles.optics import image_model
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import MODE, Mode

MATRIX = (1.08, 0.05, -0.03, 0.94)


def table(groups, n=6, with_ctf=True):
    rng, one = np.random.default_rng(0), np.ones(n)
    ctf = CtfParameters(2e4 * one, 2e4 * one, one, 300 * one, 2.7 * one, 0.1 * one, 0 * one, 0 * one, one)
    return ParticleTable(
        random_rotations(n, rng), rng.normal(size=(n, 2)), ctf if with_ctf else None, rng.uniform(1, 2, n),
        np.arange(n) % len(groups), tuple(groups), np.ones(n, int), np.zeros(n, int), np.arange(n), ("a",), one,
        map_pixel_size_a=2.0,
    )  # fmt: skip


def test_plain_particles_are_seen_by_their_rotations():
    particles = table([OpticsGroup("a", 2.0), OpticsGroup("b", 2.0)])
    model = image_model(particles, 64.0)
    np.testing.assert_array_equal(model.views, particles.rotations)
    np.testing.assert_array_equal(model.scales, particles.scale)
    np.testing.assert_allclose(model.shifts, particles.shifts_a / 64.0)
    assert len(model) == 6


@pytest.mark.parametrize("pixel_size_a", [1.6, 2.0, 2.5])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_a_gaussian_in_real_and_in_fourier_space(pixel_size_a, backend):
    """In Å, written out: p is seen at M^T (A p)_xy; at k its transform has the phase -2 pi p . A^T (M k, 0)."""
    d, sigma_a = 40, 4.0
    particles = table([OpticsGroup("a", pixel_size_a, magnification=MATRIX)], 3)
    model, place_a = image_model(particles, d * 2.0), np.array([11.0, -7.0, 9.0])
    centre = torch.tensor(place_a / 2.0, dtype=torch.float32)[None]
    views, shifts = (torch.from_numpy(a).float() for a in (model.views, model.shifts * d))
    found = ops.project(
        centre, torch.full((1, 3), sigma_a / 2.0), torch.tensor([[1.0, 0, 0, 0]]), torch.ones(1), views, shifts, d, 6.0,
        backend,
    ).numpy()  # fmt: skip
    m, x = np.reshape(MATRIX, (2, 2)), (np.arange(d) - d // 2) * pixel_size_a
    ky, kx = np.fft.fftfreq(d, pixel_size_a)[:, None], np.fft.rfftfreq(d, pixel_size_a)
    for image, a, shift, scale, c in zip(
        found, particles.rotations, particles.shifts_a, particles.scale, model.scales, strict=True
    ):
        seen = m.T @ (a @ place_a)[:2] - shift
        # The density's line integral per Å^2, M^T making an ellipse of the circle; the mass in grey values of the map.
        inverse = np.linalg.inv(sigma_a**2 * m.T @ m)
        dx, dy = x - seen[0], x[:, None] - seen[1]
        square = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
        density = np.exp(-0.5 * square) * np.sqrt(np.linalg.det(inverse)) / (2 * np.pi)
        # Grey values of the map sum to the mass: over its pixels, not the image's.
        np.testing.assert_allclose(c * image, scale * density * 2.0**2, atol=1e-5)
        at_x, at_y = m[0, 0] * kx + m[0, 1] * ky, m[1, 0] * kx + m[1, 1] * ky
        phase = at_x * (a @ place_a)[0] + at_y * (a @ place_a)[1] - kx * shift[0] - ky * shift[1]
        wave = np.exp(-2 * np.pi**2 * sigma_a**2 * (at_x**2 + at_y**2) - 2j * np.pi * phase)
        transform = np.fft.rfft2(np.fft.ifftshift(c * image))
        np.testing.assert_allclose(transform, scale * (2.0 / pixel_size_a) ** 2 * wave, atol=2e-3)


def test_what_was_done_about_the_ctf():
    kinds = ("none", "phase-flip", "multiplied", "corrected")
    model = image_model(table([OpticsGroup(k, 2.0, ctf_applied=k) for k in kinds], 4), 64.0)
    expected = [Mode.IN_IMAGE, Mode.FLIPPED, Mode.MULTIPLIED, Mode.IN_IMAGE]
    np.testing.assert_array_equal(model.coefficients[:, MODE], expected)
    np.testing.assert_allclose(model.coefficients[3, :16], [-0.25] + 15 * [0])
    without = image_model(table([OpticsGroup(k, 2.0, ctf_applied=k) for k in kinds], 4, with_ctf=False), 64.0)
    np.testing.assert_array_equal(without.coefficients, np.tile(model.coefficients[3], (4, 1)))


def test_the_model_is_that_of_cropped_images():
    """Cut in Fourier space, pixels grow and the side stays: nothing changes."""
    groups = [OpticsGroup("a", 1.6, None, (0.0, 30.0), (0.0, 4.0), MATRIX)]
    cropped = [replace(groups[0], pixel_size_a=3.2)]
    before, after = image_model(table(groups), 64.0), image_model(replace(table(cropped), map_pixel_size_a=4.0), 64.0)
    for name in ("coefficients", "scales", "shifts", "views"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-12)


@pytest.mark.parametrize(
    "matrix", [(0.0, 0.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0, 2.0), (np.nan, 0, 0, 1)]
)
def test_a_matrix_that_is_no_magnification(matrix):
    with pytest.raises(InputError, match=r"magnification matrix of an optics group is .* expected one near the ident"):
        image_model(table([OpticsGroup("odd", 2.0, magnification=matrix)]), 64.0)


def test_no_particles():
    assert image_model(table([OpticsGroup("a", 2.0)], 0), 64.0).coefficients.shape == (0, 33)
