"""Optics groups of RELION files: aberrations against polynomials written out here, and what the images went through."""

import math
from pathlib import Path

import pytest
from star_sample import OLD, OPTICS, PARTICLES, star, with_column, without

from gemmap.errors import InputError
from gemmap.io.relion import read_relion


class TestOpticsGroups:
    def test_zernikes_and_magnification(self, tmp_path: Path) -> None:
        text = with_column(OPTICS, "rlnOddZernike", ["[0,0,0,0,0,0]", "[0.5,-1,2.5,0,1e-3,-7]"])
        text = with_column(text, "rlnEvenZernike", ["[]", "[1,2,3,4,5,6,7,8,9]"])
        for place, entry in {"00": "1 1.01", "01": "0 0.02", "10": "0 -0.03", "11": "1 0.98"}.items():
            text = with_column(text, f"rlnMagMat{place}", entry.split())
        seven, three = read_relion(star(tmp_path, text + PARTICLES))[0].optics
        assert (seven.name, three.name) == ("seven", "three")
        assert (seven.odd_zernike, seven.even_zernike, seven.magnification) == ((), (), (1, 0, 0, 1))
        assert three.odd_zernike == (0.5, -1.0, 2.5, 0.0, 1e-3, -7.0)
        assert three.even_zernike == (1, 2, 3, 4, 5, 6, 7, 8, 9)
        assert three.magnification == (1.01, 0.02, -0.03, 0.98)

    @pytest.mark.parametrize("odd", [None, "[0,0,1,0,0,2]"])
    def test_beam_tilt_is_added_to_the_odd_zernikes(self, tmp_path: Path, odd: str | None) -> None:
        """The phase -2 pi Cs lambda^2 k^2 (tilt . k), summed at some k from the polynomials of RELION."""
        text = with_column(with_column(OPTICS, "rlnBeamTiltX", ["0", "0.7"]), "rlnBeamTiltY", ["0", "-1.2"])
        if odd is not None:
            text = with_column(text, "rlnOddZernike", [odd, odd])
        seven, three = read_relion(star(tmp_path, text + PARTICLES))[0].optics
        assert seven.odd_zernike == (() if odd is None else (0, 0, 1, 0, 0, 2))
        wavelength = 12.2643247 / math.sqrt(200e3 * (1 + 0.978466e-6 * 200e3))
        for kx, ky in ((0.1, 0.0), (0.0, 0.13), (-0.21, 0.08)):
            k, t = math.hypot(kx, ky), math.atan2(ky, kx)
            z = [k * math.sin(t), k * math.cos(t), k**3 * math.sin(3 * t), (3 * k**3 - 2 * k) * math.sin(t),
                 (3 * k**3 - 2 * k) * math.cos(t), k**3 * math.cos(3 * t)]  # fmt: skip
            phase = sum(a * b for a, b in zip(three.odd_zernike, z, strict=True))
            wanted = -2 * math.pi * 2.0e7 * wavelength**2 * k**2 * (0.7e-3 * kx - 1.2e-3 * ky)
            wanted += 0 if odd is None else z[2] + 2 * z[5]
            assert phase == pytest.approx(wanted, rel=1e-9)

    def test_beam_tilt_of_each_particle_in_an_old_file(self, tmp_path: Path) -> None:
        text = with_column(with_column(OLD, "rlnBeamTiltX", ["0.5", "-0.5"]), "rlnBeamTiltY", ["0", "0"])
        table, _ = read_relion(star(tmp_path, text))
        assert len(table.optics) == 2
        first, second = (table.optics[g].odd_zernike for g in table.optics_group)
        # By the Cs of each particle.
        assert first[4] == pytest.approx(-second[4] * 2.7 / 2.6)
        assert first[4] < 0

    @pytest.mark.parametrize(
        ("label", "said"),
        [
            ("rlnCtfDataAreCtfPremultiplied", "multiplied"),
            ("rlnCtfDataArePhaseFlipped", "phase-flip"),
            ("rlnCtfDataAreCtfCorrected", "corrected"),
        ],
    )
    def test_what_was_done_about_the_ctf(self, tmp_path: Path, label: str, said: str) -> None:
        text = with_column(OPTICS, label, ["0", "1"]) + PARTICLES
        table, _ = read_relion(star(tmp_path, text))
        assert [g.ctf_applied for g in table.optics] == ["none", said]
        if said == "corrected":
            assert read_relion(star(tmp_path, text), no_ctf=True)[0].ctf is None
        else:
            with pytest.raises(InputError, match=f"CTF went into its images .{said}.*leave out --no-ctf"):
                read_relion(star(tmp_path, text), no_ctf=True)

    def test_corrected_images_need_no_ctf_columns(self, tmp_path: Path) -> None:
        particles = without(PARTICLES, "rlnDefocusU")
        text = with_column(OPTICS, "rlnCtfDataAreCtfCorrected", ["1", "1"]) + particles
        table, _ = read_relion(star(tmp_path, text))
        assert (table.ctf, table.optics[0].ctf_applied) == (None, "corrected")
        with pytest.raises(InputError, match="has no CTF"):
            read_relion(star(tmp_path, with_column(OPTICS, "rlnCtfDataAreCtfCorrected", ["1", "0"]) + particles))

    def test_without_a_ctf_aberrations_are_left_out(self, tmp_path: Path) -> None:
        text = with_column(with_column(OPTICS, "rlnBeamTiltX", ["0", "1"]), "rlnMagMat00", ["1", "1.1"]) + PARTICLES
        table, (note,) = read_relion(star(tmp_path, text), no_ctf=True)
        assert [(g.odd_zernike, g.magnification[0]) for g in table.optics] == [((), 1.0), ((), 1.1)]
        assert "Aberrations are part of the CTF" in note

    def test_pixel_and_box_of_each_group(self, tmp_path: Path) -> None:
        text = OPTICS.replace("0.07 1.25 64", "0.07 2.5 32") + PARTICLES
        table, _ = read_relion(star(tmp_path, text))
        assert [(g.pixel_size_a, g.box_px) for g in table.optics] == [(1.25, 64), (2.5, 32)]
        assert table.ctf is not None
        assert table.ctf.voltage_kv.tolist() == [200, 300, 200]
