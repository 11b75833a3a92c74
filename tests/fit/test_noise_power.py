"""Noise of optics groups: by group, in the pixels of the images, and before the CTF was multiplied in."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import table_of
from scipy.spatial.transform import Rotation

from gemmap.fit.noise_power import inverse_noise, noise_power, noise_power_of_groups
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters, ctf_half_plane

BOX, N, PIXEL_SIZE_A = 64, 300, 2.5
RNG = np.random.default_rng(0)


def ctfs(n: int) -> CtfParameters:
    one = np.ones(n)
    return CtfParameters(
        RNG.uniform(8e3, 2e4, n), RNG.uniform(8e3, 2e4, n), one, 300 * one, 2.7 * one, 0.1 * one, 0 * one, 0 * one, one
    )


def table(groups: int = 1) -> ParticleTable:
    shifts = np.zeros((N, 2))
    return replace(table_of(Rotation.random(N, random_state=1).as_matrix(), shifts, BOX, groups), ctf=ctfs(N))


def test_multiplied_images_have_the_noise_of_before() -> None:
    white = RNG.normal(size=(N, BOX, BOX))
    particles = table()
    assert particles.ctf is not None
    ctf = ctf_half_plane(particles.ctf, BOX, PIXEL_SIZE_A).numpy()
    images = np.fft.irfft2(np.fft.rfft2(white) * ctf, s=(BOX, BOX))
    multiplied = replace(particles, optics=(replace(particles.optics[0], ctf_applied="multiplied"),))
    found = noise_power(images, multiplied, BOX * PIXEL_SIZE_A, 10.0)[6 : BOX // 2]
    np.testing.assert_allclose(found, BOX**2, rtol=0.15)
    assert noise_power(images, particles, BOX * PIXEL_SIZE_A, 10.0)[6 : BOX // 2].max() < 0.9 * BOX**2
    plain = noise_power(white, particles, BOX * PIXEL_SIZE_A, 10.0)[6 : BOX // 2]
    np.testing.assert_allclose(plain, BOX**2, rtol=0.05)


def test_groups_have_their_own_noise_outside_of_their_own_circle() -> None:
    """A bright disc of the particle's radius, 20 voxels of the map: 25 pixels where these are smaller."""
    particles = table(2)
    particles = replace(
        particles, optics=(particles.optics[0], OpticsGroup("fine", 0.8 * PIXEL_SIZE_A)), map_pixel_size_a=PIXEL_SIZE_A
    )
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    images = RNG.normal(size=(N, BOX, BOX)) * np.array([1.0, 3.0])[particles.optics_group][:, None, None]
    radius = np.array([20.0, 25.0])[particles.optics_group][:, None, None]
    images += 10 * (np.hypot(x, y) < radius)
    found = noise_power_of_groups(particles, ArrayStack(images.astype(np.float32)), np.arange(N), 20.0, DeadImages(N))
    np.testing.assert_allclose(found[0, 3:32], BOX**2, rtol=0.2)
    np.testing.assert_allclose(found[1, 3:32], 9 * BOX**2, rtol=0.2)
    one = noise_power_of_groups(
        particles, ArrayStack(images.astype(np.float32)), np.arange(0, N, 2), 20.0, DeadImages(N)
    )
    np.testing.assert_array_equal(one[1], one[0])


def test_weights_are_nothing_where_there_are_no_data() -> None:
    groups = (OpticsGroup("full", 2.0), OpticsGroup("padded", 2.0, first_empty_shell=5))
    power = np.full((2, 8), 4.0)
    found = inverse_noise(groups, power)
    np.testing.assert_array_equal(found[0], 0.25)
    np.testing.assert_array_equal(found[1], [0.25] * 5 + [0.0] * 3)
    np.testing.assert_array_equal(power, 4.0)


@pytest.mark.parametrize("applied", ["none", "multiplied"])
def test_the_spectrum_is_positive_in_every_shell(applied: str) -> None:
    particles = table()
    particles = replace(particles, optics=(replace(particles.optics[0], ctf_applied=applied),))
    found = noise_power(RNG.normal(size=(N, BOX, BOX)), particles, BOX * PIXEL_SIZE_A, 10.0)
    assert found.shape == (BOX,)
    assert np.isfinite(found).all()
    assert (found > 0).all()
