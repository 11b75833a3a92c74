"""Images that were changed on purpose: what stays and what is random."""

from dataclasses import replace

import numpy as np
import pytest

from gemmap.particles.altered import NoiseStack, PhaseRandomisedStack
from gemmap.particles.stack import ArrayStack
from gemmap.physics.ctf import CtfParameters
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import Atoms


def radii(box_px: int) -> np.ndarray:
    k = np.fft.fftfreq(box_px, 1.0 / box_px)
    return np.hypot(k[:, None], k[None, :])


@pytest.mark.parametrize("box_px", [16, 17])
def test_phases_are_random_beyond_the_limit_and_amplitudes_stay(box_px):
    images = np.random.default_rng(0).standard_normal((40, box_px, box_px)).astype(np.float32)
    limit = np.full(40, 5.0)
    found = PhaseRandomisedStack(ArrayStack(images), limit, np.arange(40), 3).read(np.arange(40))
    before, after = np.fft.fft2(images), np.fft.fft2(found)
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=1e-3, atol=1e-3)
    inside = radii(box_px) < 5.0
    np.testing.assert_allclose(after[:, inside], before[:, inside], atol=1e-3)
    beyond = radii(box_px) >= 5.0
    cosine = (after[:, beyond] * before[:, beyond].conj()).real.sum() / (np.abs(before[:, beyond]) ** 2).sum()
    assert abs(cosine) < 0.05


def test_phases_belong_to_the_particle_and_the_seed():
    images = np.random.default_rng(0).standard_normal((6, 16, 16)).astype(np.float32)
    limit, image_of = np.array([2.0, 2.0, 6.0, 2.0, 99.0, 2.0]), np.arange(6)
    stack = PhaseRandomisedStack(ArrayStack(images), limit, image_of, 3)
    assert (stack.n, stack.box_px) == (6, 16)
    np.testing.assert_array_equal(stack.read(np.array([3]))[0], stack.read(np.array([5, 3]))[1])
    np.testing.assert_allclose(stack.read(np.array([4]))[0], images[4], atol=1e-5)
    other = PhaseRandomisedStack(ArrayStack(images), np.full(6, 2.0), image_of, 4)
    assert not np.allclose(other.read(np.array([3])), stack.read(np.array([3])))


def test_copies_of_an_image_share_its_noise():
    """Rows made by symmetry expansion: independent noise in each would average out what one image's noise does."""
    images = np.random.default_rng(0).standard_normal((2, 16, 16)).astype(np.float32)[[0, 1, 0]]
    found = PhaseRandomisedStack(ArrayStack(images), np.full(3, 2.0), np.array([0, 1, 0]), 3).read(np.arange(3))
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.allclose(found[0], found[1])
    table = particles().select(np.array([4, 7, 4]))
    noise = NoiseStack(table, 32, np.full((1, 32), 50.0), np.zeros(3, int), 1).read(np.arange(3))
    np.testing.assert_array_equal(noise[0], noise[2])
    assert not np.allclose(noise[0], noise[1])


def particles(ctf_applied: str | None = None):
    rng = np.random.default_rng(2)
    atoms = Atoms(rng.normal(0.0, 8.0, (100, 3)), np.full(100, 6), np.full(100, 20.0), np.ones(100))
    table = simulate(atoms, SimulationConfig(box_px=32, pixel_size_a=4.0, n_particles=300, snr=0.5), workers=1).table
    optics = tuple(replace(group, ctf_applied=ctf_applied) for group in table.optics) if ctf_applied else table.optics
    return replace(table, optics=optics)


def test_noise_has_the_power_it_was_given():
    table = particles()
    shells = np.arange(32)
    power = np.stack([1000.0 * np.exp(-shells / 6.0) + 10.0, np.full(32, 77.0)])
    of = np.arange(300) % 2
    stack = NoiseStack(table, 32, power, of, 1)
    assert (stack.n, stack.box_px) == (300, 32)
    images = stack.read(np.arange(300))
    shell = np.floor(radii(32) + 0.5).astype(int)
    for which in (0, 1):
        measured = (np.abs(np.fft.fft2(images[of == which])) ** 2).mean(axis=0)
        for s in (1, 4, 9, 15):
            assert measured[shell == s].mean() == pytest.approx(power[which, s], rel=0.1)
    np.testing.assert_array_equal(stack.read(np.array([7]))[0], images[7])
    assert not np.array_equal(images[0], images[2])


def test_noise_of_multiplied_images_was_multiplied_too():
    table = particles("multiplied")
    power = np.full((1, 32), 50.0)
    ctf: CtfParameters = table.ctf
    assert ctf is not None
    images = NoiseStack(table, 32, power, np.zeros(300, int), 1).read(np.arange(300))
    plain = NoiseStack(particles(), 32, power, np.zeros(300, int), 1).read(np.arange(300))
    ratio = np.fft.rfft2(images) / np.fft.rfft2(plain)
    # By the formula of the CTF, at one frequency along x, without the package's polynomials.
    k = 5 / (32 * 4.0)
    wavelength = 12.2643 / np.sqrt(ctf.voltage_kv[0] * 1e3 + 0.97845e-6 * (ctf.voltage_kv[0] * 1e3) ** 2)
    for row in (0, 11, 200):
        angle = ctf.defocus_angle_rad[row]
        defocus = 0.5 * (ctf.defocus_u_a[row] + ctf.defocus_v_a[row])
        defocus += 0.5 * (ctf.defocus_u_a[row] - ctf.defocus_v_a[row]) * np.cos(2 * angle)
        chi = np.pi * wavelength * k**2 * (defocus - 0.5 * ctf.cs_mm[row] * 1e7 * wavelength**2 * k**2)
        w = ctf.amplitude_contrast[row]
        expected = np.sin(chi + np.arcsin(w))
        assert abs(abs(ratio[row, 0, 5]) - abs(expected)) < 0.02
