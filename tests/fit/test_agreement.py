"""Agreement of maps with particles, from sums of any number of them and under any symmetry."""

from dataclasses import replace

import numpy as np
import pytest
from fit_cases import PIXEL_SIZE_A, particles, phantom
from test_symmetric_fit import symmetric_phantom

from gemmap.fit.aggregate import Accumulator
from gemmap.fit.agreement import HeldOutAgreement, agreements
from gemmap.fit.config import FitConfig
from gemmap.fit.half_maps import reconstruct_halves
from gemmap.fit.progress import Silent
from gemmap.geometry.symmetry import point_group
from gemmap.particles.stack import ArrayStack

BOX, N, NOISE = 24, 320, 4.0


def sums_of(table, images, sym="C1"):
    accumulator = Accumulator(BOX, PIXEL_SIZE_A, point_group(sym))
    white = np.full((1, BOX), 1.0 / (NOISE * BOX) ** 2)
    accumulator.add(images, table, white, table.optics_group)
    return accumulator.finish()


@pytest.mark.parametrize("name", ["C3", "D2"])
def test_copies_by_symmetry_add_nothing(name):
    """D2's rotations take the grid to itself, those of C3 do not."""
    density = symmetric_phantom(name)
    volume = {"truth": density.volume(BOX)}
    table, images = particles(density, 60, BOX, noise=NOISE)
    alone, copied = (agreements(volume, sums_of(table, images, sym))[0]["truth"] for sym in ("C1", name))
    inner = slice(2, BOX // 2 - 2)
    np.testing.assert_allclose(copied.power[inner].sum(), alone.power[inner].sum(), rtol=0.03)
    np.testing.assert_allclose(copied.product[inner].sum(), alone.product[inner].sum(), rtol=0.03)
    np.testing.assert_array_equal(copied.n_values, alone.n_values)
    assert copied.n_particles == alone.n_particles == 60


def test_the_truth_keeps_its_agreement_with_any_number_of_particles():
    density = phantom(6, 40)
    table, images = particles(density, N, BOX, noise=NOISE)
    volume = {"map": density.volume(BOX)}
    few, many = np.arange(0, N, 8), np.flatnonzero(np.arange(N) % 8)
    found = HeldOutAgreement(*agreements(volume, *(sums_of(table.select(of), images[of]) for of in (few, many))))
    error = found.kept_error("map", 10)
    assert abs(found.kept("map", 10) - 1.0) < 3.0 * error
    assert error < 0.1
    twice = found + found
    assert twice.kept("map", 10) == pytest.approx(found.kept("map", 10))
    assert twice.kept_error("map", 10) == pytest.approx(error / np.sqrt(2))


def test_every_reconstruction_measures_it():
    table, images = particles(phantom(6, 40), N, BOX, noise=3 * NOISE)
    found = reconstruct_halves(table, ArrayStack(images), FitConfig(17 * PIXEL_SIZE_A, max_steps=6), Silent()).held_out
    assert found is not None
    assert (found.held_out["map"].n_particles, found.fitted["map"].n_particles) == (N // 4, 3 * N // 4)
    # A back-projection follows the noise of its particles more than a fit does.
    assert found.kept("backprojection", 8) + 0.05 < found.kept("map", 8) < 1.2
    nothing = reconstruct_halves(
        replace(table), ArrayStack(np.random.default_rng(1).normal(size=images.shape).astype(np.float32)),
        FitConfig(17 * PIXEL_SIZE_A, max_steps=6, refuse_dark=False), Silent(),
    ).held_out  # fmt: skip
    assert nothing is not None
    assert abs(nothing.kept("backprojection", 8)) < 4.0 * nothing.kept_error("backprojection", 8)
