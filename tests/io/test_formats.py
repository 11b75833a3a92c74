"""Whole loads: four formats of the same particles, options, notes, and every real file."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from io_project import BOX, PIXEL_A, Project, assert_same_particles

from gemmap.errors import FormatError, InputError
from gemmap.io.cryodrgn_write import write_cryodrgn
from gemmap.io.cs_write import write_cs
from gemmap.io.formats import LoadedParticles, file_kind, read_particles
from gemmap.io.mrc import write_stack
from gemmap.io.relion_write import write_star30, write_star31


@pytest.fixture
def files(project: Project) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Path and options of the same particles in every format."""
    folder, table = project.folder, project.table
    job = folder / "Refine3D" / "job001"
    job.mkdir(parents=True)
    write_star31(job / "run_data.star", table)
    write_star30(job / "old.star", table)
    write_cs(job / "particles.cs", table)
    write_cryodrgn(folder / "poses.pkl", folder / "ctf.pkl", table, BOX)
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in table.stacks))
    cryodrgn = {"poses": folder / "poses.pkl", "ctf": folder / "ctf.pkl"}
    return {
        "star31": (job / "run_data.star", {}),
        "star30": (job / "old.star", {}),
        "cs": (job / "particles.cs", {}),
        "txt": (folder / "list.txt", cryodrgn),
        "star list": (job / "run_data.star", cryodrgn),
        "cs list": (job / "particles.cs", cryodrgn),
    }


NAMES = {"star31": "RELION", "star30": "RELION", "cs": "cryoSPARC"}
ALL = ["star31", "star30", "cs", "txt", "star list", "cs list"]
Files = dict[str, tuple[Path, dict[str, Any]]]


def load(files: Files, name: str, **options: Any) -> LoadedParticles:
    path, given = files[name]
    return read_particles(path, **given, **options)


class TestSameParticles:
    @pytest.mark.parametrize("name", ALL)
    def test_table_images_and_no_notes(self, project: Project, files: Files, name: str) -> None:
        loaded = load(files, name)
        assert_same_particles(loaded.table, project.table)
        np.testing.assert_array_equal(loaded.stack.read(np.arange(10)), project.images)
        assert loaded.format_name == NAMES.get(name, "cryoDRGN")
        assert loaded.notes == ()
        assert {group.box_px for group in loaded.table.optics} == {BOX}

    @pytest.mark.parametrize("name", ["star31", "star30", "cs", "star list", "cs list"])
    def test_half_sets(self, project: Project, files: Files, name: str) -> None:
        np.testing.assert_array_equal(load(files, name).table.half, project.table.half)

    def test_one_stack(self, project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("one")
        with mrcfile.new(folder / "all.mrcs") as mrc:
            mrc.set_data(project.images)
        write_cryodrgn(folder / "poses.pkl", folder / "ctf.pkl", project.table, BOX)
        loaded = read_particles(folder / "all.mrcs", poses=folder / "poses.pkl", ctf=folder / "ctf.pkl")
        np.testing.assert_array_equal(loaded.stack.read(np.arange(10)), project.images)
        np.testing.assert_allclose(loaded.table.shifts_a, project.table.shifts_a, rtol=2e-6)

    def test_downsampled_images_of_cryodrgn(self, project: Project, files: Files) -> None:
        """D x Apix of ctf.pkl is the box in Å: parsed at four times the box, the pixel size is the same."""
        ctf = pickle.loads((project.folder / "ctf.pkl").read_bytes())
        ctf[:, 0] *= 4
        ctf[:, 1] /= 4
        (project.folder / "ctf.pkl").write_bytes(pickle.dumps(ctf))
        assert_same_particles(load(files, "txt").table, project.table)

    def test_several_boxes_in_ctf_pkl_are_named(self, project: Project, files: Files) -> None:
        ctf = pickle.loads((project.folder / "ctf.pkl").read_bytes())
        ctf[3:, 0] *= 2
        ctf[3:, 1] /= 2
        (project.folder / "ctf.pkl").write_bytes(pickle.dumps(ctf))
        loaded = load(files, "txt")
        assert_same_particles(loaded.table, project.table)
        assert loaded.notes[0].startswith("ctf.pkl speaks of boxes of 16, 32 px")


class TestOptions:
    @pytest.mark.parametrize("name", ALL)
    def test_first(self, project: Project, files: Files, name: str) -> None:
        loaded = load(files, name, first=3)
        assert_same_particles(loaded.table, project.table.select(np.arange(3)))
        np.testing.assert_array_equal(loaded.stack.read(np.arange(3)), project.images[:3])
        assert loaded.table.stacks == project.table.stacks[:1]
        assert len(load(files, name, first=99).table) == 10

    @pytest.mark.parametrize("name", ALL)
    def test_ind_then_first(self, project: Project, files: Files, name: str) -> None:
        (project.folder / "ind.pkl").write_bytes(pickle.dumps(np.array([9, 2, 5])))
        loaded = load(files, name, ind=project.folder / "ind.pkl", first=2)
        assert_same_particles(loaded.table, project.table.select(np.array([9, 2])))
        np.testing.assert_array_equal(loaded.stack.read(np.arange(2)), project.images[[9, 2]])

    @pytest.mark.parametrize("name", ALL)
    def test_ind_that_keeps_none(self, project: Project, files: Files, name: str) -> None:
        (project.folder / "ind.pkl").write_bytes(pickle.dumps(np.zeros(0, int)))
        with pytest.raises(InputError, match="No particle is left"):
            load(files, name, ind=project.folder / "ind.pkl")

    def test_poses_already_filtered_by_ind(self, project: Project, files: Files) -> None:
        rows = np.array([9, 2, 5])
        (project.folder / "ind.pkl").write_bytes(pickle.dumps(rows))
        write_cryodrgn(project.folder / "poses.pkl", project.folder / "ctf.pkl", project.table.select(rows), BOX)
        loaded = load(files, "txt", ind=project.folder / "ind.pkl")
        assert_same_particles(loaded.table, project.table.select(rows))

    @pytest.mark.parametrize("name", ALL)
    def test_invert(self, project: Project, files: Files, name: str) -> None:
        np.testing.assert_array_equal(load(files, name, invert=True).stack.read(np.arange(10)), -project.images)

    @pytest.mark.parametrize(
        ("name", "factor"), [("star31", 1), ("star30", 2), ("cs", 2), ("txt", 2), ("star list", 2), ("cs list", 2)]
    )
    def test_given_pixel_size(self, project: Project, files: Files, name: str, factor: float) -> None:
        """Shifts in Å stay; shifts in pixels or box fractions follow the pixel size."""
        loaded = load(files, name, pixel_size_a=2 * PIXEL_A)
        assert loaded.table.pixel_size_a == 2 * PIXEL_A
        np.testing.assert_allclose(loaded.table.shifts_a, factor * project.table.shifts_a, rtol=2e-6, atol=1e-5)
        assert "is 2 times the file's 1.25 Å" in loaded.notes[0]
        assert loaded.notes[1:] == (
            "Pixel size 2.5 Å was given and replaces that of the files.",
            "Stack headers say 1.25 Å per pixel; 2.5 Å is used.",
        )

    @pytest.mark.parametrize("name", ["star31", "star30", "cs"])
    def test_no_ctf(self, files: Files, name: str) -> None:
        assert load(files, name, no_ctf=True).table.ctf is None

    def test_no_ctf_takes_the_pixel_size_of_the_header(self, project: Project, files: Files) -> None:
        loaded = read_particles(files["txt"][0], poses=project.folder / "poses.pkl", no_ctf=True)
        assert loaded.table.ctf is None
        assert loaded.table.pixel_size_a == pytest.approx(PIXEL_A)
        assert loaded.notes == ("Pixel size 1.25 Å taken from the stack headers.",)
        np.testing.assert_allclose(loaded.table.shifts_a, project.table.shifts_a, rtol=2e-6, atol=1e-5)

    @pytest.mark.parametrize("name", ["star31", "cs", "txt", "star list"])
    def test_datadir_and_strip_prefix(self, project: Project, files: Files, name: str) -> None:
        moved = project.folder / "moved"
        moved.mkdir()
        for file in (project.folder / "Extract").iterdir():
            file.rename(moved / file.name)
        with pytest.raises(InputError, match="3 of 3 image stacks are missing"):
            load(files, name)
        loaded = load(files, name, datadir=moved, strip_prefix="Extract/")
        np.testing.assert_array_equal(loaded.stack.read(np.arange(10)), project.images)

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("star31", {"ctf": Path("c")}, "--ctf goes with --poses"),
            ("star31", {"poses": Path("p")}, "--poses was given without a CTF"),
            ("star31", {"passthrough": [Path("p")]}, "--passthrough goes with a cryoSPARC"),
            ("star31", {"first": 0}, "--first is 0; expected at least 1"),
            ("star31", {"pixel_size_a": -1.0}, "--pixel-size is -1; expected a positive number"),
            ("cs", {"pixel_size_a": float("nan")}, "--pixel-size is nan"),
            ("txt", {"no_ctf": True}, "contradict each other"),
            ("cs list", {"passthrough": [Path("p")]}, "--passthrough goes with a cryoSPARC"),
            ("star list", {"class_number": 1}, "--class goes with the poses of a .star or .cs"),
            ("star31", {"cs_aberrations": "model"}, "--cs-aberrations goes with a cryoSPARC"),
            ("star31", {"bfactor_sign": "damping"}, "comes without CTF B-factors; leave it out"),
        ],
    )
    def test_options_without_effect_are_refused(
        self, files: Files, name: str, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            load(files, name, **options)

    def test_stack_or_list_alone(self, project: Project, files: Files) -> None:
        for path in (files["txt"][0], project.folder / "Extract" / "stack0.mrcs"):
            with pytest.raises(InputError, match="have no poses; give --poses"):
                read_particles(path)
        with pytest.raises(InputError, match="is itself the stack"):
            read_particles(path, poses=project.folder / "poses.pkl", no_ctf=True, datadir=project.folder)

    def test_other_number_of_poses(self, project: Project, files: Files) -> None:
        write_cryodrgn(project.folder / "poses.pkl", project.folder / "c.pkl", project.table.select(np.arange(7)), BOX)
        with pytest.raises(InputError, match=r"poses\.pkl has 7 rows; expected one for each of the 10 images"):
            load(files, "txt")


class TestNotes:
    def test_pixel_size_of_the_header_differs(self, project: Project, files: Files) -> None:
        for factor, noted in ((1.0005, False), (1.002, True)):
            for name in project.table.stacks:
                with mrcfile.open(project.folder / name, "r+") as mrc:
                    mrc.voxel_size = PIXEL_A * factor
            loaded = load(files, "star31")
            assert loaded.table.pixel_size_a == PIXEL_A
            assert len(loaded.notes) == noted
        assert loaded.notes == ("Stack headers say 1.253 Å per pixel; 1.25 Å is used.",)

    def test_header_without_a_pixel_size(self, project: Project, files: Files) -> None:
        for name in project.table.stacks:
            with mrcfile.open(project.folder / name, "r+") as mrc:
                mrc.voxel_size = 0
        assert load(files, "star31").notes == ()
        with pytest.raises(InputError, match=r"headers say 0 Å.*--pixel-size"):
            read_particles(files["txt"][0], poses=project.folder / "poses.pkl", no_ctf=True)

    def test_negative_bfactor_keeps_its_sign(self, project: Project, files: Files) -> None:
        assert project.table.ctf is not None
        bfactor = np.where(np.arange(10) < 4, -50.0, 20.0)
        table = replace(project.table, ctf=replace(project.table.ctf, bfactor_a2=bfactor))
        for name, write in (("star31", write_star31), ("cs", write_cs)):
            write(files[name][0], table)
            loaded = load(files, name)
            assert loaded.table.ctf is not None
            assert loaded.table.ctf.bfactor_a2.tolist() == bfactor.tolist()
            assert len(loaded.notes) == 1
            assert "B-factor is negative for 4 of 10 particles" in loaded.notes[0]
            assert "--bfactor-sign damping" in loaded.notes[0]
            damping = load(files, name, bfactor_sign="damping")
            assert damping.table.ctf is not None
            assert damping.table.ctf.bfactor_a2.tolist() == np.abs(bfactor).tolist()
            assert damping.notes == ()

    @pytest.mark.parametrize("name", ["star31", "star30", "cs"])
    def test_classes_are_named_and_chosen(self, project: Project, files: Files, name: str) -> None:
        write = {"star31": write_star31, "star30": write_star30, "cs": write_cs}[name]
        write(files[name][0], replace(project.table, class_of=np.array([1, 3, 3, 2, 1, 1, 3, 1, 1, 1])))
        (note,) = load(files, name).notes
        assert note.startswith("The particles are of 3 classes (1: 6, 2: 1, 3: 3) and are used as one set")
        loaded = load(files, name, class_number=3)
        assert_same_particles(loaded.table, project.table.select(np.array([1, 2, 6])))
        assert loaded.notes == ("Class 3 was chosen, 3 of 10 particles (1: 6, 2: 1, 3: 3).",)
        assert loaded.n_in_file == 10
        assert load(files, name, class_number=2).table.index_in_stack.tolist() == [3]
        (project.folder / "ind.pkl").write_bytes(pickle.dumps(np.array([6, 0, 1, 2])))
        chosen = load(files, name, class_number=3, ind=project.folder / "ind.pkl", first=2)
        assert_same_particles(chosen.table, project.table.select(np.array([6, 1])))
        with pytest.raises(InputError, match=r"no particle of class 4; it has those of 1: 6, 2: 1, 3: 3"):
            load(files, name, class_number=4)

    def test_class_without_classes(self, files: Files) -> None:
        with pytest.raises(InputError, match="has no classes; leave out --class"):
            load(files, "star31", class_number=1)

    def test_another_box_than_the_file_says(self, project: Project, files: Files) -> None:
        table = replace(project.table, optics=tuple(replace(g, box_px=64) for g in project.table.optics))
        write_star31(files["star31"][0], table)
        with pytest.raises(InputError, match=r"images of 64 px, but the stacks hold images of 16 px.*--pixel-size"):
            load(files, "star31")
        assert load(files, "star31", pixel_size_a=5.0).table.optics[0].box_px == BOX

    def test_a_group_extracted_in_two_boxes_becomes_two(self, project: Project, files: Files) -> None:
        """A file that does not say its boxes: RELION 3.0 has no column for them."""
        first = project.folder / project.table.stacks[0]
        first.unlink()
        write_stack(first, np.zeros((4, 20, 20), np.float32), PIXEL_A)
        loaded = load(files, "star30")
        table, boxes = loaded.table, [20] * 4 + [16] * 6
        assert [table.optics[group].box_px for group in table.optics_group] == boxes
        assert loaded.stack.boxes_px.tolist() == boxes
        assert {group.name.rsplit("_", 1)[1] for group in table.optics} == {"16px", "20px"}


class TestFileKind:
    def test_content_wins_over_the_suffix(self, project: Project, files: Files) -> None:
        for name, kind in (("star31", "star"), ("cs", "cs")):
            copy = shutil.copy(files[name][0], project.folder / "particles.backup")
            assert file_kind(Path(copy)) == kind
        stack = shutil.copy(project.folder / "Extract" / "stack0.mrcs", project.folder / "stack.dat")
        assert file_kind(Path(stack)) == "mrc"

    def test_unknown_and_missing(self, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_text("hello")
        with pytest.raises(FormatError, match=r"no particle file GEM knows; expected \.star"):
            file_kind(tmp_path / "a.md")
        for path, message in ((tmp_path / "none.star", "cannot be read"), (tmp_path, "is a folder; expected a file")):
            with pytest.raises(InputError, match=message):
                file_kind(path)


class TestRealFiles:
    def test_relion_projections(self, shared_data: Path) -> None:
        loaded = read_particles(shared_data / "relion" / "relion_proj_batch_pfac2.star")
        assert (len(loaded.table), loaded.stack.box_px, loaded.table.pixel_size_a) == (24, 64, 3.54)
        assert [note.split()[0] for note in loaded.notes] == ["rlnNormCorrection"]
        with mrcfile.open(shared_data / "relion" / "relion_proj_batch_pfac2.mrcs", permissive=True) as mrc:
            np.testing.assert_array_equal(loaded.stack.read(np.arange(24)), mrc.data)

    def test_header_of_relion31_says_one(self, shared_data: Path) -> None:
        loaded = read_particles(shared_data / "relion" / "relion31.star")
        assert loaded.notes[-1] == "Stack headers say 1 Å per pixel; 2.806 Å is used."

    def test_toy_through_its_star_file(self, shared_data: Path) -> None:
        folder = shared_data / "cryodrgn"
        pickles = {"poses": folder / "toy_rot_zerotrans.pkl", "ctf": folder / "test_ctf.pkl"}
        star = read_particles(shared_data / "relion" / "toy.star", datadir=folder, **pickles)
        mrcs = read_particles(folder / "toy_projections.mrcs", **pickles)
        assert_same_particles(star.table, mrcs.table, rtol=0)
        assert (len(star.table), star.stack.box_px, star.table.pixel_size_a) == (1000, 30, 1.0)

    def test_hand_needs_a_pixel_size(self, shared_data: Path) -> None:
        options: dict[str, Any] = {"poses": shared_data / "cryodrgn" / "hand_rot.pkl", "no_ctf": True}
        with pytest.raises(InputError, match="without a pixel size"):
            read_particles(shared_data / "cryodrgn" / "hand.mrcs", **options)
        loaded = read_particles(shared_data / "cryodrgn" / "hand.mrcs", pixel_size_a=3.0, **options)
        assert (len(loaded.table), loaded.table.pixel_size_a, loaded.table.ctf) == (100, 3.0, None)

    def test_tilt_series(self, shared_data: Path) -> None:
        """220 images for 219 rows, a wrong magnification in the STAR file, the right box in ctf.pkl."""
        folder = shared_data / "tilt"
        star = read_particles(folder / "sta_testing_bin8.star", pixel_size_a=14.56)
        assert any("B-factor is negative for 219 of 219" in note for note in star.notes)
        damped = read_particles(folder / "sta_testing_bin8.star", pixel_size_a=14.56, bfactor_sign="damping")
        assert star.table.ctf is not None
        assert damped.table.ctf is not None
        np.testing.assert_array_equal(damped.table.ctf.bfactor_a2, -star.table.ctf.bfactor_a2)
        pickles = {"poses": folder / "sta_pose.pkl", "ctf": folder / "sta_ctf.pkl"}
        cryodrgn = read_particles(folder / "sta_testing_bin8.star", **pickles)
        assert cryodrgn.table.pixel_size_a == pytest.approx(14.56, rel=1e-6)
        np.testing.assert_allclose(star.table.rotations, cryodrgn.table.rotations, atol=1e-6)
        np.testing.assert_array_equal(star.table.half, cryodrgn.table.half)
        with pytest.raises(InputError, match="219 rows; expected one for each of the 220 images"):
            read_particles(folder / "ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs", **pickles)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("malformed/M_particles_sub10.star", r"9 of 9 image stacks are missing \(00256_Ribosomes_1\.70A\.mrcs"),
            ("relion/relion5.star", "2 of 2 image stacks are missing"),
            ("cryosparc/cryosparc_P12_J24_001_particles.cs", "50 of 50 image stacks are missing"),
            ("relion/empiar_10076_7.star", "has no poses"),
            ("cryosparc/empiar_10076_7.cs", "has no poses"),
        ],
    )
    def test_refused_with_one_sentence(self, shared_data: Path, name: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_particles(shared_data / name)

    def test_truncated_stack(self, shared_data: Path) -> None:
        with pytest.raises(FormatError, match=r"truncated_stack\.mrcs is truncated"):
            read_particles(
                shared_data / "malformed" / "truncated_stack.mrcs",
                poses=shared_data / "cryodrgn" / "hand_rot.pkl",
                no_ctf=True,
            )
