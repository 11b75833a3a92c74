"""Small molecules for the simulation tests."""

import numpy as np
import pytest

from gemmap.simulate.structure import Atoms


@pytest.fixture(scope="session")
def cluster() -> Atoms:
    """Sixty atoms of four elements in a ball of 9 Å, no two alike, occupancies from 0.3 to 1."""
    rng = np.random.default_rng(11)
    direction = rng.standard_normal((60, 3))
    radius = 9.0 * rng.random((60, 1)) ** (1 / 3)
    return Atoms(
        positions_a=radius * direction / np.linalg.norm(direction, axis=1, keepdims=True),
        atomic_number=rng.choice([6, 7, 8, 16], 60),
        bfactor_a2=rng.uniform(5.0, 90.0, 60),
        occupancy=rng.uniform(0.3, 1.0, 60),
    )


@pytest.fixture(scope="session")
def rod() -> Atoms:
    """Carbon atoms, 1.5 Å apart, filling a cylinder of radius 9 Å and height 54 Å along z."""
    x, y, z = np.meshgrid(*[np.arange(-27.0, 27.1, 1.5)] * 3, indexing="ij")
    p = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    p = p[np.hypot(p[:, 0], p[:, 1]) <= 9.0]
    n = len(p)
    return Atoms(p, np.full(n, 6), np.full(n, 20.0), np.ones(n))
