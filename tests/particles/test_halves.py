from dataclasses import replace

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.halves import assign_halves
from gemmap.particles.table import OpticsGroup, ParticleTable


def table_with(half: list[int]) -> ParticleTable:
    n = len(half)
    zeros = np.zeros(n, int)
    return ParticleTable(
        rotations=np.tile(np.eye(3), (n, 1, 1)), shifts_a=np.zeros((n, 2)), ctf=None, scale=np.ones(n),
        optics_group=zeros, optics=(OpticsGroup("a", 1.0),), half=np.array(half, int), stack_of=zeros,
        index_in_stack=np.arange(n), stacks=("a.mrcs",), image_sign=np.ones(n),
    )  # fmt: skip


def test_split_of_the_file_stands() -> None:
    table, split = assign_halves(table_with([1, 2, 2, 1, 2]), seed=3)
    assert table.half.tolist() == [1, 2, 2, 1, 2]
    assert (split.n_half1, split.n_half2, split.seed, split.from_file) == (2, 3, None, True)


@pytest.mark.parametrize("n", [2, 3, 101, 1000])
def test_random_split_is_balanced_and_by_the_seed(n: int) -> None:
    before = table_with([0] * n)
    table, split = assign_halves(before, seed=5)
    assert abs(split.n_half1 - split.n_half2) == n % 2
    assert (split.n_half1, split.n_half2) == ((table.half == 1).sum(), (table.half == 2).sum())
    assert (split.seed, split.from_file) == (5, False)
    np.testing.assert_array_equal(assign_halves(before, seed=5)[0].half, table.half)
    assert not before.half.any()
    if n > 100:
        assert (assign_halves(before, seed=6)[0].half != table.half).any()
        # No particle's half follows from its place: neighbours agree about half of the time.
        assert 0.35 < np.mean(table.half[1:] == table.half[:-1]) < 0.65


@pytest.mark.parametrize(
    ("half", "message"),
    [
        ([1, 0, 2, 0], "2 of 4 particles have no half-set while the others do"),
        ([1, 1, 1], "Half 1 has 3 particles and half 2 has 0"),
        ([2], "Half 1 has 0 particles and half 2 has 1"),
        ([0], "Half 1 has 1 particles and half 2 has 0"),
        ([], "Half 1 has 0 particles and half 2 has 0"),
    ],
)
def test_refused(half: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        assign_halves(table_with(half), seed=0)


def test_seed_zero_is_a_random_split() -> None:
    assert not assign_halves(replace(table_with([0, 0])), seed=0)[1].from_file
