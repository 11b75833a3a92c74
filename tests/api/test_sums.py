"""Files of sums: parts add up to the whole, particles can be taken out, and what does not add is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import plan_reconstruction
from gemmap.api.sums import aggregate, load_sums, merge, save_sums, subtract
from gemmap.errors import FormatError, InputError
from gemmap.fit.kept_sums import KeptSums, SumsSource
from gemmap.io.relion_write import write_star31
from gemmap.particles.table import ParticleTable
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import Simulation, simulate
from gemmap.simulate.structure import Atoms

N, BOX = 90, 32


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    rng = np.random.default_rng(2)
    n = 200
    atoms = Atoms(rng.normal(0.0, 12.0, (n, 3)), np.full(n, 6), np.full(n, 20.0), np.ones(n))
    return simulate(atoms, SimulationConfig(box_px=BOX, pixel_size_a=4.0, n_particles=N, snr=0.5, seed=3), workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, simulation: Simulation) -> Path:
    import mrcfile

    path = tmp_path_factory.mktemp("sums")
    with mrcfile.new(path / "particles.mrcs") as stack:
        stack.set_data(simulation.stack.read(np.arange(N)))
        stack.voxel_size = 4.0
    for name, rows in {
        "all": np.arange(N),
        "a": np.arange(50),
        "b": np.arange(50, N),
        "few": np.arange(40, 47),
    }.items():
        write_star31(path / f"{name}.star", halved(simulation.table).select(rows))
    return path


def halved(table: ParticleTable) -> ParticleTable:
    return replace(table, half=1 + np.arange(len(table)) % 2, stacks=("particles.mrcs",))


def added(folder: Path, name: str, **options: object) -> Path:
    path = folder / f"{name}_{len(list(folder.glob('*.safetensors')))}.safetensors"
    save_sums(
        path, aggregate(plan_reconstruction(ReconstructionOptions(folder / f"{name}.star", threads=1, **options)))
    )
    return path


def totals(sums: KeptSums) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return {half: (split.total().numerator, split.total().weight) for half, split in sums.splits.items()}


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_what_is_loaded_is_what_was_saved(folder):
    sums = aggregate(plan_reconstruction(ReconstructionOptions(folder / "all.star", threads=1)))
    save_sums(folder / "same.safetensors", sums)
    again = load_sums(folder / "same.safetensors")
    for half in (1, 2):
        for one, other in zip(sums.splits[half].sets(), again.splits[half].sets(), strict=True):
            np.testing.assert_array_equal(one.numerator, other.numerator)
            np.testing.assert_array_equal(one.weight, other.weight)
    for name in ("ids", "half", "place", "part", "group"):
        np.testing.assert_array_equal(getattr(sums.members, name), getattr(again.members, name))
    assert again.treatment == {"normalise": False, "window": False}
    assert again.parts[0].extents == sums.parts[0].extents
    np.testing.assert_array_equal(again.parts[0].noise, sums.parts[0].noise)
    assert "all.star" in again.parts[0].source


def test_parts_add_up_to_all_particles(folder):
    paths = [added(folder, name) for name in ("a", "b")]
    sums = merge(paths)
    assert (sums.n_particles, len(sums.parts)) == (N, 2)
    np.testing.assert_array_equal(np.bincount(sums.members.part), [50, N - 50])
    separate = [totals(load_sums(path)) for path in paths]
    for half, (numerator, weight) in totals(sums).items():
        assert_close(numerator, separate[0][half][0] + separate[1][half][0], 1e-6)
        assert_close(weight, separate[0][half][1] + separate[1][half][1], 1e-6)


@pytest.mark.parametrize("options", [{}, {"normalise": True}, {"window": True}, {"sym": "C2"}, {"box_px": 24}])
def test_taking_a_part_out_leaves_the_other(folder, options):
    paths = [added(folder, name, **options) for name in ("a", "b")]
    both = folder / "both.safetensors"
    save_sums(both, merge(paths))
    rest = subtract(both, ReconstructionOptions(folder / "b.star"), threads=1)
    assert rest.n_particles == 50
    first = totals(load_sums(paths[0]))
    for half, (numerator, weight) in totals(rest).items():
        assert_close(numerator, first[half][0], 1e-4)
        assert_close(weight, first[half][1], 1e-5)
        assert (weight >= 0).all()


def test_particles_are_taken_out_once_and_not_all(folder):
    path, rest_path = added(folder, "all"), folder / "rest.safetensors"
    rest = subtract(path, ReconstructionOptions(folder / "few.star"), threads=1)
    assert rest.n_particles == N - 7
    save_sums(rest_path, rest)
    with pytest.raises(InputError, match="7 of the 7 particles to take out are not in the sums"):
        subtract(rest_path, ReconstructionOptions(folder / "few.star"), threads=1)
    others = [*range(40), *range(47, N)]
    write_star31(folder / "others.star", halved_rows(folder, np.array(others)))
    with pytest.raises(InputError, match="is empty; expected some left"):
        subtract(rest_path, ReconstructionOptions(folder / "others.star"), threads=1)


def halved_rows(folder: Path, rows: np.ndarray) -> ParticleTable:
    from gemmap.io.formats import read_particles

    return replace(read_particles(folder / "all.star").table.select(rows), stacks=("particles.mrcs",))


def test_the_same_particle_twice_is_refused_whatever_file_names_it(folder, tmp_path):
    import mrcfile

    with mrcfile.open(folder / "particles.mrcs") as stack, mrcfile.new(tmp_path / "others.mrcs") as copy:
        copy.set_data(-stack.data[30:60])
        copy.voxel_size = 4.0
    table = halved_rows(folder, np.arange(30, 60))
    table = replace(table, stacks=("others.mrcs",), index_in_stack=np.arange(30), image_sign=np.full(30, -1.0))
    write_star31(tmp_path / "c.star", table)
    with pytest.raises(InputError, match=r"20 particles are in .*a_\d+\.safetensors and in .*c_\d+\.safetensors"):
        merge([added(folder, "a"), added(tmp_path, "c")])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"box_px": 24}, "has a box 32 px and .* 24 px"),
        ({"pixel_size_a": 4.1}, r"has a pixel size 4 Å and .* 4.1 Å"),
        ({"sym": "C2"}, "has symmetry C1 and .* C2"),
        ({"normalise": True}, "has images treated by nothing and .* normalise"),
    ],
)
def test_what_does_not_add_is_refused_by_name(folder, options, sentence):
    with pytest.raises(InputError, match=sentence):
        merge([added(folder, "a"), added(folder, "b", **options)])


def test_one_file_is_nothing_to_add(folder):
    with pytest.raises(InputError, match="1 file of sums was given"):
        merge([added(folder, "a")])


def test_a_damaged_file_is_found(folder):
    path = added(folder, "a")
    content = bytearray(path.read_bytes())
    (folder / "short.safetensors").write_bytes(content[:-1000])
    with pytest.raises(FormatError, match="damaged"):
        load_sums(folder / "short.safetensors")
    content[len(content) // 2] ^= 1
    (folder / "flipped.safetensors").write_bytes(content)
    with pytest.raises(FormatError, match=r"is damaged: .* is not what was written"):
        load_sums(folder / "flipped.safetensors")


def test_a_file_of_something_else_is_named(folder):
    from gemmap.io.tensors import save_tensors

    save_tensors(
        folder / "other.safetensors", load_file(added(folder, "a")), {"schema": "gemmap-gaussians", "version": 1}
    )
    with pytest.raises(FormatError, match="holds gemmap-gaussians version 1; expected gemmap-sums version 1"):
        load_sums(folder / "other.safetensors")


def test_half_the_copies_of_an_image_cannot_be_taken_out(folder, tmp_path):
    table = halved_rows(folder, np.repeat(np.arange(40), 2))
    (tmp_path / "particles.mrcs").symlink_to(folder / "particles.mrcs")
    write_star31(tmp_path / "expanded.star", table)
    write_star31(tmp_path / "once.star", table.select(np.arange(0, 8, 2)))
    write_star31(tmp_path / "twice.star", table.select(np.arange(8)))
    options = {"allow_outside": True}
    path = added(tmp_path, "expanded", **options)
    with pytest.raises(InputError, match="added 2 times and is listed 1 times"):
        subtract(path, ReconstructionOptions(tmp_path / "once.star", **options), threads=1)
    assert subtract(path, ReconstructionOptions(tmp_path / "twice.star", **options), threads=1).n_particles == 72


def test_the_noise_of_many_parts_is_their_mean_over_the_particles(folder):
    sums = load_sums(added(folder, "all"))
    parts = tuple(replace(sums.parts[0], noise=(k + 1) * sums.parts[0].noise) for k in range(9))
    part = np.repeat(np.arange(9), 10)
    half = sums.members.half
    spectra = SumsSource(replace(sums, parts=parts, members=replace(sums.members, part=part))).noise_spectra()
    assert set(spectra) == {"half1_opticsGroup1", "half2_opticsGroup1"}
    for number in (1, 2):
        expected = (part[half == number] + 1).mean() * sums.parts[0].noise[number - 1, 0]
        np.testing.assert_allclose(spectra[f"half{number}_opticsGroup1"], expected)


def test_the_extent_of_sums_is_the_median_of_their_parts(folder):
    sums = load_sums(added(folder, "all"))
    source = SumsSource(sums)
    assert source.extents == sums.parts[0].extents
    assert SumsSource(sums, 9.5).extents[1].radius_px == 9.5
    assert set(source.noise_spectra()) == {"half1_opticsGroup1", "half2_opticsGroup1"}
    assert (source.n_particles, source.box_px, source.pixel_size_a) == (N, BOX, 4.0)
