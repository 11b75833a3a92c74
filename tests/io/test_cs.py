"""CryoSPARC files: rows by hand, a real refinement against what cryoDRGN's parser made of it."""

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from io_project import assert_same_particles, random_table
from numpy.lib import recfunctions

from gemmap.errors import FormatError, InputError
from gemmap.io.cs import read_cs, write_cs
from gemmap.io.cs_fields import read_cs_fields


def columns(n: int = 3) -> dict[str, Any]:
    """Fields of n particles as cryoSPARC names them; the first view turns the object by 90 degrees about z."""
    pose = np.zeros((n, 3), "f4")
    pose[0] = 0, 0, math.pi / 2
    return {
        "uid": np.arange(100, 100 + n, dtype="u8"),
        "blob/path": np.array([f">J1/extract/s{i % 2}.mrc".encode() for i in range(n)]),
        "blob/idx": np.arange(n, dtype="u4"),
        "blob/shape": np.full((n, 2), 64, "u4"),
        "blob/psize_A": np.full(n, 2.0, "f4"),
        "blob/sign": np.full(n, -1.0, "f4"),
        "alignments3D/pose": pose,
        "alignments3D/shift": np.array([[1.5, -2.0]] * n, "f4"),
        "alignments3D/psize_A": np.full(n, 4.0, "f4"),
        "alignments3D/split": np.arange(n, dtype="u4") % 2,
        "alignments3D/alpha": np.linspace(0.5, 1.5, n, dtype="f4"),
        "ctf/exp_group_id": np.array([7, 3, 7][:n], "u4"),
        "ctf/accel_kv": np.full(n, 300.0, "f4"),
        "ctf/cs_mm": np.full(n, 2.7, "f4"),
        "ctf/amp_contrast": np.full(n, 0.1, "f4"),
        "ctf/df1_A": np.full(n, 12000.0, "f4"),
        "ctf/df2_A": np.full(n, 11000.0, "f4"),
        "ctf/df_angle_rad": np.full(n, 4.5, "f4"),
        "ctf/phase_shift_rad": np.full(n, 0.25, "f4"),
        "ctf/scale": np.full(n, 0.9, "f4"),
        "ctf/bfactor": np.full(n, 30.0, "f4"),
    }


def cs(path: Path, fields: dict[str, Any]) -> Path:
    records = np.zeros(len(next(iter(fields.values()))), [(k, v.dtype, v.shape[1:]) for k, v in fields.items()])
    for name, value in fields.items():
        records[name] = value
    with open(path, "wb") as handle:
        np.save(handle, records)
    return path


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in columns().items() if name not in names}


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
        ("name", "width"), [("ctf/tilt_A", 2), ("ctf/trefoil_A", 2), ("ctf/tetra_A", 4), ("ctf/anisomag", 4)]
    )
    def test_what_is_not_modelled_is_noted(self, tmp_path: Path, name: str, width: int) -> None:
        zeros = np.zeros((3, width), "f4")
        assert read_cs(cs(tmp_path / "a.cs", columns() | {name: zeros}))[1] == ()
        zeros[1, 0] = 1e-3
        (note,) = read_cs(cs(tmp_path / "b.cs", columns() | {name: zeros}))[1]
        assert name in note
        assert "not modelled" in note

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
            (without("alignments3D/pose") | {"alignments_class_0/pose": np.zeros((3, 3))}, "several classes"),
            (without("alignments3D/pose") | {"alignments3D_multi/pose": np.zeros((3, 2, 3))}, "several classes"),
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
        with pytest.raises(FormatError, match="compressed cryoSPARC file; save it as NumPy"):
            read_cs(tmp_path / "a.cs")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            read_cs(tmp_path / "a.cs")


class TestWriting:
    @pytest.mark.parametrize("n", [1, 2, 11])
    def test_round_trip(self, tmp_path: Path, n: int) -> None:
        table = replace(random_table(n), image_sign=np.where(np.arange(n) % 2, 1.0, -1.0), scale=np.linspace(1, 2, n))
        write_cs(tmp_path / "a.cs", table)
        back, notes = read_cs(tmp_path / "a.cs")
        assert notes == ()
        assert_same_particles(back, table)
        for name in ("half", "image_sign", "optics_group"):
            np.testing.assert_array_equal(getattr(back, name), getattr(table, name))
        np.testing.assert_allclose(back.scale, table.scale, rtol=1e-6)

    def test_without_ctf_or_halves(self, tmp_path: Path) -> None:
        write_cs(tmp_path / "a.cs", replace(random_table(3), ctf=None, half=np.zeros(3, int)))
        names = np.load(tmp_path / "a.cs").dtype.names
        assert not [name for name in names if name.startswith("ctf/") or name.endswith("split")]

    def test_unknown_box(self, tmp_path: Path) -> None:
        table = random_table(3)
        table = replace(table, optics=tuple(replace(g, box_px=None) for g in table.optics))
        with pytest.raises(InputError, match="box of the images"):
            write_cs(tmp_path / "a.cs", table)


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
