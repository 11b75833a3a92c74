"""Conversions between all formats: the same images are described, by formulas that share nothing with the code."""

import math
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile
from io_project import BOX, Project, random_table, write_project

import gemmap
from gemmap.api.convert import convert
from gemmap.api.reading import ReadingOptions, read
from gemmap.errors import InputError, OutputError
from gemmap.io.cs_write import with_low_orders_moved, write_cs
from gemmap.io.relion_write import write_star31
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.zernike import odd_from_beam_tilt, odd_from_cubic


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path)


def full_table(table: ParticleTable) -> ParticleTable:
    """The project's particles with everything that RELION and cryoSPARC can say."""
    groups = (
        OpticsGroup("first", 1.25, BOX, (0.5, -0.3, 20.0, -150.0, 90.0, -30.0), (), (1.01, 0.002, -0.003, 0.99)),
        OpticsGroup("second", 1.25, BOX, (), (0.1, 3.0, -0.2, 4.0, 300.0, -200.0, 50.0, 100.0, -250.0)),
    )
    return replace(
        table,
        optics=groups,
        scale=np.linspace(0.8, 1.2, len(table)),
        micrographs=("m/one.mrc", "m/two.mrc"),
        micrograph_of=np.arange(len(table)) % 2,
        class_of=np.arange(len(table)) % 2 + 1,
    )


def odd_phase(odd: tuple[float, ...], k: float, t: float) -> float:
    r = [k, k, k**3, 3 * k**3 - 2 * k, 3 * k**3 - 2 * k, k**3]
    angular = [math.sin(t), math.cos(t), math.sin(3 * t), math.sin(t), math.cos(t), math.cos(3 * t)]
    return sum(a * b * c for a, b, c in zip(odd, r, angular, strict=False))


def even_phase(even: tuple[float, ...], k: float, t: float) -> float:
    r = [1, k**2, 2 * k**2 - 1, k**2, k**4, 4 * k**4 - 3 * k**2, 6 * k**4 - 6 * k**2 + 1, 4 * k**4 - 3 * k**2, k**4]
    angular = [1, math.sin(2 * t), 1, math.cos(2 * t), math.sin(4 * t), math.sin(2 * t), 1, math.cos(2 * t),
               math.cos(4 * t)]  # fmt: skip
    return sum(a * b * c for a, b, c in zip(even, r, angular, strict=False))


def transfer(table: ParticleTable, row: int, kx: float, ky: float) -> complex:
    """What multiplies the transform of the projection of one particle at k (1/Å), and the k of the projection."""
    group, ctf = table.optics[table.optics_group[row]], table.ctf
    shift = np.exp(2j * math.pi * (kx * table.shifts_a[row, 0] + ky * table.shifts_a[row, 1]))
    m = np.reshape(group.magnification, (2, 2))
    kx, ky = m @ (kx, ky)
    k, t = math.hypot(kx, ky), math.atan2(ky, kx)
    if ctf is None:
        return complex(shift)
    kv = ctf.voltage_kv[row]
    wavelength = 12.2643247 / math.sqrt(kv * 1e3 * (1 + 0.978466e-6 * kv * 1e3))
    angle = t - ctf.defocus_angle_rad[row]
    defocus = ctf.defocus_u_a[row] * math.cos(angle) ** 2 + ctf.defocus_v_a[row] * math.sin(angle) ** 2
    gamma = -math.pi * wavelength * defocus * k**2 + 0.5 * math.pi * ctf.cs_mm[row] * 1e7 * wavelength**3 * k**4
    gamma -= ctf.phase_shift_rad[row] + math.asin(ctf.amplitude_contrast[row])
    gamma += even_phase(group.even_zernike, k, t)
    envelope = ctf.scale[row] * table.scale[row] * math.exp(-0.25 * ctf.bfactor_a2[row] * k**2)
    return complex(-envelope * math.sin(gamma) * np.exp(1j * odd_phase(group.odd_zernike, k, t)) * shift)


def assert_same_images(got: ParticleTable, wanted: ParticleTable, names: bool = True) -> None:
    assert len(got) == len(wanted)
    np.testing.assert_allclose(got.rotations, wanted.rotations, atol=1e-6)
    for row in range(len(wanted)):
        ours, theirs = got.optics[got.optics_group[row]], wanted.optics[wanted.optics_group[row]]
        assert ours.pixel_size_a == pytest.approx(theirs.pixel_size_a, rel=1e-6)
        assert ours.box_px == theirs.box_px
        assert ours.ctf_applied == theirs.ctf_applied
        np.testing.assert_allclose(ours.magnification, theirs.magnification, atol=1e-7)
        for kx, ky in ((0.05, 0.0), (0.0, 0.2), (-0.13, 0.21), (0.3, 0.17)):
            # Float32 defocus: 2e4 Å to 1e-3 Å.
            assert transfer(got, row, kx, ky) == pytest.approx(transfer(wanted, row, kx, ky), abs=2e-5)
    np.testing.assert_array_equal(got.half, wanted.half)
    np.testing.assert_array_equal(got.image_sign, wanted.image_sign)
    np.testing.assert_array_equal(got.index_in_stack, wanted.index_in_stack)
    if names:
        assert [got.stacks[i] for i in got.stack_of] == [wanted.stacks[i] for i in wanted.stack_of]


WRITE = {
    "relion31": (Path("a.star"), {}),
    "relion30": (Path("b.star"), {"relion30": True}),
    "cryosparc": (Path("c.cs"), {}),
    "cryodrgn": (Path("d"), {}),
}


def reading(folder: Path, name: str, **options: Any) -> ReadingOptions:
    """Options that read what ``WRITE`` wrote."""
    path = folder / WRITE[name][0]
    if name != "cryodrgn":
        return ReadingOptions(path, allow_outside=True, **options)
    table = path / "particles.star"
    return ReadingOptions(table, poses=path / "poses.pkl", ctf=path / "ctf.pkl", allow_outside=True, **options)


class TestAllPairs:
    @pytest.mark.parametrize("second", WRITE)
    @pytest.mark.parametrize("first", WRITE)
    def test_plain_particles(self, project: Project, first: str, second: str) -> None:
        """Through two formats and back to RELION 3.1: what all of them can say is as it was."""
        folder = project.folder
        write_star31(folder / "start.star", project.table)
        options = ReadingOptions(folder / "start.star")
        convert(options, folder / WRITE[first][0], **WRITE[first][1])
        between = reading(folder, first)
        (folder / "again").mkdir()
        convert(between, folder / "again" / WRITE[second][0], **WRITE[second][1])
        done = convert(reading(folder / "again", second), folder / "end.star")
        assert done.n_particles == len(project.table)
        back = read(ReadingOptions(folder / "end.star"))
        assert_same_images(back.table, project.table)
        np.testing.assert_array_equal(back.stack.read(np.arange(10)), project.images)

    @pytest.mark.parametrize("through", ["relion31", "cryosparc"])
    def test_aberrations_magnification_and_all_else(self, project: Project, through: str) -> None:
        folder, table = project.folder, full_table(project.table)
        write_star31(folder / "start.star", table)
        modelled: dict[str, Any] = {"cs_aberrations": "model"}
        convert(ReadingOptions(folder / "start.star", **modelled), folder / WRITE[through][0])
        convert(reading(folder, through, **modelled), folder / "end.star")
        back = read(ReadingOptions(folder / "end.star")).table
        assert_same_images(back, table)
        assert [back.micrographs[i] for i in back.micrograph_of] == ["m/one.mrc", "m/two.mrc"] * 5
        np.testing.assert_array_equal(back.class_of, table.class_of)

    def test_what_cryosparc_says_comes_back(self, project: Project) -> None:
        folder = project.folder
        tilted = (OpticsGroup("exp_group_0", 1.25, BOX, odd_from_cubic(100.0, -50.0, 30.0, 20.0)),)
        dark = replace(
            full_table(project.table), optics=tilted, optics_group=np.zeros(10, int), image_sign=-np.ones(10)
        )
        assert dark.ctf is not None
        dark = replace(dark, ctf=replace(dark.ctf, voltage_kv=np.full(10, 300.0)))
        write_cs(folder / "start.cs", dark)
        modelled: dict[str, Any] = {"cs_aberrations": "model"}
        done = convert(ReadingOptions(folder / "start.cs", **modelled), folder / "a.star")
        assert any("10 of 10 particles are dark on disk" in note for note in done.notes)
        convert(ReadingOptions(folder / "a.star", invert=True, **modelled), folder / "end.cs")
        back = read(ReadingOptions(folder / "end.cs", **modelled)).table
        assert_same_images(back, dark)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "output", "message"),
        [
            ({"odd_zernike": odd_from_cubic(100, 0, 0, 0)}, "d", "ctf.pkl has no antisymmetric aberrations"),
            ({"even_zernike": (0, 0, 0, 0, 100.0)}, "d", "ctf.pkl has no symmetric aberrations"),
            ({"magnification": (1.01, 0, 0, 1)}, "d", "ctf.pkl has no anisotropic magnification"),
            ({"ctf_applied": "multiplied"}, "d", "cannot say that images are multiplied by their CTF"),
            ({"ctf_applied": "phase-flip"}, "c.cs", "A .cs file cannot say that images are phase-flipped"),
            ({"ctf_applied": "corrected"}, "c.cs", "CTF-corrected"),
        ],
    )
    def test_what_would_change_the_images(
        self, project: Project, change: dict[str, Any], output: str, message: str
    ) -> None:
        table = replace(project.table, optics=tuple(replace(g, **change) for g in project.table.optics))
        write_star31(project.folder / "start.star", table)
        options = ReadingOptions(project.folder / "start.star")
        with pytest.raises(InputError, match=f"{message}.*Give --lossy to write"):
            convert(options, project.folder / output)
        assert not (project.folder / output).exists()
        done = convert(options, project.folder / output, lossy=True)
        assert any(message in note for note in done.notes)

    @pytest.mark.parametrize("what", ["scale", "bfactor_a2"])
    def test_scales_and_bfactors(self, project: Project, what: str) -> None:
        assert project.table.ctf is not None
        table = replace(project.table, ctf=replace(project.table.ctf, **{what: np.full(10, 0.5)}))
        write_star31(project.folder / "start.star", table)
        with pytest.raises(InputError, match=r"ctf\.pkl has no B-factors or scales.*--lossy"):
            convert(ReadingOptions(project.folder / "start.star"), project.folder / "d")

    def test_constant_even_terms_go_into_the_ctf(self, project: Project) -> None:
        even = (0.3, 2.0, -1.0, 3.0, 0, 0, 20.0, 0, 0)
        table = replace(project.table, optics=tuple(replace(g, even_zernike=even) for g in project.table.optics))
        write_star31(project.folder / "start.star", table)
        convert(ReadingOptions(project.folder / "start.star"), project.folder / "d")
        assert_same_images(read(reading(project.folder, "cryodrgn")).table, table, names=False)

    def test_aberrations_in_cs_files(self, project: Project) -> None:
        folder, table = project.folder, full_table(project.table)
        write_star31(folder / "start.star", table)
        with pytest.raises(InputError, match=r"--cs-aberrations model .* or --cs-aberrations ignore"):
            convert(ReadingOptions(folder / "start.star"), folder / "c.cs")
        done = convert(ReadingOptions(folder / "start.star", cs_aberrations="ignore"), folder / "c.cs")
        assert "Aberrations and anisotropic magnification are left out as asked." in done.notes
        assert "ctf/tilt_A" not in np.load(folder / "c.cs").dtype.names

    def test_mixed_signs(self, project: Project) -> None:
        write_cs(project.folder / "start.cs", replace(project.table, image_sign=np.where(np.arange(10) < 3, -1.0, 1.0)))
        with pytest.raises(InputError, match="3 of 10 particles are dark on disk, which a STAR file cannot say"):
            convert(ReadingOptions(project.folder / "start.cs"), project.folder / "a.star")

    @pytest.mark.parametrize(
        ("output", "options", "message"),
        [
            ("a.txt", {}, "no format GEM writes; expected a name that ends in .star"),
            ("a.cs", {"relion30": True}, "--relion30 goes with a .star file"),
            ("a.star", {"absolute": True, "keep_names": True}, "--absolute and --keep-names contradict"),
            ("start.star", {"overwrite": True}, "is read and would be replaced"),
            ("start.star", {}, "exists; choose another name, or give --overwrite"),
            ("none/a.star", {}, "none is not a folder; make it"),
            ("Extract", {}, "exists; choose another folder, or give --overwrite"),
        ],
    )
    def test_outputs(self, project: Project, output: str, options: dict[str, Any], message: str) -> None:
        write_star31(project.folder / "start.star", project.table)
        with pytest.raises((InputError, OutputError), match=message):
            convert(ReadingOptions(project.folder / "start.star"), project.folder / output, **options)

    def test_nothing_is_left_of_a_refused_file(self, project: Project) -> None:
        write_star31(project.folder / "start.star", project.table)
        before = sorted(project.folder.iterdir())
        for name in project.table.stacks[1:]:
            (project.folder / name).unlink()
        with pytest.raises(InputError, match="2 of 3 image stacks are missing"):
            convert(ReadingOptions(project.folder / "start.star"), project.folder / "a.cs")
        assert sorted(project.folder.iterdir()) == before


class TestNames:
    @pytest.fixture
    def start(self, project: Project) -> ReadingOptions:
        (project.folder / "Refine3D").mkdir()
        write_star31(project.folder / "Refine3D" / "start.star", project.table)
        return ReadingOptions(project.folder / "Refine3D" / "start.star")

    def stacks(self, file: Path) -> tuple[str, ...]:
        return read(ReadingOptions(file, allow_outside=True)).table.stacks

    def test_kept_where_they_lead_to_the_stacks(self, project: Project, start: ReadingOptions) -> None:
        (project.folder / "deep" / "er").mkdir(parents=True)
        convert(start, project.folder / "deep" / "er" / "a.cs")
        assert self.stacks(project.folder / "deep" / "er" / "a.cs") == project.table.stacks

    def test_relative_elsewhere(
        self, project: Project, start: ReadingOptions, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        convert(start, other / "a.cs")
        convert(start, other / "b.star", absolute=True)
        relative, absolute = (read(ReadingOptions(other / name, allow_outside=True)) for name in ("a.cs", "b.star"))
        assert all(name.startswith("../") for name in relative.table.stacks)
        assert all(Path(name).is_absolute() for name in absolute.table.stacks)
        for loaded in (relative, absolute):
            np.testing.assert_array_equal(loaded.stack.read(np.arange(10)), project.images)

    def test_relative_through_folders_that_are_links(
        self, project: Project, start: ReadingOptions, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Of a linked folder '..' is the parent of where it leads, so names are relative to that."""
        place = tmp_path_factory.mktemp("place")
        (place / "a" / "b").mkdir(parents=True)
        (place / "short").symlink_to(place / "a" / "b")
        (place / "data").symlink_to(project.folder / "Extract")
        for name in ("Extract/stack0.mrcs", "Extract/stack1.mrcs", "Extract/stack2.mrcs"):
            assert (place / "data" / Path(name).name).exists()
        convert(replace(start, datadir=place / "data", strip_prefix="Extract/"), place / "short" / "a.star")
        loaded = read(ReadingOptions(place / "a" / "b" / "a.star", allow_outside=True))
        np.testing.assert_array_equal(loaded.stack.read(np.arange(10)), project.images)
        assert "data" not in Path(loaded.table.stacks[0]).parts

    def test_relative_to_a_folder(self, project: Project, start: ReadingOptions) -> None:
        convert(start, project.folder / "a.star", relative_to=project.folder.parent)
        names = [name.split("@")[1] for name in starfile.read(project.folder / "a.star")["particles"]["rlnImageName"]]
        assert names[0] == f"{project.folder.name}/Extract/stack0.mrcs"

    def test_relative_to_a_folder_that_is_not_there(self, project: Project, start: ReadingOptions) -> None:
        for absent in ("absent", "table.star"):
            folder = project.folder / absent
            with pytest.raises(InputError, match=rf"--relative-to is .*{absent}, which is no folder; expected one"):
                convert(start, project.folder / "a.star", relative_to=folder)
        assert not (project.folder / "a.star").exists()

    def test_kept_without_stacks(self, project: Project, start: ReadingOptions) -> None:
        shutil.rmtree(project.folder / "Extract")
        convert(start, project.folder / "a.cs", keep_names=True)
        assert np.load(project.folder / "a.cs")["blob/path"][0] == b"Extract/stack0.mrcs"

    def test_stacks_called_mrc(self, project: Project) -> None:
        """RELION takes them for stacks when ':mrcs' stands behind the name, and so do we."""
        table = replace(project.table, stacks=tuple(name.replace(".mrcs", ".mrc") for name in project.table.stacks))
        for old, new in zip(project.table.stacks, table.stacks, strict=True):
            (project.folder / old).rename(project.folder / new)
        write_cs(project.folder / "start.cs", table)
        convert(ReadingOptions(project.folder / "start.cs"), project.folder / "a.star")
        names = starfile.read(project.folder / "a.star")["particles"]["rlnImageName"]
        assert names[0] == "000001@Extract/stack0.mrc:mrcs"
        back = read(ReadingOptions(project.folder / "a.star"))
        assert back.table.stacks == table.stacks
        convert(ReadingOptions(project.folder / "a.star"), project.folder / "d")
        names = starfile.read(project.folder / "d" / "particles.star")["particles"]["rlnImageName"]
        assert names[0] == "000001@../Extract/stack0.mrc"

    def test_box_from_the_stack_where_the_file_has_none(self, project: Project) -> None:
        table = replace(project.table, optics=tuple(replace(g, box_px=None) for g in project.table.optics))
        write_star31(project.folder / "start.star", table)
        convert(ReadingOptions(project.folder / "start.star"), project.folder / "a.cs")
        assert np.load(project.folder / "a.cs")["blob/shape"][0].tolist() == [BOX, BOX]


def test_options_of_reading_are_heeded(project: Project) -> None:
    table = replace(project.table, class_of=np.arange(10) % 2)
    write_star31(project.folder / "start.star", table)
    options = ReadingOptions(project.folder / "start.star", class_number=1, first=3, no_ctf=True)
    done = gemmap.convert(options, project.folder / "d")
    assert (done.n_particles, [path.name for path in done.files]) == (3, ["poses.pkl", "particles.star"])


def test_some_of_the_images_of_a_list(project: Project) -> None:
    """Stacks that are not used any more do not confuse the names of the others."""
    convert_files = project.folder / "d"
    write_star31(project.folder / "start.star", project.table)
    convert(ReadingOptions(project.folder / "start.star"), convert_files)
    (project.folder / "list.txt").write_text("".join(f"{name}\n" for name in project.table.stacks))
    np.savez(project.folder / "ind.npz", ind=np.array([9, 4, 8]))
    options = ReadingOptions(
        project.folder / "list.txt",
        poses=convert_files / "poses.pkl",
        ctf=convert_files / "ctf.pkl",
        ind=project.folder / "ind.npz",
    )
    convert(options, project.folder / "end.star")
    back = read(ReadingOptions(project.folder / "end.star"))
    np.testing.assert_array_equal(back.stack.read(np.arange(3)), project.images[[9, 4, 8]])
    np.testing.assert_allclose(back.table.rotations, project.table.rotations[[9, 4, 8]], atol=1e-6)


def test_the_command(project: Project, gemmap_command: Callable) -> None:
    write_star31(project.folder / "start.star", project.table)
    done = gemmap_command("convert", project.folder / "start.star", "-o", project.folder / "d")
    assert done.code == 0
    assert done.out.startswith("10 particles written for cryoDRGN: ")
    assert "Note: cryoDRGN's files have no half-sets" in done.err
    again = gemmap_command("convert", project.folder / "start.star", "-o", project.folder / "d")
    assert (again.code, "--overwrite" in again.err) == (2, True)
    quiet = gemmap_command("convert", project.folder / "start.star", "-o", project.folder / "d", "--overwrite", "-q")
    assert (quiet.code, quiet.out) == (0, "")


@pytest.mark.peer
class TestRelionReadsOurs:
    """RELION 3.1 on a file of ours: the columns arrive, and the images are reconstructed."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        n = 60
        groups = (
            OpticsGroup(
                "tilted and more",
                1.25,
                32,
                odd_zernike=(0.5, -0.3, 20.0, -150.0, 90.0, -30.0),
                even_zernike=(0.1, 3.0, 0.0, 4.0, 30.0, -20.0, 5.0, 1.0, -2.0),
                magnification=(1.01, 0.002, -0.003, 0.99),
                ctf_applied="multiplied",
            ),
            OpticsGroup("plain", 1.25, 32),
        )
        table = replace(
            random_table(n, per_stack=n), optics=groups, micrographs=("m.mrc",), micrograph_of=np.zeros(n, int)
        )
        (tmp_path / "Extract").mkdir()
        rng = np.random.default_rng(0)
        with mrcfile.new(tmp_path / table.stacks[0]) as mrc:
            mrc.set_data(rng.normal(size=(n, 32, 32)).astype(np.float32))
            mrc.set_image_stack()
        write_star31(tmp_path / "ours.star", table)
        return tmp_path / "ours.star"

    def run(self, *words: object, folder: Path) -> str:
        if shutil.which(str(words[0])) is None:
            pytest.skip(f"{words[0]} is not installed")
        done = subprocess.run(
            [str(word) for word in words], cwd=folder, capture_output=True, text=True, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def test_star_handler_keeps_every_column(self, file: Path) -> None:
        said = self.run("relion_star_handler", "--i", "ours.star", "--o", "theirs.star", folder=file.parent)
        assert "unrecogni" not in said.lower()
        ours, theirs = (starfile.read(file.parent / name) for name in ("ours.star", "theirs.star"))
        for block in ("optics", "particles"):
            assert set(ours[block]) <= set(theirs[block])
        mine, relions = (read_star(file.parent / name) for name in ("ours.star", "theirs.star"))
        for got, wanted in zip(relions.optics, mine.optics, strict=True):
            np.testing.assert_allclose(got.odd_zernike, wanted.odd_zernike, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(got.even_zernike, wanted.even_zernike, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(got.magnification, wanted.magnification, atol=1e-6)
            assert got.ctf_applied == wanted.ctf_applied

    def test_reconstruct(self, file: Path) -> None:
        said = self.run("relion_reconstruct", "--i", "ours.star", "--o", "map.mrc", "--ctf", folder=file.parent)
        assert "Done! Written output map" in said
        with mrcfile.open(file.parent / "map.mrc") as mrc:
            assert mrc.data.shape == (32, 32, 32)
            assert mrc.data.std() > 0

    def test_stacks_called_mrc(self, file: Path) -> None:
        (file.parent / "Extract" / "stack0.mrcs").rename(file.parent / "Extract" / "stack0.mrc")
        file.write_text(file.read_text().replace("stack0.mrcs", "stack0.mrc:mrcs"))
        assert "Done!" in self.run("relion_reconstruct", "--i", "ours.star", "--o", "map.mrc", folder=file.parent)

    def reconstruct(self, file: Path, group: OpticsGroup, moved: bool = False) -> np.ndarray:
        """Reconstruct eight images of noise of one optics group; ``moved`` with low orders in CTF and shifts.

        Not to Nyquist: its row is +1/2 to RELION's shifts and -1/2 to its aberrations.
        """
        table = random_table(8, per_stack=8)
        assert table.ctf is not None
        ctf = replace(table.ctf, voltage_kv=np.full(8, 300.0))
        table = replace(table, optics=(group,), optics_group=np.zeros(8, int), ctf=ctf)
        write_star31(file.parent / "one.star", with_low_orders_moved(table) if moved else table)
        words = ("relion_reconstruct", "--i", "one.star", "--o", "one.mrc", "--ctf", "--maxres", 3.0)
        assert "Done!" in self.run(*words, folder=file.parent)
        with mrcfile.open(file.parent / "one.mrc") as mrc:
            return np.array(mrc.data)

    def difference(self, one: np.ndarray, other: np.ndarray) -> float:
        return float(np.linalg.norm(one - other) / np.linalg.norm(other))

    def test_beam_tilt_and_zernikes_are_the_same_to_relion(self, file: Path) -> None:
        plain = OpticsGroup("g", 1.25, 32)
        tilt = odd_from_beam_tilt(1.5, -0.8, 2.7, 300.0)
        by_tilt = self.reconstruct(file, replace(plain, odd_zernike=tilt))
        assert "rlnBeamTiltX" in (file.parent / "one.star").read_text()
        # A trefoil too small to matter makes the writer take Zernikes.
        by_zernike = self.reconstruct(file, replace(plain, odd_zernike=(*tilt[:5], 1e-4)))
        assert "rlnOddZernike" in (file.parent / "one.star").read_text()
        assert self.difference(by_tilt, by_zernike) < 1e-4
        assert self.difference(by_tilt, self.reconstruct(file, plain)) > 0.1

    @pytest.mark.parametrize(
        ("odd", "even"),
        [
            ((4.0, -3.0, 10.0, -15.0, 9.0, -20.0), ()),
            ((), (0.3, 3.0, -0.4, 4.0, 20.0, -15.0, 0.5, 8.0, -12.0)),
        ],
    )
    def test_low_orders_in_ctf_and_shifts_are_the_same_to_relion(
        self, file: Path, odd: tuple[float, ...], even: tuple[float, ...]
    ) -> None:
        group = OpticsGroup("g", 1.25, 32, odd, even)
        as_zernikes = self.reconstruct(file, group)
        assert self.difference(self.reconstruct(file, group, moved=True), as_zernikes) < 1e-3
        low_only = replace(group, odd_zernike=odd[:2], even_zernike=even[:4])
        assert self.difference(self.reconstruct(file, low_only), as_zernikes) > 0.1


def read_star(file: Path) -> ParticleTable:
    return read(ReadingOptions(file, allow_outside=True)).table
