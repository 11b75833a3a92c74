"""Writing STAR files: round trips, RELION's names, and what cannot be said; RELION itself reads them in tests/api."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
from io_project import assert_same_particles, random_table

from gemmap.io.relion import read_relion
from gemmap.io.relion_write import write_star30, write_star31
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.zernike import odd_from_beam_tilt


class TestWriting:
    @pytest.mark.parametrize("n", [1, 2, 11])
    @pytest.mark.parametrize("write", [write_star31, write_star30])
    def test_round_trip(self, tmp_path: Path, write: type, n: int) -> None:
        table = random_table(n)
        assert write(tmp_path / "a.star", table) == ()
        back, _ = read_relion(tmp_path / "a.star")
        assert_same_particles(back, table, rtol=1e-9)
        np.testing.assert_array_equal(back.half, table.half)

    def test_per_particle_microscope_values_survive(self, tmp_path: Path) -> None:
        table = random_table(6)
        assert table.ctf is not None
        table = replace(table, ctf=replace(table.ctf, cs_mm=np.linspace(2.0, 2.5, 6)))
        write_star31(tmp_path / "a.star", table)
        back, _ = read_relion(tmp_path / "a.star")
        assert_same_particles(back, table, rtol=1e-9)

    def test_columns_as_relion_names_them(self, tmp_path: Path) -> None:
        table = random_table(5)
        write_star31(tmp_path / "a.star", table, image_names=[f"{i + 1}@x.mrcs" for i in range(5)])
        blocks = starfile.read(tmp_path / "a.star")
        assert list(blocks) == ["optics", "particles"]
        assert blocks["optics"]["rlnVoltage"].tolist() == [300, 200]
        assert blocks["optics"]["rlnImageSize"].tolist() == [16, 16]
        assert blocks["particles"]["rlnImageName"].tolist() == [f"{i + 1}@x.mrcs" for i in range(5)]
        assert blocks["particles"]["rlnOpticsGroup"].tolist() == [1, 2, 1, 2, 1]
        assert "# version 30001" in (tmp_path / "a.star").read_text()

    def test_scale_goes_into_the_ctf_scale(self, tmp_path: Path) -> None:
        table = replace(random_table(3), scale=np.array([1.0, 0.8, 1.1]))
        write_star31(tmp_path / "a.star", table)
        back, _ = read_relion(tmp_path / "a.star")
        assert back.ctf is not None
        assert back.ctf.scale.tolist() == pytest.approx([1.0, 0.8, 1.1])

    def test_dark_particles_are_named_in_the_file(self, tmp_path: Path) -> None:
        table = replace(random_table(3), image_sign=np.array([-1.0, -1.0, 1.0]))
        (note,) = write_star31(tmp_path / "a.star", table)
        assert "2 of 3 particles are dark" in note
        assert note in (tmp_path / "a.star").read_text()

    def test_without_ctf(self, tmp_path: Path) -> None:
        table = replace(random_table(3), ctf=None)
        write_star31(tmp_path / "a.star", table)
        back, _ = read_relion(tmp_path / "a.star", no_ctf=True)
        np.testing.assert_allclose(back.shifts_a, table.shifts_a, rtol=1e-9)
        (note,) = write_star30(tmp_path / "b.star", replace(table, scale=np.full(3, 0.5)))
        assert "scales are left out" in note


def with_optics(n: int, groups: tuple[OpticsGroup, ...]) -> ParticleTable:
    table = random_table(n)
    return replace(table, optics=groups, optics_group=np.arange(n) % len(groups))


class TestWritingOptics:
    def test_everything_comes_back(self, tmp_path: Path) -> None:
        groups = (
            OpticsGroup(
                "a", 1.25, 16, (0.1, -0.2, 3, 4, -5, 6), (1, -2, 3, 4, 5, 6, 7, 8, 9), (1.01, 0.02, -0.01, 0.99)
            ),
            OpticsGroup("b", 1.5, 32, ctf_applied="multiplied"),
            OpticsGroup("c", 1.25, 16, ctf_applied="phase-flip"),
            OpticsGroup("d", 1.25, 16, ctf_applied="corrected"),
        )
        table = replace(
            with_optics(9, groups),
            micrographs=("one.mrc", "two two.mrc"),
            micrograph_of=np.arange(9) % 2,
            class_of=np.arange(9) % 3 + 1,
        )
        (note,) = write_star31(tmp_path / "a.star", table)
        assert "Only RELION 5" in note
        back, _ = read_relion(tmp_path / "a.star")
        for got, wanted in zip(back.optics, table.optics, strict=True):
            assert got == wanted
        assert back.micrographs == table.micrographs
        np.testing.assert_array_equal(back.micrograph_of, table.micrograph_of)
        np.testing.assert_array_equal(back.class_of, table.class_of)

    @pytest.mark.parametrize("write", [write_star31, write_star30])
    def test_pure_beam_tilt_is_written_as_such(self, tmp_path: Path, write: type) -> None:
        tilted = OpticsGroup("tilted", 1.25, 16, odd_from_beam_tilt(0.5, -1.25, 2.7, 300.0))
        table = with_optics(6, (tilted, OpticsGroup("straight", 1.25, 16)))
        assert write(tmp_path / "a.star", table) == ()
        blocks = starfile.read(tmp_path / "a.star")
        rows = blocks["optics"] if write is write_star31 else blocks
        assert rows["rlnBeamTiltX"].tolist()[:2] == pytest.approx([0.5, 0])
        assert rows["rlnBeamTiltY"].tolist()[:2] == pytest.approx([-1.25, 0])
        assert "rlnOddZernike" not in rows
        back, _ = read_relion(tmp_path / "a.star")
        coma = {tuple(np.round(g.odd_zernike, 6)) for g in back.optics}
        assert coma == {(), tuple(np.round(tilted.odd_zernike, 6))}

    def test_what_an_old_file_cannot_say(self, tmp_path: Path) -> None:
        group = OpticsGroup("a", 1.25, 16, (0, 0, 1, 0, 0, 0), (1.0,), (1.01, 0, 0, 1), "phase-flip")
        notes = write_star30(tmp_path / "a.star", with_optics(2, (group,)))
        for words in ("antisymmetric", "symmetric", "anisotropic magnification", "phase-flipped"):
            assert any(words in note for note in notes), words
