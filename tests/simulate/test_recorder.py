"""Simulated images under every condition, by direct sums over the truth map and definitions written out anew."""

import dataclasses

import numpy as np
import optics_cases as cases
import pytest

from gemmap.particles.table import OpticsGroup
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import Simulation, simulate
from gemmap.simulate.structure import Atoms

BOX, PIXEL_SIZE_A = 32, 2.5
GROUPS = (
    OpticsGroup("all", 2.5, None, cases.ODD[:6], cases.EVEN, cases.MAGNIFICATION),
    OpticsGroup("flipped", 2.2, None, (), cases.EVEN, (1.0, 0.0, 0.0, 1.0), "phase-flip"),
    OpticsGroup("multiplied", 2.8, None, cases.ODD[:6], (), cases.MAGNIFICATION, "multiplied"),
    OpticsGroup("corrected", 2.5, ctf_applied="corrected"),
)


def run(atoms: Atoms, groups: tuple[OpticsGroup, ...], **options: object) -> Simulation:
    base = {"box_px": BOX, "pixel_size_a": PIXEL_SIZE_A, "n_particles": 8, "max_shift_a": 4.0, "blur_a2": 150.0}
    return simulate(atoms, SimulationConfig(**base | {"scale_spread": 0.3, "optics": groups} | options), workers=1)


def test_signals_by_direct_sums(cluster: Atoms) -> None:
    s = run(cluster, GROUPS)
    x = (np.arange(BOX) - BOX // 2) * PIXEL_SIZE_A
    ky, kx = (k.ravel() for k in np.meshgrid(np.arange(-12, 13), np.arange(13), indexing="ij"))
    k = np.stack([kx, ky], 1)[np.hypot(kx, ky) < 0.4 * BOX]
    found = np.fft.rfft2(np.fft.ifftshift(s.stack.signal(np.arange(8)), axes=(1, 2)))
    np.testing.assert_array_equal(s.table.optics_group, np.arange(8) % 4)
    assert s.table.pixel_size_a == PIXEL_SIZE_A
    for i in range(8):
        group = GROUPS[i % 4]
        optics, side_a = {"magnification": group.magnification}, BOX * group.pixel_size_a
        at = cases.at(k, BOX, group.pixel_size_a, group.magnification)
        in_space = np.vstack([at, 0 * at[:1]]).T @ s.true_table.rotations[i]
        wave = [np.exp(-2j * np.pi * np.outer(in_space[:, axis], x)) for axis in range(3)]
        expected = np.einsum("zyx,kz,ky,kx->k", s.truth.astype(float), *wave[::-1], optimize=True)
        ctf = cases.ctf(k, BOX, group.pixel_size_a, s.true_table.ctf, i, even=group.even_zernike, **optics)
        transfer = {"none": ctf, "phase-flip": abs(ctf), "multiplied": ctf**2, "corrected": 1.0}[group.ctf_applied]
        phase = cases.odd_phase(k, BOX, group.pixel_size_a, odd=group.odd_zernike, **optics)
        phase = phase + 2 * np.pi * (k @ s.true_table.shifts_a[i]) / side_a
        grey = (PIXEL_SIZE_A / group.pixel_size_a) ** 2
        expected = s.true_table.scale[i] * grey * transfer * np.exp(1j * phase) * expected
        image = found[i, k[:, 1], k[:, 0]]
        assert np.linalg.norm(image - expected) < 1e-2 * np.linalg.norm(expected)


@pytest.mark.parametrize("applied", ["none", "phase-flip", "multiplied", "corrected"])
def test_noise_is_there_before_images_are_treated(cluster: Atoms, applied: str) -> None:
    """The same draw, with what the group says done to it."""
    rows = np.arange(8)
    plain = run(cluster, (OpticsGroup("a", PIXEL_SIZE_A),))
    treated = run(cluster, (OpticsGroup("a", PIXEL_SIZE_A, ctf_applied=applied),), snr=0.01)
    drawn, found = (np.fft.rfft2(s.stack.read(rows) - s.stack.signal(rows)) for s in (plain, treated))
    ky, kx = (k.ravel() for k in np.meshgrid(np.arange(-12, 13), np.arange(13), indexing="ij"))
    k = np.stack([kx, ky], 1)
    for i in rows:
        ctf = cases.ctf(k, BOX, PIXEL_SIZE_A, plain.true_table.ctf, i)
        factor = {"none": 1.0, "phase-flip": np.sign(ctf), "multiplied": ctf, "corrected": 1.0}[applied]
        np.testing.assert_allclose(found[i, ky, kx], factor * drawn[i, ky, kx], atol=2e-2)


def test_conditions_change_neither_draws_nor_truth(cluster: Atoms) -> None:
    plain, other = run(cluster, ()), run(cluster, (dataclasses.replace(GROUPS[2], magnification=(1, 0, 0, 1)),))
    for name in ("rotations", "shifts_a", "scale", "half"):
        np.testing.assert_array_equal(getattr(plain.true_table, name), getattr(other.true_table, name))
    # The unit differs, as the signal-to-noise ratio of the images is the one asked for.
    assert np.corrcoef(plain.truth.ravel(), other.truth.ravel())[0, 1] == pytest.approx(1.0)
