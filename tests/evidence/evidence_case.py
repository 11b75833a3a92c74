"""One small reconstruction that all tests of evidence doubt."""

from dataclasses import replace
from functools import cache

import numpy as np

from gemmap.evidence.case import Case
from gemmap.fit.config import FitConfig
from gemmap.fit.half_maps import fit_half_maps
from gemmap.fit.progress import Silent
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import Simulation, simulate
from gemmap.simulate.structure import Atoms
from gemmap.validate.masks import spherical_mask

BOX, PIXEL_A, N = 32, 4.0, 320


@cache
def simulation() -> Simulation:
    rng = np.random.default_rng(2)
    atoms = Atoms(rng.normal(0.0, 9.0, (300, 3)), np.full(300, 6), np.full(300, 20.0), np.ones(300))
    config = SimulationConfig(box_px=BOX, pixel_size_a=PIXEL_A, n_particles=N, snr=0.05, seed=3)
    return simulate(atoms, config, workers=1)


def truth() -> np.ndarray:
    return simulation().truth


@cache
def case() -> Case:
    table = replace(simulation().table, half=1 + np.arange(N) % 2)
    fit = FitConfig(particle_diameter_a=70.0, max_steps=4, n_gaussians=300)
    one, two = fit_half_maps(table, simulation().stack, fit, Silent())
    return Case(
        table=table,
        stack=simulation().stack,
        config=fit,
        region=None,
        half_maps=(one.map, two.map),
        backprojections=(one.backprojection, two.backprojection),
        mask=spherical_mask(BOX, 9.0, 4.0),
        mask_name="a sphere",
        particle_diameter_a=70.0,
    )
