"""One box for all images of a run."""

from dataclasses import replace

import numpy as np
import pytest
from io_project import random_table

from gemmap.errors import InputError
from gemmap.particles.frame import Frame, bring_to_frame, choose_frame
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable


def table_of(*sizes: tuple[int, int | None, float]) -> ParticleTable:
    """A table with an optics group for each (particles, box in px, Å per pixel), groups one after another."""
    n = sum(size[0] for size in sizes)
    optics = tuple(OpticsGroup(f"g{i}", pixel, box) for i, (_, box, pixel) in enumerate(sizes))
    group = np.repeat(np.arange(len(sizes)), [size[0] for size in sizes])
    return replace(random_table(n), optics=optics, optics_group=group)


class MixedStack:
    """Images with the same waves, each in the box of its particle; reads of different boxes are refused."""

    def __init__(self, table: ParticleTable) -> None:
        self.boxes = np.array([g.box_px for g in table.optics])[table.optics_group]
        self.reads: list[int] = []

    @property
    def n(self) -> int:
        return len(self.boxes)

    @property
    def box_px(self) -> int:
        raise AssertionError("there is no one box")

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.reads.append(len(rows))
        (box,) = set(self.boxes[rows])
        return np.stack([wave(int(box), 0.1 * row) for row in rows])


def wave(box: int, phase: float) -> np.ndarray:
    y, x = (np.indices((box, box)) - box // 2) / box
    return (3.0 + np.cos(2 * np.pi * (2 * x - 5 * y) + phase)).astype(np.float32)


class TestChoice:
    def test_what_most_particles_have(self) -> None:
        table = table_of((3, 64, 1.0), (5, 48, 1.3), (3, 64, 1.0), (4, 64, 1.1))
        assert choose_frame(table) == Frame(64, 1.0)

    def test_an_odd_box_becomes_the_even_one_below(self) -> None:
        frame = choose_frame(table_of((3, 65, 1.0)))
        assert (frame.box_px, frame.pixel_size_a) == (64, pytest.approx(65 / 64))

    def test_pixel_size_of_the_map_that_was_given_wins(self) -> None:
        table = replace(table_of((3, 64, 1.0)), map_pixel_size_a=1.02)
        assert choose_frame(table) == Frame(64, 1.02)
        assert choose_frame(table, box_px=32).pixel_size_a == pytest.approx(2.04)

    @pytest.mark.parametrize(
        ("options", "box"),
        [
            ({"box_px": 48}, 48),
            ({"box_px": 100}, 100),
            ({"target_pixel_size_a": 1.5}, 66),
            ({"target_pixel_size_a": 1.0}, 100),
            ({"target_pixel_size_a": 6.25}, 16),
            ({"max_resolution_a": 4.0}, 50),
            ({"max_resolution_a": 3.9}, 54),
            ({"max_resolution_a": 3.0}, 72),
            ({"max_resolution_a": 1.5}, 100),
            ({"max_resolution_a": 2.01}, 100),
            ({"max_resolution_a": 12.5}, 16),
        ],
    )
    def test_options(self, options: dict, box: int) -> None:
        frame = choose_frame(table_of((3, 100, 1.0)), **options)
        assert (frame.box_px, frame.pixel_size_a) == (box, pytest.approx(100 / box))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"box_px": 102}, "working box of 102 px was asked for; expected an even number from 16 to 100"),
            ({"box_px": 49}, "expected an even number"),
            ({"box_px": 14}, "expected an even number from 16"),
            ({"target_pixel_size_a": 0.9}, "0.9 Å was asked for; expected one from 1 Å, that of most images, to 6.25"),
            ({"target_pixel_size_a": 7.0}, "to 6.25 Å, which leaves 16 pixels"),
            ({"target_pixel_size_a": float("nan")}, "pixel size of nan"),
            ({"max_resolution_a": 13.0}, "resolution of 13 Å was asked for; expected more than 0 and at most 12.5 Å"),
            ({"max_resolution_a": 0.0}, "expected more than 0"),
            ({"box_px": 48, "max_resolution_a": 4.0}, "The box and the maximum resolution both choose"),
            ({"target_pixel_size_a": 2.0, "max_resolution_a": 4.0}, "The target pixel size and the maximum"),
        ],
    )
    def test_refusals(self, options: dict, message: str) -> None:
        with pytest.raises(InputError, match=message):
            choose_frame(table_of((3, 100, 1.0)), **options)

    def test_a_group_without_a_box(self) -> None:
        with pytest.raises(InputError, match="g1 does not say the box"):
            choose_frame(table_of((3, 100, 1.0), (1, None, 1.0)))


class TestFraming:
    def test_nothing_is_wrapped_where_all_is_equal(self) -> None:
        table = table_of((3, 16, 1.0), (2, 16, 1.0))
        stack = ArrayStack(np.zeros((5, 16, 16), np.float32))
        framed, same = bring_to_frame(table, stack, choose_frame(table))
        assert same is stack
        assert framed.optics == table.optics
        assert framed.map_pixel_size_a is None

    def test_only_pixel_sizes_differ(self) -> None:
        table = table_of((3, 16, 1.0), (2, 16, 1.1))
        stack = ArrayStack(np.zeros((5, 16, 16), np.float32))
        framed, same = bring_to_frame(table, stack, choose_frame(table))
        assert same is stack
        assert framed.optics == table.optics
        assert framed.pixel_size_a == 1.0

    def test_groups_of_three_boxes(self) -> None:
        table = table_of((4, 32, 1.5), (2, 24, 2.0), (3, 45, 1.0))
        source = MixedStack(table)
        framed, stack = bring_to_frame(table, source, choose_frame(table))
        assert (stack.n, stack.box_px) == (9, 32)
        sizes = [(g.box_px, g.pixel_size_a, g.first_empty_shell) for g in framed.optics]
        assert sizes == [(32, 1.5, None), (32, pytest.approx(1.5), 12), (32, pytest.approx(45 / 32), None)]
        assert framed.pixel_size_a == 1.5
        rows = np.array([8, 0, 5, 4, 4, 7])
        wanted = np.stack([wave(32, 0.1 * row) for row in rows])
        np.testing.assert_allclose(stack.read(rows), wanted, atol=1e-5)
        np.testing.assert_array_equal(framed.shifts_a, table.shifts_a)
        np.testing.assert_array_equal(framed.rotations, table.rotations)

    def test_the_first_empty_shell_of_a_padded_image(self) -> None:
        """A transform of 25 px has shell 12 whole, one of 24 px half of it."""
        for box, shell in ((24, 12), (25, 13)):
            table = table_of((4, 32, 1.5), (2, box, 2.0))
            framed, stack = bring_to_frame(table, MixedStack(table), Frame(32, 1.5))
            assert framed.optics[1].first_empty_shell == shell
            noise = np.random.default_rng(0).normal(size=(1, box, box)).astype(np.float32)
            stack = bring_to_frame(table.select(np.array([4])), ArrayStack(noise), Frame(32, 1.5))[1]
            ky, kx = (np.abs(np.fft.fftfreq(32, 1 / 32))[:, None], np.arange(17))
            power = np.abs(np.fft.rfft2(stack.read(np.array([0]))[0]))
            axes = np.maximum(ky, kx)
            assert power[axes < shell].min() > 1e-3
            assert power[axes > shell].max() < 1e-4

    def test_a_smaller_empty_shell_of_the_file_stays(self) -> None:
        table = table_of((2, 24, 2.0))
        table = replace(table, optics=(replace(table.optics[0], first_empty_shell=7),))
        assert bring_to_frame(table, MixedStack(table), Frame(16, 3.0))[0].optics[0].first_empty_shell == 7

    def test_images_are_read_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gemmap.particles.frame._PIECE_BYTES", 2 * 4 * 32**2)
        table = table_of((5, 32, 1.0))
        source = MixedStack(table)
        images = bring_to_frame(table, source, Frame(16, 2.0))[1].read(np.arange(5))
        assert source.reads == [2, 2, 1]
        np.testing.assert_allclose(images, [wave(16, 0.1 * row) for row in range(5)], atol=1e-5)
