"""CryoSPARC files: rows by hand, a real refinement against what cryoDRGN's parser made of it."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cs_sample import columns, cs, without
from io_project import assert_same_particles
from numpy.lib import recfunctions

from gemmap.errors import FormatError, InputError
from gemmap.io.cs import read_cs
from gemmap.io.cs_fields import read_cs_fields


class TestGolden:
    def test_three_particles(self, tmp_path: Path) -> None:
        table, notes = read_cs(cs(tmp_path / "a.cs", columns()))
        assert notes == ()
        # A = expmap(pose)^T: a turn of +90 degrees about z, transposed.
        np.testing.assert_allclose(table.rotations[0], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-7)
        np.testing.assert_allclose(table.rotations[1], np.eye(3))
        assert table.shifts_a.tolist() == [[6.0, -8.0]] * 3  # pixels of alignments3D/psize_A
        assert table.half.tolist() == [1, 2, 1]
        assert table.scale.tolist() == [0.5, 1.0, 1.5]
        assert table.image_sign.tolist() == [-1, -1, -1]
        assert table.stacks == ("J1/extract/s0.mrc", "J1/extract/s1.mrc")
        assert (table.stack_of.tolist(), table.index_in_stack.tolist()) == ([0, 1, 0], [0, 1, 2])
        assert [table.optics[i].name for i in table.optics_group] == ["exp_group_7", "exp_group_3", "exp_group_7"]
        assert {(g.pixel_size_a, g.box_px) for g in table.optics} == {(2.0, 64)}
        assert table.ctf is not None
        assert table.ctf.defocus_angle_rad.tolist() == [4.5] * 3  # radians, also beyond pi
        assert table.ctf.phase_shift_rad.tolist() == [0.25] * 3
        assert table.ctf.bfactor_a2.tolist() == [30.0] * 3
        assert table.ctf.scale.tolist() == pytest.approx([0.9] * 3)

    def test_paths_as_text(self, tmp_path: Path) -> None:
        fields = columns() | {"blob/path": np.array(["J1/a.mrc", "J1/é.mrc", "J1/a.mrc"])}
        assert read_cs(cs(tmp_path / "a.cs", fields))[0].stacks == ("J1/a.mrc", "J1/é.mrc")

    def test_given_pixel_size_scales_the_shifts(self, tmp_path: Path) -> None:
        table, _ = read_cs(cs(tmp_path / "a.cs", columns()), pixel_size_a=3.0)
        assert (table.pixel_size_a, table.shifts_a[0].tolist()) == (3.0, [9.0, -12.0])

    def test_absent_optional_fields(self, tmp_path: Path) -> None:
        names = ("alignments3D/psize_A", "alignments3D/split", "alignments3D/alpha", "blob/sign", "blob/shape",
                 "ctf/exp_group_id", "ctf/phase_shift_rad", "ctf/scale", "ctf/bfactor")  # fmt: skip
        table, notes = read_cs(cs(tmp_path / "a.cs", without(*names)))
        assert table.shifts_a[0].tolist() == [3.0, -4.0]  # pixels of blob/psize_A
        assert (table.half.tolist(), table.scale.tolist(), table.image_sign.tolist()) == ([0] * 3, [1] * 3, [1] * 3)
        assert table.ctf is not None
        assert [x[0] for x in (table.ctf.phase_shift_rad, table.ctf.bfactor_a2, table.ctf.scale)] == [0, 0, 1]
        assert len(notes) == 2
        assert any("blob/sign" in note and "--invert" in note for note in notes)
        assert any("alignments3D/psize_A" in note for note in notes)

    def test_no_ctf(self, tmp_path: Path) -> None:
        file = cs(tmp_path / "a.cs", {k: v for k, v in columns().items() if not k.startswith("ctf/")})
        assert read_cs(file, no_ctf=True)[0].ctf is None

    @pytest.mark.parametrize(
        ("field", "names"),
        [
            ({"location/micrograph_path": np.array([b">m b.mrc", b"a.mrc", b">m b.mrc"])}, ("m b.mrc", "a.mrc")),
            ({"location/micrograph_uid": np.array([9, 5, 9], "u8")}, ("9", "5")),
        ],
    )
    def test_micrographs(self, tmp_path: Path, field: dict[str, Any], names: tuple[str, ...]) -> None:
        table, _ = read_cs(cs(tmp_path / "a.cs", columns() | field))
        assert table.micrographs == names
        assert table.micrograph_of is not None
        assert table.micrograph_of.tolist() == [0, 1, 0]

    def test_voltages_and_boxes_are_groups(self, tmp_path: Path) -> None:
        fields = columns() | {
            "ctf/exp_group_id": np.zeros(3, "u4"),
            "ctf/accel_kv": np.array([300, 200, 300], "f4"),
            "blob/shape": np.array([[64, 64], [64, 64], [32, 32]], "u4"),
        }
        table, _ = read_cs(cs(tmp_path / "a.cs", fields))
        assert len(table.optics) == 3
        assert [table.optics[g].box_px for g in table.optics_group] == [64, 64, 32]

    def test_header_over_numpys_limit(self, tmp_path: Path) -> None:
        fields = columns() | {f"job/some_rather_long_field_name_{i}": np.zeros(3) for i in range(400)}
        with pytest.raises(ValueError, match="max_header_size"), open(cs(tmp_path / "a.cs", fields), "rb") as handle:
            np.load(handle)
        assert len(read_cs(tmp_path / "a.cs")[0]) == 3


class TestPassthrough:
    def test_rows_in_another_order(self, tmp_path: Path) -> None:
        whole = columns()
        main = {k: v for k, v in whole.items() if k == "uid" or k.startswith("alignments3D")}
        other = {k: v[[2, 0, 1]] for k, v in whole.items() if not k.startswith("alignments3D")}
        table, _ = read_cs(cs(tmp_path / "main.cs", main), passthrough=[cs(tmp_path / "pass.cs", other)])
        wanted, _ = read_cs(cs(tmp_path / "whole.cs", whole))
        assert_same_particles(table, wanted, rtol=0)
        assert table.stacks == wanted.stacks

    def test_more_rows_than_needed_and_main_file_wins(self, tmp_path: Path) -> None:
        main = {k: v[1:] for k, v in columns().items() if k != "ctf/df1_A"}
        other = columns() | {"blob/psize_A": np.full(3, 9.0)}
        table, _ = read_cs(cs(tmp_path / "main.cs", main), passthrough=[cs(tmp_path / "pass.cs", other)])
        assert (len(table), table.pixel_size_a) == (2, 2.0)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"uid": np.array([100, 102, 999], "u8")}, r"lacks 1 of the 3 particles of .*first has uid 101"),
            ({"uid": np.array([100, 100, 101], "u8")}, "lists the same uid twice"),
        ],
    )
    def test_uids_that_do_not_match(self, tmp_path: Path, change: dict[str, Any], message: str) -> None:
        main, other = cs(tmp_path / "main.cs", columns()), cs(tmp_path / "pass.cs", columns() | change)
        with pytest.raises(FormatError, match=message):
            read_cs_fields(main, [other])

    def test_without_uid(self, tmp_path: Path) -> None:
        main, other = cs(tmp_path / "main.cs", columns()), cs(tmp_path / "pass.cs", without("uid"))
        with pytest.raises(FormatError, match="cannot be joined"):
            read_cs_fields(main, [other])


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (without("alignments3D/pose"), "no poses: field alignments3D/pose is missing"),
            (without("alignments3D/shift"), "poses but no shifts"),
            (without("ctf/df1_A"), r"ctf/df1_A is missing; .* --no-ctf"),
            (without("ctf/cs_mm"), r"ctf/cs_mm is missing"),
            (without("blob/path"), "names no images: field blob/path"),
            (without("blob/psize_A"), "no pixel size .* --pixel-size"),
            (columns() | {"blob/psize_A": np.zeros(3)}, "blob/psize_A is not a positive number"),
            (columns() | {"alignments3D/psize_A": np.zeros(3)}, "alignments3D/psize_A is not a positive number"),
            (columns() | {"blob/sign": np.array([1.0, 0.0, -1.0])}, "blob/sign has the value 0; expected 1 or -1"),
            (columns() | {"alignments3D/split": np.array([0, 1, 2])}, "split has values other than 0 and 1"),
            (without("alignments3D/pose") | {"alignments_class_0/pose": np.zeros((3, 3))}, "without their class_post"),
            (
                without("alignments3D/pose") | {"alignments3D_multi/pose": np.zeros((3, 2, 3))},
                "without their class_post",
            ),
            (columns() | {"alignments3D/pose": np.zeros(3)}, "not a rotation vector for every particle"),
            (columns() | {"alignments3D/class": np.zeros(3)}, "alignments3D/class is not a whole number"),
            (columns() | {"filament/filament_uid": np.array([0, 7, 7], "u8")}, "names helical segments"),
            (
                columns() | {"ctf/anisomag": np.full((3, 3), 0.1)},
                r"anisomag has shape \(3, 3\); expected 4 numbers",
            ),
            ({k: v[:0] for k, v in columns().items()}, "holds no particles"),
        ],
    )
    def test_fields(self, tmp_path: Path, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            read_cs(cs(tmp_path / "a.cs", fields))
        assert "\n" not in str(caught.value)

    def test_python_objects_are_not_loaded(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(FormatError, match="Python objects"):
            read_cs(tmp_path / "a.npy")

    def test_plain_array(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros((3, 2)))
        with pytest.raises(FormatError, match=r"plain array of shape \(3, 2\)"):
            read_cs(tmp_path / "a.npy")

    @pytest.mark.parametrize("keep", [0, 5, 60, 1000])
    def test_truncated_file(self, tmp_path: Path, keep: int) -> None:
        file = cs(tmp_path / "a.cs", columns())
        file.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(FormatError, match="not a cryoSPARC particle file") as caught:
            read_cs(file)
        assert "\n" not in str(caught.value)

    def test_compressed_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.cs").write_bytes(b"\x94CSDAT" + bytes(100))
        with pytest.raises(FormatError, match="compressed cryoSPARC file of another version; save it as NumPy"):
            read_cs(tmp_path / "a.cs")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            read_cs(tmp_path / "a.cs")


class TestRealFiles:
    def test_poses_and_ctf_of_cryodrgn_parser(self, shared_data: Path) -> None:
        table, notes = read_cs(shared_data / "cryosparc" / "cryosparc_P12_J24_001_particles.cs")
        rotations, shifts = pickle.loads((shared_data / "cryosparc" / "pose.cs.pkl").read_bytes())
        wanted = pickle.loads((shared_data / "cryosparc" / "ctf2.pkl").read_bytes())
        assert notes == ()
        np.testing.assert_allclose(table.rotations, rotations, atol=2e-6)
        np.testing.assert_allclose(table.shifts_a, shifts * 180 * 2.95, rtol=1e-5, atol=1e-4)
        assert table.ctf is not None
        got = (
            table.ctf.defocus_u_a, table.ctf.defocus_v_a, np.degrees(table.ctf.defocus_angle_rad), table.ctf.voltage_kv,
            table.ctf.cs_mm, table.ctf.amplitude_contrast, np.degrees(table.ctf.phase_shift_rad),
        )  # fmt: skip
        np.testing.assert_allclose(np.stack(got, axis=-1), wanted[:, 2:], rtol=1e-6)
        assert set(table.half) == {1, 2}
        assert table.image_sign.tolist() == [-1] * 2019
        assert table.scale[0] == pytest.approx(0.9258563)

    def test_files_without_poses(self, shared_data: Path) -> None:
        for name in ("empiar_10076_7.cs", "cryosparc_J2_particles_exported.cs"):
            with pytest.raises(InputError, match="has no poses"):
                read_cs(shared_data / "cryosparc" / name)

    def test_exported_paths(self, shared_data: Path, tmp_path: Path) -> None:
        file = shared_data / "cryosparc" / "cryosparc_J2_particles_exported.cs"
        records = np.load(file, max_header_size=2**30)
        extra = recfunctions.unstructured_to_structured(
            np.zeros((len(records), 5), "f4"), dtype=[("alignments3D/pose", "3f4"), ("alignments3D/shift", "2f4")]
        )
        fields = {"uid": records["uid"], **{name: extra[name] for name in extra.dtype.names}}
        table, _ = read_cs(file, passthrough=[cs(tmp_path / "pass.cs", fields)])
        assert table.stacks[0] == "J1/imported/000090334788266266069_18jam15b_0345_ali_DW.mrcs"
