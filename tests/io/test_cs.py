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
from gemmap.io.cs import read_cs
from gemmap.io.cs_fields import read_cs_fields
from gemmap.io.cs_write import write_cs
from gemmap.physics.zernike import odd_from_beam_tilt


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


ABERRATIONS = {
    "ctf/shift_A": np.array([[0.5, -0.25]] * 3),
    "ctf/tilt_A": np.array([[1500.0, -700.0]] * 3),
    "ctf/trefoil_A": np.array([[-900.0, 400.0]] * 3),
    "ctf/tetra_A": np.array([[3e4, -2e4, 5e4, -8e4]] * 3),
    "ctf/anisomag": np.array([[0.01, 0.002, -0.003, -0.01]] * 3),
}


class TestAberrations:
    @pytest.mark.parametrize("name", ABERRATIONS)
    def test_refused_unless_zero(self, tmp_path: Path, name: str) -> None:
        zeros = np.zeros_like(ABERRATIONS[name])
        assert read_cs(cs(tmp_path / "a.cs", columns() | {name: zeros}))[1] == ()
        file = cs(tmp_path / "b.cs", columns() | {name: ABERRATIONS[name]})
        with pytest.raises(InputError, match=f"{name}.*--cs-aberrations model .*--cs-aberrations ignore"):
            read_cs(file)

    def test_ignored(self, tmp_path: Path) -> None:
        table, (note,) = read_cs(cs(tmp_path / "a.cs", columns() | ABERRATIONS), aberrations="ignore")
        assert all((g.odd_zernike, g.even_zernike, g.magnification) == ((), (), (1, 0, 0, 1)) for g in table.optics)
        assert note.startswith("Left out as asked: ctf/shift_A, ctf/tilt_A")
        assert table.shifts_a[0].tolist() == [6.0, -8.0]

    def test_modelled_by_the_convention(self, tmp_path: Path) -> None:
        """Phases at some k, from the formulas of docs/conventions.md and the polynomials of RELION."""
        table, (note,) = read_cs(cs(tmp_path / "a.cs", columns() | ABERRATIONS), aberrations="model")
        assert note.startswith("Modelled as asked, by a convention that cryoSPARC does not document")
        np.testing.assert_allclose(table.shifts_a[0], [5.5, -7.75])
        group = table.optics[0]
        np.testing.assert_allclose(group.magnification, [1.01, 0.002, -0.003, 0.99], rtol=1e-6)
        wavelength = 12.2643247 / math.sqrt(300e3 * (1 + 0.978466e-6 * 300e3))
        for k, t in ((0.1, 0.0), (0.2, 1.1), (0.25, -2.5)):
            odd = [k * math.sin(t), k * math.cos(t), k**3 * math.sin(3 * t), (3 * k**3 - 2 * k) * math.sin(t),
                   (3 * k**3 - 2 * k) * math.cos(t), k**3 * math.cos(3 * t)]  # fmt: skip
            wanted = -2 * math.pi * wavelength**2 * k**3 * (1500 * math.cos(t) - 700 * math.sin(t))
            wanted -= 2 * math.pi / 3 * wavelength**2 * k**3 * (-900 * math.cos(3 * t) + 400 * math.sin(3 * t))
            assert np.dot(group.odd_zernike, odd) == pytest.approx(wanted, rel=1e-6)
            r42 = 4 * k**4 - 3 * k**2
            even = [
                1,
                k**2 * math.sin(2 * t),
                2 * k**2 - 1,
                k**2 * math.cos(2 * t),
                k**4 * math.sin(4 * t),
                r42 * math.sin(2 * t),
                6 * k**4 - 6 * k**2 + 1,
                r42 * math.cos(2 * t),
                k**4 * math.cos(4 * t),
            ]
            wanted = 2 * math.pi * (3e4 * math.cos(2 * t) - 2e4 * math.sin(2 * t))
            wanted += math.pi / 2 * (5e4 * math.cos(4 * t) - 8e4 * math.sin(4 * t))
            assert np.dot(group.even_zernike, even) == pytest.approx(wanted * wavelength**3 * k**4, rel=1e-6)

    def test_tilt_is_that_of_relion(self, tmp_path: Path) -> None:
        """A beam tilt of tau mrad is tilt_A = Cs tau, as pyem converts it."""
        tilt = np.array([[2.7e7 * 0.4e-3, 0.0]] * 3)
        table, _ = read_cs(cs(tmp_path / "a.cs", columns() | {"ctf/tilt_A": tilt}), aberrations="model")
        np.testing.assert_allclose(table.optics[0].odd_zernike, odd_from_beam_tilt(0.4, 0.0, 2.7, 300.0), rtol=1e-6)

    def test_without_a_ctf(self, tmp_path: Path) -> None:
        table, (note,) = read_cs(cs(tmp_path / "a.cs", columns() | ABERRATIONS), no_ctf=True)
        assert table.optics[0].odd_zernike == ()
        assert "Left out" in note


def class_fields(numbers: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """Poses about z by 10, 20 and 30 degrees for the three classes of each particle; the best are 2, 0, 0."""
    posterior = np.array([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0], [0.5, 0.3, 0.2]], "f4")
    fields: dict[str, Any] = {}
    for place, number in enumerate(numbers):
        pose = np.zeros((3, 3), "f4")
        pose[:, 2] = math.radians(10 * (place + 1))
        fields |= {
            f"alignments_class_{number}/pose": pose,
            f"alignments_class_{number}/shift": np.full((3, 2), place, "f4"),
            f"alignments_class_{number}/psize_A": np.full(3, 2.0, "f4"),
            f"alignments_class_{number}/split": np.array([0, 1, 0], "u4"),
            f"alignments_class_{number}/alpha": np.full(3, 1.0 + place, "f4"),
            f"alignments_class_{number}/class_posterior": posterior[:, place],
        }
    return fields


def multi_fields() -> dict[str, Any]:
    """The same as two-dimensional arrays, with one half-set for all classes."""
    old = class_fields()
    stacked = {
        f"alignments3D_multi/{name}": np.stack([old[f"alignments_class_{k}/{name}"] for k in range(3)], axis=1)
        for name in ("pose", "shift", "psize_A", "alpha", "class_posterior")
    }
    return stacked | {
        "alignments3D_multi/split": np.array([0, 1, 0], "u4"),
        "alignments3D_multi/class": np.tile(np.arange(3, dtype="u4"), (3, 1)),
    }


def without_alignments() -> dict[str, Any]:
    return {name: value for name, value in columns().items() if not name.startswith("alignments3D")}


class TestClasses:
    @pytest.mark.parametrize("fields", [class_fields(), multi_fields()], ids=["4.4", "4.5"])
    def test_class_of_highest_posterior(self, tmp_path: Path, fields: dict[str, Any]) -> None:
        table, (note,) = read_cs(cs(tmp_path / "a.cs", without_alignments() | fields))
        assert note.startswith(
            "Each particle's pose is that of its class of highest posterior, of 3 classes (mean posterior 0.70)"
        )
        assert table.class_of is not None
        assert table.class_of.tolist() == [2, 0, 0]
        turn = np.degrees(np.arctan2(table.rotations[:, 0, 1], table.rotations[:, 0, 0]))
        np.testing.assert_allclose(turn, [30, 10, 10], atol=1e-4)
        assert table.shifts_a[:, 0].tolist() == [4.0, 0.0, 0.0]
        assert (table.half.tolist(), table.scale.tolist()) == ([1, 2, 1], [3, 1, 1])

    def test_numbers_of_the_classes_are_those_of_the_file(self, tmp_path: Path) -> None:
        table, _ = read_cs(cs(tmp_path / "a.cs", without_alignments() | class_fields((1, 4, 7))))
        assert table.class_of is not None
        assert table.class_of.tolist() == [7, 1, 1]

    def test_own_classes_come_before_the_alignment_of_an_earlier_job(self, tmp_path: Path) -> None:
        main = cs(tmp_path / "main.cs", without_alignments() | class_fields())
        earlier = cs(tmp_path / "pass.cs", columns())
        assert read_cs(main, passthrough=[earlier])[0].shifts_a[:, 0].tolist() == [4.0, 0.0, 0.0]

    def test_own_alignment_comes_before_the_classes(self, tmp_path: Path) -> None:
        fields = columns() | multi_fields() | {"alignments3D/class": np.array([2, 0, 0], "u4")}
        table, notes = read_cs(cs(tmp_path / "a.cs", fields))
        assert (table.shifts_a[0].tolist(), notes) == ([6.0, -8.0], ())
        assert table.class_of is not None
        assert table.class_of.tolist() == [2, 0, 0]


GROUP = """created: 2024-01-01 12:00:00.000000
group:
  description: All particles that were processed, including alignments
  name: particles
  title: All particles
  type: particle
results:
  alignments3D:
    metafile: '>J12_particles.cs'
    num_items: 3
    type: particle.alignments3D
  blob:
    metafile: '>J12_passthrough_particles.cs'
    num_items: 3
    type: particle.blob
  ctf:
    metafile: '>J12_particles.cs'
    num_items: 3
    type: particle.ctf
version: v4.4.1
"""


class TestGroups:
    def write(self, folder: Path, prefix: str = "") -> Path:
        """The particles over two files, each with fields of slots that the group takes from the other."""
        whole = columns()
        main = {k: v for k, v in whole.items() if not k.startswith("blob/")}
        cs(folder / f"{prefix}J12_particles.cs", main)
        other = {k: v[[2, 0, 1]] for k, v in whole.items() if k == "uid" or k.startswith("blob/")}
        cs(folder / f"{prefix}J12_passthrough_particles.cs", other | {"ctf/df1_A": np.full(3, 1.0)})
        (folder / "J12_particles.csg").write_text(GROUP)
        return folder / "J12_particles.csg"

    @pytest.mark.parametrize("prefix", ["", "cryosparc_P7_", "cryosparc_P7_J12_"])
    def test_files_and_slots(self, tmp_path: Path, prefix: str) -> None:
        table, notes = read_cs(self.write(tmp_path, prefix))
        wanted, _ = read_cs(cs(tmp_path / "whole.cs", columns()))
        assert_same_particles(table, wanted, rtol=0)
        assert (table.half.tolist(), notes) == (wanted.half.tolist(), ())

    def test_names_relative_to_the_project(self, tmp_path: Path) -> None:
        (tmp_path / "J12").mkdir()
        file = self.write(tmp_path / "J12")
        file.write_text(GROUP.replace("'>J12_", "'J12/J12_"))
        assert len(read_cs(file)[0]) == 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (GROUP.replace("J12_pass", "J13_pass"), "names J13_passthrough_particles.cs, which is not in"),
            (GROUP.replace("type: particle\n", "type: volume\n"), "group of type 'volume'; expected one of particles"),
            (GROUP.replace("metafile", "file"), "names no metafile for its slot 'alignments3D'"),
            (GROUP.split("results:")[0], "has no results; expected a cryoSPARC group"),
            ("results: [", "is not a readable .csg file"),
            ("results: !!python/object/apply:os.system ['true']", "is not a readable .csg file"),
            ("just text", "has no results"),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, message: str) -> None:
        file = self.write(tmp_path)
        file.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            read_cs(file)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            read_cs(tmp_path / "a.csg")


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
