from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.halves import assign_halves, by_appearance, halves_of_ids, parse_part, rows_of_part
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable


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


def copies(images: list[int], half: list[int] | None = None) -> ParticleTable:
    """One row for each number of an image."""
    table = table_with(half or [0] * len(images))
    return replace(table, index_in_stack=np.array(images, int))


@pytest.mark.parametrize("n_copies", [2, 3, 60])
def test_rows_that_share_an_image_share_a_half(n_copies: int) -> None:
    images = np.random.default_rng(0).permutation(np.repeat(np.arange(41), n_copies))
    table, split = assign_halves(copies(images.tolist()), seed=2)
    halves = [set(table.half[images == image]) for image in range(41)]
    assert all(len(half) == 1 for half in halves)
    assert (split.n_half1, split.n_half2) == (21 * n_copies, 20 * n_copies)


def test_the_same_image_number_in_another_stack_is_another_image() -> None:
    table = replace(copies([0, 0] * 50), stack_of=np.arange(100) % 2, stacks=("a.mrcs", "b.mrcs"))
    assert assign_halves(table, seed=0)[1].n_half1 == 50
    with pytest.raises(InputError, match="Half 1 has 4 particles and half 2 has 0"):
        assign_halves(copies([7] * 4), seed=0)


def test_without_copies_the_split_is_that_of_the_rows() -> None:
    """Drawn here as version 0.1.0 drew it."""
    half = np.empty(101, np.int64)
    half[np.random.default_rng(5).permutation(101)] = 1 + np.arange(101) % 2
    shuffled = copies(np.random.default_rng(1).permutation(101).tolist())
    np.testing.assert_array_equal(assign_halves(shuffled, seed=5)[0].half, half)


def test_a_split_of_the_file_with_copies_on_both_sides_is_refused() -> None:
    together = copies([3, 3, 5, 5], [1, 1, 2, 2])
    assert assign_halves(together, seed=0)[0].half.tolist() == [1, 1, 2, 2]
    with pytest.raises(InputError, match=r"2 images have copies in both half-sets \(the first is image 4 of a.mrcs\)"):
        assign_halves(copies([3, 5, 3, 5, 6], [1, 2, 2, 1, 1]), seed=0)


def test_images_are_numbered_as_they_appear() -> None:
    assert by_appearance(np.array([8, 2, 8, 5, 2, 9])).tolist() == [0, 1, 0, 2, 1, 3]
    assert by_appearance(np.array([], int)).tolist() == []


def test_halves_by_identity_know_nothing_of_each_other() -> None:
    ids = np.random.default_rng(0).integers(-(2**63), 2**63, 20_000)
    half = halves_of_ids(ids, 0)
    assert set(np.unique(half)) == {1, 2}
    # Four standard deviations of a fair coin.
    assert abs(int((half == 1).sum()) - 10_000) < 4 * 71
    np.testing.assert_array_equal(halves_of_ids(ids[::-3], 0), half[::-3])
    # Ids that differ by little, and another seed, are another throw.
    for other in (halves_of_ids(ids + 1, 0), halves_of_ids(ids, 1)):
        assert abs(int((half == other).sum()) - 10_000) < 4 * 71
    assert halves_of_ids(ids[:0], 3).tolist() == []


@pytest.mark.parametrize("n_parts", [1, 2, 5, 7])
def test_parts_are_runs_that_make_the_whole(n_parts: int) -> None:
    images = np.array([4, 4, 9, 1, 4, 0, 2, 2, 7, 9, 3])
    parts = [rows_of_part(images, part, n_parts) for part in range(1, n_parts + 1)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(11))
    sizes = [len(np.unique(images[rows])) for rows in parts]
    assert max(sizes) - min(sizes) <= 1
    # Copies of one image, 4 and 9 and 2, are in one part.
    assert sum(sizes) == 7
    number = by_appearance(images)
    assert all(number[one].max() < number[two].min() for one, two in pairwise(parts))


@pytest.mark.parametrize(("part", "n_parts"), [(0, 3), (4, 3), (1, 8), (1, 0)])
def test_a_part_that_is_not_there_is_refused(part: int, n_parts: int) -> None:
    with pytest.raises(InputError, match=rf"Part {part} of {n_parts} of 7 images was asked for; expected I/N"):
        rows_of_part(np.arange(7), part, n_parts)


@pytest.mark.parametrize("text", ["", "3", "3/", "a/b", "-1/3", "1/3/5", "1.0/2"])
def test_a_part_is_two_numbers(text: str) -> None:
    assert parse_part("03/16") == (3, 16)
    with pytest.raises(InputError, match="expected I/N, such as 3/16"):
        parse_part(text)
