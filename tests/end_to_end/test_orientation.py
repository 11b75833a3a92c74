"""Views that gather about an axis lower every figure that is meant to show it, in the order of their strength."""

import numpy as np

import gemmap
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import embedded_structure
from gemmap.validate.anisotropy import directional_fsc
from gemmap.validate.sampling import fourier_sampling

BOX, PIXEL_SIZE_A = 32, 7.5


def figures(concentration: float | None) -> tuple[float, float, float]:
    """SCF*, cFAR of the back-projected halves, and share of the best truth-FSC area that the worst cone has."""
    config = SimulationConfig(
        box_px=BOX,
        pixel_size_a=PIXEL_SIZE_A,
        n_particles=250,
        snr=0.1,
        orientation="uniform" if concentration is None else "preferred",
        preferred_concentration=concentration,
    )
    simulation = simulate(embedded_structure(), config, workers=1)
    sampling = fourier_sampling(simulation.table.rotations)
    result = gemmap.reconstruct((simulation.table, simulation.stack), threads=1, max_steps=1)
    halves = result.reconstruction.half1.backprojection, result.reconstruction.half2.backprojection
    true = directional_fsc(result.backprojection, simulation.truth, PIXEL_SIZE_A, simulation.mask, threshold=0.5)
    if concentration is not None and concentration > 5:
        # Views about z leave the direction z itself empty.
        assert abs(true.axes[np.argmin(true.areas), 2]) > 0.9
    assert sampling.scf_star is not None
    return sampling.scf_star, directional_fsc(*halves, PIXEL_SIZE_A, simulation.mask).cfar, true.cfar


def test_the_more_preferred_the_lower_every_figure() -> None:
    rows = np.array([figures(concentration) for concentration in (None, 4.0, 15.0)])
    assert (np.diff(rows, axis=0) < 0).all(), rows
    assert (rows[0] > (0.95, 0.7, 0.7)).all(), rows
    assert (rows[-1] < (0.3, 0.5, 0.5)).all(), rows
