"""The images engine under every condition of the image model: its gradient over all images is the aggregate's."""

from dataclasses import replace

import numpy as np
import optics_cases as cases
import pytest
import torch
from fit_cases import PIXEL_SIZE_A, aggregate_of, correlation, particles, phantom

from gemmap.fit.aggregate import Accumulator
from gemmap.fit.batch_gradients import batch_gradient
from gemmap.fit.image_batches import Particles, image_batches
from gemmap.fit.init import at_random
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters
from gemmap.fit.schedule import Schedule
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import OpticsGroup
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.zernike import zernike_from_monomials
from gemmap.validate.masks import spherical_mask

CPU = torch.device("cpu")
BOX, SIZE, N, NOISE = 24, 20, 240, 3.0
PLAIN = OpticsGroup("plain", PIXEL_SIZE_A)
# Nothing at k = 0, where the aggregate's gridding error is another.
EVEN = zernike_from_monomials("even", {(2, 2): 5.0, (4, -4): 60.0, (4, 2): 50.0})
CONDITIONS = {
    "plain": PLAIN,
    "aberrations": replace(PLAIN, odd_zernike=cases.ODD[:6], even_zernike=EVEN),
    "magnification": replace(PLAIN, magnification=cases.MAGNIFICATION),
    "multiplied": replace(PLAIN, ctf_applied="multiplied", odd_zernike=cases.ODD[:6]),
    "phase-flip": replace(PLAIN, ctf_applied="phase-flip"),
    "corrected": replace(PLAIN, ctf_applied="corrected"),
    "small pixels": replace(PLAIN, pixel_size_a=0.9 * PIXEL_SIZE_A),
    "empty shells": replace(PLAIN, first_empty_shell=8),
}
DENSITY = phantom(4, 20)
TABLE, IMAGES = particles(DENSITY, N, BOX, noise=NOISE)
ONE = np.ones(N)
CTF = CtfParameters(
    np.linspace(8e3, 2e4, N), np.linspace(7e3, 1.9e4, N), ONE, 300 * ONE, 2.7 * ONE, 0.1 * ONE, 0 * ONE, 30 * ONE, ONE
)


def of_conditions(groups: list[OpticsGroup]) -> Particles:
    table = replace(
        TABLE, ctf=CTF, optics=tuple(groups), optics_group=np.arange(N) % len(groups), map_pixel_size_a=PIXEL_SIZE_A
    )
    weights = np.full((len(groups), BOX), 1.0 / (NOISE * BOX) ** 2)
    for group, weight in zip(groups, weights, strict=True):
        weight[group.first_empty_shell or BOX :] = 0.0
    return Particles(table, ArrayStack(IMAGES), np.arange(N), weights, table.optics_group)


def all_images(particles_: Particles, loss: str = "whitened"):
    batch = next(image_batches(particles_, Schedule(batch_size=N, loss=loss), 0, 0, CPU)).batch
    assert batch is not None
    return batch


@pytest.mark.parametrize("name", [*CONDITIONS, "mixed"])
def test_the_gradient_of_all_images_is_the_aggregates(name: str) -> None:
    """To the gridding error of the aggregate, for Gaussians wide enough for the pixels."""
    particles_ = of_conditions(list(CONDITIONS.values()) if name == "mixed" else [CONDITIONS[name]])
    accumulator = Accumulator(BOX, PIXEL_SIZE_A)
    accumulator.add(IMAGES, particles_.table, particles_.inverse_noise, particles_.noise_of)
    equations = NormalEquations.build(accumulator.finish(), SIZE, CPU)
    somewhere = NormalEquations.build(aggregate_of(TABLE, IMAGES, NOISE), SIZE, CPU)
    at = at_random(somewhere, torch.from_numpy(spherical_mask(SIZE, 6.0, 1.0)), 40, seed=3)
    draw = torch.from_numpy(np.random.default_rng(5).normal(size=(40, 7))).float()
    at = Parameters(at.centres, 0.3 + 0.15 * draw[:, :3], draw[:, 3:], at.log_masses)
    found, _ = batch_gradient(at, all_images(particles_), equations.unit)
    expected = at.gather(equations.gradient(at.voxelize(SIZE))[0])
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm() / b.norm()) < 0.05
        assert correlation(a.numpy(), b.numpy()) > 0.998


def test_plain_squared_error_leaves_empty_shells_empty() -> None:
    weights = all_images(of_conditions([CONDITIONS["empty shells"]]), "mse").images.inverse_noise
    np.testing.assert_allclose(weights[:, :8], 1.0 / (NOISE * BOX) ** 2, rtol=1e-6)
    assert not weights[:, 8:].any()
