"""Diameters of clusters of blobs in noise: near the truth, never too small, and within bounds where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import PIXEL_SIZE_A, Phantom, particles, phantom

from gemmap.fit.diameter import LARGEST, SMALLEST, estimate_diameter_px
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ArrayStack


def holding(density, share=0.995):
    """Diameter of the sphere that holds this share of a density of round Gaussians, by random points."""
    rng = np.random.default_rng(0)
    which = rng.choice(len(density.masses), 20000, p=density.masses / density.masses.sum())
    points = density.centres[which] + density.sigma * rng.normal(size=(20000, 3))
    return 2 * np.quantile(np.linalg.norm(points, axis=1), share)


def estimate(density, box, noise, n=600, seed=0):
    table, images = particles(density, n, box, noise=noise, seed=seed)
    return estimate_diameter_px(table, ArrayStack(images), np.arange(n), DeadImages(n))


@pytest.mark.parametrize(("box", "radius"), [(40, 9.0), (48, 16.0), (63, 16.0), (96, 34.0)])
def test_near_the_truth_in_noise(box, radius):
    """It may be generous by a pixel of the small maps and its margin, but must not cut the particle."""
    density = phantom(radius, 150, sigma=1.2)
    found = estimate(density, box, noise=2.0)
    assert found is not None
    assert 0.98 < found / holding(density) < 1.18


def test_a_long_particle_fits():
    axis = np.linspace(-18, 18, 60)
    rod = Phantom(np.stack([0 * axis, 0.3 * axis, axis], axis=1), np.full(60, 10.0), 1.5)
    found = estimate(rod, 64, noise=2.0)
    assert found is not None
    assert 0.95 < found / holding(rod) < 1.25


def test_the_unit_of_the_images_does_not_matter():
    density = phantom(10, 100)
    table, images = particles(density, 300, 40, noise=3.0)
    found = [
        estimate_diameter_px(table, ArrayStack(images * np.float32(grey)), np.arange(300), DeadImages(300))
        for grey in (1e-4, 1, 1e4)
    ]
    assert found[0] == found[1] == found[2]


def test_images_that_were_treated_differently_are_weighed_by_their_own_noise():
    """Half of the images are nearly noise alone: weighed like the others they would hide the particle."""
    density = phantom(10, 100)
    table, images = particles(density, 600, 40, noise=1.0, n_groups=2)
    # The two maps are of odd and of even particles.
    table = replace(table, optics_group=np.arange(600) // 2 % 2)
    noise = np.random.default_rng(2).normal(size=images.shape).astype(np.float32)
    images += 100 * noise * table.optics_group.astype(np.float32)[:, None, None]
    treated = replace(table, optics=(table.optics[0], replace(table.optics[1], ctf_applied="corrected")))
    found = [estimate_diameter_px(t, ArrayStack(images), np.arange(600), DeadImages(600)) for t in (treated, table)]
    assert found[1] is None
    assert found[0] is not None
    assert 0.98 < found[0] / holding(density) < 1.18


def test_a_dot_and_a_full_box_stay_within_bounds():
    dot = Phantom(np.zeros((1, 3)), np.array([300.0]), 1.0)
    found = estimate(dot, 60, noise=2.0)
    assert found is not None
    assert SMALLEST * 60 <= found < 0.4 * 60
    full = phantom(19, 600, sigma=1.5)
    found = estimate(full, 40, noise=1.0)
    assert found is not None
    assert 0.8 * 40 < found <= LARGEST * 40


def test_noise_alone_has_no_diameter():
    table, _ = particles(phantom(5, 5), 300, 40, noise=1.0)
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(size=(300, 40, 40)).astype(np.float32)
        assert estimate_diameter_px(table, ArrayStack(noise), np.arange(300), DeadImages(300)) is None


def test_only_the_given_particles_are_read():
    table, images = particles(phantom(10, 100), 300, 40, noise=3.0)
    spoilt = images.copy()
    spoilt[1::2] = np.nan
    rows = np.arange(0, 300, 2)
    assert estimate_diameter_px(table, ArrayStack(spoilt), rows, DeadImages(300)) == estimate_diameter_px(
        table, ArrayStack(images), rows, DeadImages(300)
    )
    assert table.pixel_size_a == PIXEL_SIZE_A
