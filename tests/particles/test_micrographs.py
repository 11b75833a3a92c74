"""Particles by the name of their micrograph."""

from dataclasses import replace

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.micrographs import rows_of_micrographs
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable

NAMES = ("job1/a.mrc", "job1/b.mrc", "job2/b.mrc", "c.mrc")


def table(micrograph_of: np.ndarray | None) -> ParticleTable:
    n = 8
    zeros = np.zeros(n, int)
    return ParticleTable(
        rotations=np.tile(np.eye(3), (n, 1, 1)), shifts_a=np.zeros((n, 2)), ctf=None, scale=np.ones(n),
        optics_group=zeros, optics=(OpticsGroup("a", 1.0),), half=zeros, stack_of=zeros, index_in_stack=np.arange(n),
        stacks=("a.mrcs",), image_sign=np.ones(n), micrograph_of=micrograph_of, micrographs=NAMES,
    )  # fmt: skip


PARTICLES = table(np.array([0, 1, 2, 3, -1, 0, 1, 2]))


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["job1/a.mrc"], [0, 5]),
        (["a.mrc"], [0, 5]),
        (["c.mrc", "job2/b.mrc", "c.mrc"], [2, 3, 7]),
        ([], []),
    ],
)
def test_rows_of_micrographs(names: list[str], rows: list[int]) -> None:
    assert rows_of_micrographs(PARTICLES, names).tolist() == rows


@pytest.mark.parametrize(
    ("particles", "name", "sentence"),
    [
        (PARTICLES, "b.mrc", r"2 micrographs are called b.mrc \(job1/b.mrc, job2/b.mrc\); give the whole name"),
        (PARTICLES, "d.mrc", "No micrograph is called d.mrc; expected one of 4 such as job1/a.mrc, job1/b.mrc, job2/"),
        (replace(PARTICLES, micrograph_of=None), "c.mrc", "The particles do not say their micrographs"),
    ],
)
def test_names_that_say_no_micrograph(particles: ParticleTable, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        rows_of_micrographs(particles, [name])
