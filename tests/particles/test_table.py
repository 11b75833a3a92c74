"""The particle table: what it refuses, and which rows share an image."""

from dataclasses import replace

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable


def table_of(stack_of: list[int], index: list[int], optics: tuple[OpticsGroup, ...]) -> ParticleTable:
    n = len(stack_of)
    return ParticleTable(
        rotations=np.tile(np.eye(3), (n, 1, 1)),
        shifts_a=np.zeros((n, 2)),
        ctf=None,
        scale=np.ones(n),
        optics_group=np.arange(n) % len(optics),
        optics=optics,
        half=np.zeros(n, np.int64),
        stack_of=np.array(stack_of),
        index_in_stack=np.array(index),
        stacks=("a.mrcs", "b.mrcs"),
        image_sign=np.ones(n),
    )


ONE = (OpticsGroup("g", 1.5),)
TWO = (OpticsGroup("g", 1.5), OpticsGroup("h", 1.6))


def test_rows_that_share_an_image_have_one_number() -> None:
    table = table_of([0, 0, 1, 0, 1], [3, 4, 3, 3, 3], ONE)
    numbers = table.original_image
    assert numbers[0] == numbers[3]
    assert numbers[2] == numbers[4]
    assert len(set(numbers.tolist())) == 3


def test_an_empty_table_has_no_images() -> None:
    assert table_of([0], [0], ONE).select(np.array([], np.int64)).original_image.shape == (0,)


def test_groups_of_different_pixel_size_need_a_map_pixel_size() -> None:
    table = table_of([0, 0], [0, 1], TWO)
    with pytest.raises(InputError, match="different pixel sizes"):
        _ = table.pixel_size_a
    assert replace(table, map_pixel_size_a=1.7).pixel_size_a == 1.7


def test_micrographs_follow_their_rows_and_must_exist() -> None:
    table = replace(table_of([0, 0, 1], [0, 1, 2], ONE), micrograph_of=np.array([0, -1, 1]), micrographs=("m", "n"))
    assert table.select(np.array([2, 0])).micrograph_of.tolist() == [1, 0]
    with pytest.raises(InputError, match="micrograph outside the 1"):
        replace(table, micrographs=("m",))
