"""CryoDRGN's files one by one; whole loads are in test_formats.py."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from io_project import BOX, Project, random_table

from gemmap.errors import FormatError, InputError
from gemmap.io.cryodrgn import read_ctf, read_images, read_poses, read_rows
from gemmap.io.cryodrgn_write import write_cryodrgn

EYES = np.tile(np.eye(3), (4, 1, 1))


def dump(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


class TestPoses:
    def test_tuple_bare_array_and_npz_agree(self, tmp_path: Path) -> None:
        trans = np.arange(8.0).reshape(4, 2) / 10
        np.savez(tmp_path / "p.npz", rot=EYES, trans=trans)
        for file in (dump(tmp_path / "p.pkl", (EYES, trans)), tmp_path / "p.npz"):
            rotations, shifts = read_poses(file)
            np.testing.assert_array_equal(rotations, EYES)
            np.testing.assert_array_equal(shifts, trans)
        np.savez(tmp_path / "r.npz", rot=EYES)
        for file in (dump(tmp_path / "r.pkl", EYES), dump(tmp_path / "t.pkl", (EYES,)), tmp_path / "r.npz"):
            assert not read_poses(file)[1].any()

    def test_shifts_in_a_file_of_their_own(self, tmp_path: Path) -> None:
        trans = np.arange(8.0).reshape(4, 2) / 10
        np.savez(tmp_path / "t.npz", trans=trans)
        rot = dump(tmp_path / "r.pkl", EYES)
        for file in (dump(tmp_path / "t.pkl", trans), tmp_path / "t.npz"):
            np.testing.assert_array_equal(read_poses(rot, file)[1], trans)
        with pytest.raises(InputError, match=r"p\.pkl has shifts of its own; leave out --trans"):
            read_poses(dump(tmp_path / "p.pkl", (EYES, trans)), tmp_path / "t.pkl")
        with pytest.raises(FormatError, match=r"u\.pkl holds arrays of shapes \(4, 3, 3\), \(3, 2\)"):
            read_poses(rot, dump(tmp_path / "u.pkl", trans[:3]))
        with pytest.raises(InputError, match=r"v\.pkl has shifts up to 7; expected fractions"):
            read_poses(rot, dump(tmp_path / "v.pkl", 10 * trans))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ((EYES, np.zeros((3, 2))), r"shapes \(4, 3, 3\), \(3, 2\); expected \(n, 3, 3\) and \(n, 2\)"),
            ((EYES, np.zeros((4, 3))), "expected"),
            ((EYES, np.zeros((4, 2)), np.zeros(4)), "expected"),
            (np.zeros((4, 3)), r"shape \(4, 3\); expected \(n, 3, 3\)"),
            (2 * EYES, "4 of 4 matrices are not rotations"),
            (-EYES, "4 of 4 matrices are not rotations"),
            (np.where(np.arange(4)[:, None, None] == 2, np.nan, EYES), r"1 of 4 .*particle 3\)"),
            ((EYES, np.full((4, 2), 3.5)), r"shifts up to 3\.5; expected fractions of the box"),
        ],
    )
    def test_refused(self, tmp_path: Path, content: object, message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_poses(dump(tmp_path / "p.pkl", content))

    def test_npz_of_something_else(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "p.npz", rotation=EYES)
        with pytest.raises(FormatError, match="has no array 'rot'; it has rotation"):
            read_poses(tmp_path / "p.npz")
        (tmp_path / "q.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:100])
        with pytest.raises(FormatError, match=r"not a readable \.npz"):
            read_poses(tmp_path / "q.npz")
        with pytest.raises(InputError, match="cannot be read"):
            read_poses(tmp_path / "none.npz")


class TestCtf:
    @pytest.mark.parametrize("shape", [(4, 8), (9,), (4, 10)])
    def test_shape(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        with pytest.raises(FormatError, match=r"expected \(n, 9\)"):
            read_ctf(dump(tmp_path / "c.pkl", np.ones(shape)))

    def test_box_and_pixel_size_are_positive(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="not positive"):
            read_ctf(dump(tmp_path / "c.pkl", np.zeros((4, 9))))


class TestRows:
    @pytest.mark.parametrize("content", [np.array([3, 1]), [3, 1], np.array([3, 1], "u4")])
    def test_numbers(self, tmp_path: Path, content: object) -> None:
        assert read_rows(dump(tmp_path / "i.pkl", content), 4).tolist() == [3, 1]

    def test_mask_and_npz(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "i.npz", ind=np.array([False, True, True]))
        assert read_rows(tmp_path / "i.npz", 3).tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (np.array([4]), "names image 4; expected numbers from 0 to 3"),
            (np.array([-1]), "expected numbers from 0 to 3"),
            (np.array([0.5]), "expected a list of image numbers"),
            (np.zeros((2, 2), int), "expected a list of image numbers"),
            (np.array([True, False]), "expected a list of image numbers"),
        ],
    )
    def test_refused(self, tmp_path: Path, content: object, message: str) -> None:
        with pytest.raises(FormatError, match=message):
            read_rows(dump(tmp_path / "i.pkl", content), 4)


class TestImages:
    def test_text_list_in_its_order(self, project: Project) -> None:
        file = project.folder / "list.txt"
        file.write_text("Extract/stack2.mrcs\n\nExtract/stack0.mrcs\n")
        images, _ = read_images(file, "txt")
        assert images.stacks == ("Extract/stack2.mrcs", "Extract/stack0.mrcs")
        assert images.stack_of.tolist() == [0, 0, 1, 1, 1, 1]
        assert images.index_in_stack.tolist() == [0, 1, 0, 1, 2, 3]

    def test_text_list_with_a_missing_stack(self, project: Project) -> None:
        (project.folder / "list.txt").write_text("Extract/stack2.mrcs\nno.mrcs\n")
        with pytest.raises(InputError, match=r"1 of 2 image stacks are missing \(no\.mrcs\)"):
            read_images(project.folder / "list.txt", "txt")

    @pytest.mark.parametrize(("content", "message"), [(b"\n\n", "lists no stacks"), (b"\xff\xfe", "not a text file")])
    def test_text_list_of_nothing(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(FormatError, match=message):
            read_images(tmp_path / "list.txt", "txt")


class TestWriting:
    def test_files_as_cryodrgn_reads_them(self, tmp_path: Path) -> None:
        """With the ordinary unpickler, and the columns spelled out."""
        table = random_table(5)
        notes = write_cryodrgn(tmp_path / "p.pkl", tmp_path / "c.pkl", table, BOX)
        assert [note.split()[0] for note in notes] == ["cryoDRGN's"]
        rot, trans = pickle.loads((tmp_path / "p.pkl").read_bytes())
        ctf = pickle.loads((tmp_path / "c.pkl").read_bytes())
        assert (rot.dtype, trans.dtype, ctf.dtype) == (np.float32, np.float32, np.float32)
        np.testing.assert_allclose(rot, table.rotations, atol=1e-7)
        np.testing.assert_allclose(trans * BOX * 1.25, table.shifts_a, rtol=1e-6)
        assert table.ctf is not None
        np.testing.assert_allclose(ctf[:, :3].T, [[BOX] * 5, [1.25] * 5, table.ctf.defocus_u_a], rtol=1e-6)
        np.testing.assert_allclose(ctf[:, 4], table.ctf.defocus_angle_rad * 180 / np.pi, rtol=1e-6)
        np.testing.assert_allclose(ctf[:, 5:8].T, [table.ctf.voltage_kv, [2.7] * 5, [0.1] * 5], rtol=1e-6)
        np.testing.assert_allclose(ctf[:, 8], table.ctf.phase_shift_rad * 180 / np.pi, rtol=1e-6)

    def test_what_the_files_cannot_say(self, tmp_path: Path) -> None:
        table = random_table(3)
        assert table.ctf is not None
        table = replace(
            table,
            ctf=replace(table.ctf, bfactor_a2=np.ones(3)),
            scale=np.full(3, 0.5),
            image_sign=-np.ones(3),
            half=np.zeros(3, int),
        )
        notes = write_cryodrgn(tmp_path / "p.pkl", tmp_path / "c.pkl", table, BOX)
        assert len(notes) == 3
        for note, word in zip(notes, ("B-factors", "scales", "dark on disk"), strict=True):
            assert word in note

    def test_ctf_path_and_ctf_go_together(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="give both or none"):
            write_cryodrgn(tmp_path / "p.pkl", None, random_table(3), BOX)
        with pytest.raises(InputError, match="give both or none"):
            write_cryodrgn(tmp_path / "p.pkl", tmp_path / "c.pkl", replace(random_table(3), ctf=None), BOX)
        assert not list(tmp_path.iterdir())
