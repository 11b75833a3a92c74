"""RELION files: rows with values computed by hand, real files against what cryoDRGN's parser made of them."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import starfile
from io_project import assert_same_particles
from star_sample import OLD, OPTICS, PARTICLES, star, with_column, without

from gemmap.errors import InputError
from gemmap.io.relion import read_relion
from gemmap.io.relion_table import read_relion_images


class TestGolden:
    @pytest.mark.parametrize("text", [OPTICS + "\n" + PARTICLES, PARTICLES + "\n" + OPTICS])
    def test_three_particles_with_optics_before_or_after(self, tmp_path: Path, text: str) -> None:
        table, notes = read_relion(star(tmp_path, text))
        assert notes == ()
        np.testing.assert_allclose(table.rotations[0], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-12)
        np.testing.assert_allclose(table.rotations[1], [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-12)
        np.testing.assert_allclose(table.rotations[2], np.eye(3), atol=1e-12)
        assert table.shifts_a.tolist() == [[1.5, -2.5], [0, 0], [-1, 2]]
        assert table.half.tolist() == [1, 2, 1]
        assert [table.stacks[i] for i in table.stack_of] == ["Extract/b.mrcs", "Extract/a.mrcs", "Extract/b.mrcs"]
        assert table.index_in_stack.tolist() == [2, 0, 1]
        assert table.image_sign.tolist() == [1, 1, 1]
        assert table.scale.tolist() == [1, 1, 1]
        assert [(g.name, g.pixel_size_a, g.box_px) for g in table.optics] == [("seven", 1.25, 64), ("three", 1.25, 64)]
        assert [table.optics[i].name for i in table.optics_group] == ["three", "seven", "three"]
        assert table.ctf is not None
        assert table.ctf.voltage_kv.tolist() == [200, 300, 200]
        assert table.ctf.cs_mm.tolist() == [2.0, 2.7, 2.0]
        assert table.ctf.amplitude_contrast.tolist() == [0.07, 0.1, 0.07]
        assert table.ctf.defocus_u_a.tolist() == [10000, 11000, 12000]
        assert table.ctf.defocus_v_a.tolist() == [9000, 9500, 12000]
        assert table.ctf.defocus_angle_rad.tolist() == pytest.approx([math.pi / 6, -math.pi / 4, 0])
        assert table.ctf.phase_shift_rad.tolist() == pytest.approx([math.pi / 2, 0, 0])
        assert table.ctf.bfactor_a2.tolist() == [40, 0, 0]
        assert table.ctf.scale.tolist() == [0.5, 1, 1]

    def test_two_particles_of_an_old_file(self, tmp_path: Path) -> None:
        table, notes = read_relion(star(tmp_path, OLD))
        assert notes == ()
        assert table.pixel_size_a == 1.25  # 1e4 * 5 / 40000
        assert table.shifts_a.tolist() == [[2.5, -5.0], [1.25, 3.75]]
        assert table.half.tolist() == [0, 0]
        # Cs refined per particle does not split the group.
        assert table.optics_group.tolist() == [0, 0]
        assert table.ctf is not None
        assert table.ctf.cs_mm.tolist() == [2.7, 2.6]
        assert (table.ctf.bfactor_a2.tolist(), table.ctf.scale.tolist()) == ([0, 0], [1, 1])

    def test_old_file_of_two_microscopes_has_two_groups(self, tmp_path: Path) -> None:
        table, _ = read_relion(star(tmp_path, OLD.replace("30 300 2.6", "30 200 2.6")))
        assert sorted(table.optics_group.tolist()) == [0, 1]


class TestWhichColumnWins:
    def test_ctf_column_of_the_particle(self, tmp_path: Path) -> None:
        table, _ = read_relion(star(tmp_path, OPTICS + with_column(PARTICLES, "rlnVoltage", ["100", "120", "80"])))
        assert table.ctf is not None
        assert table.ctf.voltage_kv.tolist() == [100, 120, 80]

    def test_angstrom_shifts(self, tmp_path: Path) -> None:
        text = with_column(with_column(PARTICLES, "rlnOriginX", ["9"] * 3), "rlnOriginY", ["9"] * 3)
        table, _ = read_relion(star(tmp_path, OPTICS + text))
        assert table.shifts_a.tolist() == [[1.5, -2.5], [0, 0], [-1, 2]]

    def test_given_pixel_size_changes_pixel_shifts_only(self, tmp_path: Path) -> None:
        old, _ = read_relion(star(tmp_path, OLD), pixel_size_a=3.0)
        assert (old.pixel_size_a, old.shifts_a.tolist()) == (3.0, [[6, -12], [3, 9]])
        new, _ = read_relion(star(tmp_path, OPTICS + PARTICLES), pixel_size_a=3.0)
        assert (new.pixel_size_a, new.shifts_a.tolist()) == (3.0, [[1.5, -2.5], [0, 0], [-1, 2]])


class TestDefaults:
    def test_no_shifts_is_noted(self, tmp_path: Path) -> None:
        text = without(without(PARTICLES, "rlnOriginXAngst"), "rlnOriginYAngst")
        table, notes = read_relion(star(tmp_path, OPTICS + text))
        assert not table.shifts_a.any()
        assert len(notes) == 1
        assert "no shifts" in notes[0]

    def test_pixel_size_of_the_micrograph_is_noted(self, tmp_path: Path) -> None:
        text = (OPTICS + PARTICLES).replace("rlnImagePixelSize", "rlnMicrographOriginalPixelSize")
        table, notes = read_relion(star(tmp_path, text))
        assert table.pixel_size_a == 1.25
        assert "rlnMicrographOriginalPixelSize" in notes[0]

    def test_defocus_v_is_u(self, tmp_path: Path) -> None:
        text = without(without(PARTICLES, "rlnDefocusV"), "rlnDefocusAngle")
        table, _ = read_relion(star(tmp_path, OPTICS + text))
        assert table.ctf is not None
        assert table.ctf.defocus_v_a.tolist() == [10000, 11000, 12000]

    def test_no_ctf_needs_no_ctf_columns(self, tmp_path: Path) -> None:
        text = without(OLD, "rlnVoltage")
        table, _ = read_relion(star(tmp_path, without(text, "rlnDefocusU")), no_ctf=True)
        assert table.ctf is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OPTICS + without(PARTICLES, "rlnAngleTilt"), "no poses: column rlnAngleTilt is missing"),
        (OPTICS + without(PARTICLES, "rlnDefocusU"), "no CTF: .* --no-ctf"),
        (without(OPTICS, "rlnVoltage") + PARTICLES, "gives no voltage: column rlnVoltage"),
        (without(OPTICS, "rlnSphericalAberration") + PARTICLES, "gives no spherical aberration"),
        (without(OPTICS, "rlnAmplitudeContrast") + PARTICLES, "gives no amplitude contrast"),
        (without(OPTICS, "rlnImagePixelSize") + PARTICLES, "gives no pixel size .* --pixel-size"),
        ((OPTICS + PARTICLES).replace(" 1.25 64", " 0 64"), "pixel size that is not a positive number"),
        (OPTICS + without(PARTICLES, "rlnDefocusAngle"), "astigmatism .* no rlnDefocusAngle"),
        (OPTICS + without(PARTICLES, "rlnOriginYAngst"), "only one of rlnOriginXAngst and rlnOriginYAngst"),
        (OPTICS + without(PARTICLES, "rlnImageName"), "names no images"),
        (OPTICS + without(PARTICLES, "rlnOpticsGroup"), "no rlnOpticsGroup column"),
        (OPTICS.replace("7 seven", "4 four") + PARTICLES, r"optics group 7, .*\(it has 3, 4\)"),
        (OPTICS.replace("7 seven", "3 again") + PARTICLES, "same rlnOpticsGroup twice"),
        (OPTICS + PARTICLES.replace("2@Extract", "0@Extract"), "row 3 is '0@Extract/b.mrcs'; expected number@stack"),
        (OPTICS + PARTICLES.replace("2@Extract", "Extract"), "row 3 is 'Extract/b.mrcs'; expected number@stack"),
        (OPTICS + PARTICLES.replace("0.5 1 3", "0.5 3 3"), "rlnRandomSubset of row 1 is 3; expected 1 or 2"),
        (OPTICS + PARTICLES.replace("12000 12000", "12000 none"), "rlnDefocusV of row 3 is 'none'; expected a number"),
        (OPTICS + PARTICLES.replace("12000 12000", "12000 nan"), "defocus_v_a is not a number for 1 of 3 particles"),
        (OPTICS.replace(" 0.1 ", " 10 ") + PARTICLES, "fraction, not a percentage"),
        (OPTICS.replace("64 2\n3", "64 3\n3") + PARTICLES, "subtomograms"),
        (OPTICS + with_column(PARTICLES, "rlnTomoVisibleFrames", ["[1]"] * 3), "2-D stacks of tilt series"),
        (OPTICS + with_column(PARTICLES, "rlnHelicalTubeID", ["1", "1", "2"]), "helical segments .rlnHelicalTubeID"),
        (OPTICS + with_column(PARTICLES, "rlnHelicalTrackLengthAngst", ["0", "4.5", "9"]), "helical segments"),
        (
            with_column(
                with_column(OPTICS, "rlnCtfDataAreCtfPremultiplied", ["0", "1"]),
                "rlnCtfDataArePhaseFlipped",
                ["0", "1"],
            )
            + PARTICLES,
            "says both rlnCtfDataAreCtfPremultiplied and rlnCtfDataArePhaseFlipped",
        ),
        (
            with_column(OPTICS, "rlnOddZernike", ["[0,x]", "[]"]) + PARTICLES,
            r"rlnOddZernike is '\[0,x\]'; expected numbers",
        ),
        (with_column(OPTICS, "rlnEvenZernike", ["[0,nan]", "[]"]) + PARTICLES, "expected numbers in brackets"),
        (with_column(OPTICS, "rlnMagMat00", ["0", "1"]) + PARTICLES, "magnification matrix .* close to the identity"),
        (OPTICS.replace("64 2", "64.5 2") + PARTICLES, r"rlnImageSize is 64\.5; expected a whole number"),
        (OPTICS + PARTICLES.rpartition("000003@")[0], "holds no particles"),
        ((OPTICS + PARTICLES + OLD).replace("data_particles", "data_x").replace("data_\n", "data_y\n"), "2 tables"),
    ],
)
def test_refused_with_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_relion(star(tmp_path, text))
    assert "\n" not in str(caught.value)


class TestParticles:
    def test_micrographs_and_classes(self, tmp_path: Path) -> None:
        text = with_column(PARTICLES, "rlnMicrographName", ["m/b.mrc", "'m/a b.mrc'", "m/b.mrc"])
        table, notes = read_relion(star(tmp_path, OPTICS + with_column(text, "rlnClassNumber", ["2", "1", "2"])))
        assert table.micrographs == ("m/b.mrc", "m/a b.mrc")
        assert table.micrograph_of is not None
        assert table.micrograph_of.tolist() == [0, 1, 0]
        assert table.class_of is not None
        assert table.class_of.tolist() == [2, 1, 2]
        assert notes == ()

    def test_without_them(self, tmp_path: Path) -> None:
        table, _ = read_relion(star(tmp_path, OPTICS + PARTICLES))
        assert (table.micrograph_of, table.micrographs, table.class_of) == (None, (), None)

    @pytest.mark.parametrize("label", ["rlnNormCorrection", "rlnGroupScaleCorrection"])
    def test_scales_that_are_not_applied_are_named(self, tmp_path: Path, label: str) -> None:
        text = OPTICS + with_column(PARTICLES, label, ["0.5", "0.5", "0.5"])
        assert read_relion(star(tmp_path, text))[1] == ()
        (note,) = read_relion(star(tmp_path, OPTICS + with_column(PARTICLES, label, ["0.5", "1.5", "1"])))[1]
        assert note.startswith(f"{label} (0.5 to 1.5) is not applied, as in relion_reconstruct")

    def test_helical_columns_of_zeros_are_no_helix(self, tmp_path: Path) -> None:
        text = OPTICS + with_column(PARTICLES, "rlnHelicalTubeID", ["0", "0", "0"])
        assert len(read_relion(star(tmp_path, text))[0]) == 3


class TestRealFiles:
    def test_rotations_and_shifts_of_cryodrgn_parser(self, shared_data: Path) -> None:
        file = shared_data / "relion" / "FinalRefinement-OriginalParticles-PfCRT.star"
        table, _ = read_relion(file, no_ctf=True)
        rotations, shifts = pickle.loads((shared_data / "relion" / "pose.star.pkl").read_bytes())
        np.testing.assert_allclose(table.rotations, rotations, atol=1e-12)
        np.testing.assert_allclose(table.shifts_a, shifts * 300 * 1.035, atol=1e-6)
        assert table.half.tolist() == [2, 1, 2, 2, 2]

    def test_ctf_of_cryodrgn_parser(self, shared_data: Path, tmp_path: Path) -> None:
        text = (shared_data / "relion" / "FinalRefinement-OriginalParticles-PfCRT.star").read_text()
        text = "\n".join(line.rstrip() for line in text.splitlines())
        with pytest.raises(InputError, match="gives no amplitude contrast"):
            read_relion(star(tmp_path, text))
        table, _ = read_relion(star(tmp_path, with_column(text, "rlnAmplitudeContrast", ["0.1"] * 5)))
        wanted = pickle.loads((shared_data / "relion" / "ctf1.pkl").read_bytes())
        assert table.ctf is not None
        got = (
            table.ctf.defocus_u_a, table.ctf.defocus_v_a, np.degrees(table.ctf.defocus_angle_rad), table.ctf.voltage_kv,
            table.ctf.cs_mm, table.ctf.amplitude_contrast, np.degrees(table.ctf.phase_shift_rad),
        )  # fmt: skip
        np.testing.assert_allclose(np.stack(got, axis=-1), wanted[:, 2:], rtol=1e-6)
        assert table.pixel_size_a == pytest.approx(wanted[0, 1])

    def test_optics_table_before_and_after(self, shared_data: Path) -> None:
        before, _ = read_relion(shared_data / "relion" / "relion31.star")
        after, _ = read_relion(shared_data / "relion" / "relion31.v2.star")
        assert_same_particles(after, before, rtol=0)
        assert before.pixel_size_a == 2.806

    def test_pixel_and_angstrom_shifts_agree(self, shared_data: Path) -> None:
        table, _ = read_relion(shared_data / "relion" / "relion_proj_batch.star")
        rows = starfile.read(shared_data / "relion" / "relion_proj_batch.star")["particles"]
        in_px = rows[["rlnOriginX", "rlnOriginY"]].to_numpy()
        np.testing.assert_allclose(table.shifts_a, in_px * 3.54, atol=1e-3)

    def test_six_optics_groups(self, shared_data: Path) -> None:
        table, notes = read_relion(shared_data / "relion" / "relion31.6opticsgroups.star")
        rows = starfile.read(shared_data / "relion" / "relion31.6opticsgroups.star")["particles"]
        assert [int(table.optics[i].name[-1]) for i in table.optics_group] == [
            {1: 5, 2: 3, 3: 2, 4: 1, 5: 4, 6: 6}[number] for number in rows["rlnOpticsGroup"]
        ]
        assert [note.split()[0] for note in notes] == ["rlnNormCorrection"]
        group = next(g for g in table.optics if g.name == "opticsGroup5")
        assert group.even_zernike[:2] == (2.28053454247, 27.0686280677)
        assert group.magnification == (1.011472, 0.004231, 0.00456, 1.008858)
        wavelength = 12.2643247 / math.sqrt(200e3 * (1 + 0.978466e-6 * 200e3))
        # Trefoil stands as written; coma has the beam tilt (0.657, 0.885 mrad) added.
        assert (group.odd_zernike[2], group.odd_zernike[5]) == (2.54522458134, 3.56183614819)
        assert group.odd_zernike[3] == pytest.approx(-2 * math.pi / 3 * 2.7e7 * wavelength**2 * 0.884982e-3)
        assert table.micrograph_of is not None
        with pytest.raises(InputError, match=r"different pixel sizes \(1\.24, 1\.25 Å\)"):
            _ = table.pixel_size_a

    def test_relion5(self, shared_data: Path) -> None:
        table, notes = read_relion(shared_data / "relion" / "relion5.star")
        assert (len(table), table.pixel_size_a) == (17, 0.89)
        assert [note.split()[0] for note in notes] == ["rlnNormCorrection"]
        (group,) = table.optics
        assert group.odd_zernike[2] == -1.79877045848
        assert len(group.even_zernike) == 9
        assert table.micrographs[0].endswith("_EER.mrc")

    def test_file_without_poses(self, shared_data: Path) -> None:
        with pytest.raises(InputError, match="has no poses"):
            read_relion(shared_data / "relion" / "empiar_10076_7.star")
        assert len(read_relion_images(shared_data / "relion" / "empiar_10076_7.star")) == 7


MALFORMED = {
    "empty_loop.star": "names no images",
    "loop_double_quote.star": "names no images",
    "loop_single_quote.star": "names no images",
    "one_loop.star": "subtomograms",
    "postprocess.star": r"names no images: none of its tables \(data_general, data_fsc, data_guinier\)",
    "rln3.1_data_style.star": r"2 tables with images \(block_2, block_3\)",
    "run_it025_optimiser_3D.star": "names no images",
    "run_it025_sampling_3D.star": "names no images",
    "single_line_middle_of_multiblock.star": "2 tables with images",
    "two_single_line_loop_blocks.star": "names no images",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_one_sentence(shared_data: Path, name: str) -> None:
    with pytest.raises(InputError, match=MALFORMED[name]) as caught:
        read_relion(shared_data / "malformed" / name)
    assert "\n" not in str(caught.value)


def test_no_malformed_star_file_is_forgotten(shared_data: Path) -> None:
    stars = {file.name for file in (shared_data / "malformed").glob("*.star")}
    assert stars == {*MALFORMED, "M_particles_sub10.star"}


def test_refined_cs_per_particle_is_read(shared_data: Path) -> None:
    table, _ = read_relion(shared_data / "malformed" / "M_particles_sub10.star")
    assert table.ctf is not None
    assert (len(table), len(table.optics), len(np.unique(table.ctf.cs_mm))) == (10, 1, 9)
    assert table.ctf.bfactor_a2[0] == -136.92  # the sign stands as written
