"""Particles in which nothing is wrong, and reports about sets made of them."""

from collections.abc import Callable

import numpy as np
import pytest

import gemmap
from gemmap.checks.verdict import CheckReport
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.draws import draw_particles
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import embedded_structure

Particles = tuple[ParticleTable, np.ndarray]


@pytest.fixture(scope="session")
def right() -> Particles:
    """400 particles of 48 px, 5 Å, as recorded: table and images. Not to be changed."""
    config = SimulationConfig(box_px=48, pixel_size_a=5.0, n_particles=400, snr=0.1, max_shift_a=8.0, seed=3)
    simulation = simulate(embedded_structure(), config, workers=1)
    return simulation.table, simulation.stack.read(np.arange(config.n_particles))


@pytest.fixture(scope="session")
def report_on() -> Callable[..., CheckReport]:
    def report(table: ParticleTable, images: np.ndarray, **options: object) -> CheckReport:
        return gemmap.check((table, ArrayStack(images)), threads=1, **options)

    return report


@pytest.fixture(scope="session")
def right_report(right: Particles, report_on: Callable[..., CheckReport]) -> CheckReport:
    return report_on(*right)


@pytest.fixture
def table() -> ParticleTable:
    """A table of 60 particles, for checks without images."""
    return draw_particles(SimulationConfig(n_particles=60, box_px=48, pixel_size_a=5.0))
