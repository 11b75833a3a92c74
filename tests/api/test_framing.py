"""Masks, sentences and statements about the working size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from io_project import random_table

from gemmap.api.framing import as_stated, frame_particles, read_mask, with_boxes
from gemmap.api.options import ReconstructionOptions
from gemmap.errors import InputError
from gemmap.io.mrc import write_map
from gemmap.particles.frame import Frame
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable


def options(**given: object) -> ReconstructionOptions:
    return ReconstructionOptions(None, **given)


def table_of(*sizes: tuple[int, int, float]) -> ParticleTable:
    """Optics groups of (particles, box in px, Å per pixel)."""
    optics = tuple(OpticsGroup(f"g{i}", pixel, box) for i, (_, box, pixel) in enumerate(sizes))
    group = np.repeat(np.arange(len(sizes)), [size[0] for size in sizes])
    return replace(random_table(len(group)), optics=optics, optics_group=group)


STACK = ArrayStack(np.zeros((1, 64, 64), np.float32))


@pytest.mark.parametrize(
    ("sizes", "given", "text"),
    [
        ([(5, 64, 1.3)], {}, "64 px, 1.3 Å per pixel"),
        ([(5, 64, 1.3), (2, 64, 1.3)], {}, "64 px, 1.3 Å per pixel"),
        ([(5, 64, 1.3)], {"box_px": 32}, "32 px, 2.6 Å per pixel (read: 64 px, 1.3 Å)"),
        ([(5, 65, 1.0)], {}, "64 px, 1.01562 Å per pixel (read: 65 px, 1 Å)"),
        (
            [(2000, 64, 1.3), (5, 80, 1.1)],
            {},
            "64 px, 1.3 Å per pixel (read: 2,000 of 64 px, 1.3 Å; 5 of 80 px, 1.1 Å)",
        ),
        (
            [(9 - i, 64 + 2 * i, 1.0) for i in range(6)],
            {},
            "64 px, 1 Å per pixel (read: 9 of 64 px, 1 Å; 8 of 66 px, 1 Å; 7 of 68 px, 1 Å; 6 of 70 px, 1 Å; "
            "2 more sizes)",
        ),
    ],
)
def test_the_line_of_the_plan(sizes: list, given: dict, text: str) -> None:
    assert frame_particles(table_of(*sizes), STACK, options(**given)).images_text == text


def test_notes() -> None:
    assert frame_particles(table_of((5, 64, 1.3)), STACK, options(max_resolution_a=4.0)).notes == ()
    (note,) = frame_particles(table_of((5, 64, 1.3)), STACK, options(max_resolution_a=2.5)).notes
    assert note == "The images reach 2.6 Å at most (Nyquist): --max-resolution 2.5 changes nothing."
    (note,) = frame_particles(table_of((5, 64, 1.3), (3, 48, 1.7)), STACK, options()).notes
    assert note.startswith("3 images have a smaller box than 64 px and are padded in Fourier space")


def test_images_in_memory_have_the_box_they_have() -> None:
    assert [group.box_px for group in with_boxes(table_of((2, 80, 1.0), (1, 64, 1.0)), STACK).optics] == [64, 64]


def test_statements() -> None:
    table = table_of((5, 64, 1.3))
    assert as_stated(table, options()) is table
    assert as_stated(table, options(premultiplied=True)).optics[0].ctf_applied == "multiplied"
    assert as_stated(table, options(phase_flipped=True)).optics[0].ctf_applied == "phase-flip"
    assert as_stated(table, options(flip_hand=True)).rotations[0, 0, 2] == -table.rotations[0, 0, 2]


class TestMask:
    FRAME, READ = Frame(16, 3.0), (32, 1.5)

    def mask(self, folder: Path, box: int, pixel_size_a: float) -> Path:
        """A plane ramp that crosses the origin at 0.5, so that any sampling of it is known."""
        z = (np.arange(box) - box // 2) / box
        write_map(folder / "mask.mrc", np.broadcast_to(0.5 + z[:, None, None], (box,) * 3), pixel_size_a)
        if pixel_size_a == 1.0:
            data = bytearray((folder / "mask.mrc").read_bytes())
            data[40:52] = bytes(12)
            (folder / "mask.mrc").write_bytes(data)
        return folder / "mask.mrc"

    @pytest.mark.parametrize(("box", "pixel_size_a"), [(32, 1.5), (32, 1.0), (24, 2.0), (12, 4.0), (31, 48 / 31)])
    def test_the_same_field_of_view_is_resampled(self, tmp_path: Path, box: int, pixel_size_a: float) -> None:
        mask, (note,) = read_mask(self.mask(tmp_path, box, pixel_size_a), self.FRAME, self.READ)
        wanted = np.clip(0.5 + (np.arange(16) - 8) / 16, 0.5 - (box // 2) / box, 0.5 + ((box - 1) // 2) / box)
        np.testing.assert_allclose(mask[:, 3, 9], wanted, atol=1e-6)
        assert mask.shape == (16, 16, 16)
        assert f"from {box} px of {48 / box:.4g} Å" in note

    @pytest.mark.parametrize("pixel_size_a", [3.0, 1.0])
    def test_a_mask_of_the_working_box_is_taken_as_it_is(self, tmp_path: Path, pixel_size_a: float) -> None:
        mask, notes = read_mask(self.mask(tmp_path, 16, pixel_size_a), self.FRAME, self.READ)
        np.testing.assert_allclose(mask[:, 0, 0], np.arange(16) / 16)
        assert notes == ()

    @pytest.mark.parametrize(
        ("box", "pixel_size_a", "message"),
        [
            (32, 1.4, "voxels of 1.4 Å; expected 1.5 Å as the particles"),
            (16, 1.5, "voxels of 1.5 Å; expected 3 Å as the particles"),
            (20, 3.0, r"shape \(20, 20, 20\); expected \(16, 16, 16\)"),
        ],
    )
    def test_another_field_of_view_is_refused(
        self, tmp_path: Path, box: int, pixel_size_a: float, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            read_mask(self.mask(tmp_path, box, pixel_size_a), self.FRAME, self.READ)

    def test_values_are_checked_before(self, tmp_path: Path) -> None:
        write_map(tmp_path / "mask.mrc", np.full((32,) * 3, 7.0), 1.5)
        with pytest.raises(InputError, match="values from 7 to 7; expected 0"):
            read_mask(tmp_path / "mask.mrc", self.FRAME, self.READ)
