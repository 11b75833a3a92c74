"""The aggregate: what is in it, that it adds, and which two do not add."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.spatial.transform import Rotation

from gemmap.errors import InputError
from gemmap.fit.aggregate import Accumulator, apodisation, grid_size
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.geometry.symmetry import point_group
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters

D, PIXEL_SIZE_A = 16, 2.5


def particles(n, *, with_ctf=True, seed=0):
    """Images, table and noise groups of n particles in two optics groups."""
    rng = np.random.default_rng(seed)

    def constant(value):
        return np.full(n, value)

    ctf = CtfParameters(
        defocus_u_a=rng.uniform(8e3, 2e4, n),
        defocus_v_a=rng.uniform(8e3, 2e4, n),
        defocus_angle_rad=rng.uniform(0, 3, n),
        voltage_kv=constant(300.0),
        cs_mm=constant(2.7),
        amplitude_contrast=constant(0.1),
        phase_shift_rad=constant(0.0),
        bfactor_a2=constant(0.0),
        scale=constant(1.0),
    )
    table = ParticleTable(
        rotations=Rotation.from_quat(rng.normal(size=(n, 4))).as_matrix() if n else np.zeros((0, 3, 3)),
        shifts_a=rng.normal(scale=3.0, size=(n, 2)),
        ctf=ctf if with_ctf else None,
        scale=rng.uniform(0.5, 2.0, n),
        optics_group=np.arange(n) % 2,
        optics=(OpticsGroup("a", PIXEL_SIZE_A, D), OpticsGroup("b", PIXEL_SIZE_A, D)),
        half=np.zeros(n, int),
        stack_of=np.zeros(n, int),
        index_in_stack=np.arange(n),
        stacks=("particles.mrcs",),
        image_sign=constant(1.0),
    )
    return rng.normal(size=(n, D, D)).astype(np.float32), table


INVERSE_NOISE = np.random.default_rng(7).uniform(0.5, 2.0, (2, D))


def aggregate(images, table, rows=slice(None), box_px=D, pixel_size_a=PIXEL_SIZE_A):
    accumulator = Accumulator(box_px, pixel_size_a)
    numbers = np.arange(len(table))[rows]
    accumulator.add(images[numbers], table.select(numbers), INVERSE_NOISE, table.optics_group[numbers])
    return accumulator.finish()


def back_projected(result):
    m = result.grid_px
    return np.fft.fftshift(np.fft.irfftn(result.numerator, s=(m,) * 3, axes=(0, 1, 2))) * m**3


@pytest.mark.parametrize("box", [1, 2, 15, 16, 17, 31, 64, 100, 128, 181, 256, 360])
def test_grid_is_even_fast_and_no_larger_than_needed(box):
    def good(m):
        rest = m
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        return m % 2 == 0 and rest == 1

    m = grid_size(box)
    assert good(m)
    assert m >= 1.5 * box
    assert not any(good(smaller) for smaller in range(int(np.ceil(1.5 * box)), m))


def test_shapes_types_and_symmetry():
    result = aggregate(*particles(9))
    m = result.grid_px
    assert m == 24
    assert result.numerator.shape == result.weight.shape == (m, m, m // 2 + 1)
    assert result.numerator.dtype == np.complex64
    assert result.weight.dtype == np.float32
    assert (result.box_px, result.pixel_size_a, result.n_particles) == (D, PIXEL_SIZE_A, 9)
    mate = -np.arange(m) % m
    np.testing.assert_array_equal(result.numerator[:, :, 0], result.numerator[mate][:, mate, 0].conj())
    np.testing.assert_array_equal(result.weight[:, :, 0], result.weight[mate][:, mate, 0])
    assert (result.weight >= 0).all()


def test_the_weights_sum_to_those_of_all_fourier_coefficients():
    images, table = particles(6, with_ctf=False)
    result = aggregate(images, table)
    total = result.weight[:, :, 0].sum() + 2 * result.weight[:, :, 1:].sum()
    axis = np.arange(-D // 2, D // 2 + 1)
    radius = np.hypot(axis[:, None], axis[None, :])
    radius = radius[radius <= D / 2 - D / 24]
    spectra = INVERSE_NOISE[table.optics_group][:, np.floor(radius + 0.5).astype(int)]
    assert total == pytest.approx((table.scale[:, None] ** 2 * spectra).sum(), rel=1e-5)


def test_a_dot_is_projected_back_along_the_line_of_sight():
    """At pixel (x, y) = (-3, 4) from the centre once it is shifted; seen along z, then along the density's -x."""
    _, table = particles(1, with_ctf=False)
    image = np.zeros((1, D, D), np.float32)
    image[0, D // 2 + 2, D // 2 - 4] = 1
    view = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    for pose, fixed in ((np.eye(3), {1: 4, 2: -3}), (view, {1: 4, 0: -3})):
        moved = dataclasses.replace(table, rotations=pose[None], shifts_a=np.array([[1.0, 2.0]]) * PIXEL_SIZE_A)
        volume = back_projected(aggregate(image, moved))
        for line in np.argwhere(volume > 0.6 * volume.max()) - len(volume) // 2:
            assert {axis: line[axis] for axis in fixed} == fixed


def test_aggregates_add():
    images, table = particles(9)
    whole = aggregate(images, table)
    total = aggregate(images, table, slice(0, 4)) + aggregate(images, table, slice(4, None))
    accumulator = Accumulator(D, PIXEL_SIZE_A)
    for rows in (np.arange(0, 1), np.arange(1, 1), np.arange(1, 9)):
        accumulator.add(images[rows], table.select(rows), INVERSE_NOISE, table.optics_group[rows])
    for parts in (total, accumulator.finish()):
        assert parts.n_particles == 9
        for name in ("numerator", "weight"):
            a, b = getattr(parts, name), getattr(whole, name)
            assert np.linalg.norm(a - b) < 1e-6 * np.linalg.norm(b)


def test_no_particles():
    result = aggregate(*particles(0))
    assert result.n_particles == 0
    assert not result.numerator.any()
    assert not result.weight.any()


def test_scale_group_and_sign_of_the_images_take_effect():
    images, table = particles(5)
    plain = aggregate(images, table)
    doubled = aggregate(images, dataclasses.replace(table, scale=2 * table.scale))
    np.testing.assert_allclose(doubled.weight, 4 * plain.weight, rtol=1e-6)
    np.testing.assert_allclose(doubled.numerator, 2 * plain.numerator, rtol=1e-6)
    np.testing.assert_array_equal(aggregate(-images, table).numerator, -plain.numerator)
    other = aggregate(images, dataclasses.replace(table, optics_group=1 - table.optics_group))
    assert np.linalg.norm(other.weight - plain.weight) > 0.1 * np.linalg.norm(plain.weight)


def test_what_does_not_add():
    def empty(box_px, pixel_size_a):
        return Accumulator(box_px, pixel_size_a).finish()

    with pytest.raises(InputError, match="of box 16 and 20 px cannot be added: use particles of one box size"):
        empty(16, 2.0) + empty(20, 2.0)
    with pytest.raises(InputError, match=r"pixel size 2 and 2\.001 Å cannot be added: use particles of one pixel size"):
        empty(16, 2.0) + empty(16, 2.001)
    assert (empty(16, 2.0) + empty(16, 2.0001)).pixel_size_a == 2.0


def test_apodisation_is_the_transform_of_the_triangle():
    box, grid = 15, 24
    t = np.linspace(-1, 1, 200001)
    x = np.arange(box) - box // 2
    expected = [trapezoid((1 - np.abs(t)) * np.cos(2 * np.pi * t * place / grid), t) for place in x]
    np.testing.assert_allclose(apodisation(box, grid), expected, atol=1e-9)


def under(images, table, name):
    accumulator = Accumulator(D, PIXEL_SIZE_A, point_group(name))
    accumulator.add(images, table, INVERSE_NOISE, table.optics_group)
    return accumulator.finish()


@pytest.mark.parametrize("name", ["C1", "C3", "C4", "D2", "D3", "T", "O", "I", "I3"])
def test_symmetry_is_insertion_of_every_related_view(name):
    """As if the table had a row A R for every rotation R of the group, except that a particle counts once."""
    images, table = particles(4)
    result = under(images, table, name)
    rotations = point_group(name).rotations
    every = np.repeat(np.arange(4), len(rotations))
    expanded = dataclasses.replace(
        table.select(every), rotations=np.einsum("bij,gjk->bgik", table.rotations, rotations).reshape(-1, 3, 3)
    )
    expected = aggregate(images[every], expanded, slice(None))
    assert (result.n_particles, result.symmetry) == (4, name)
    np.testing.assert_allclose(result.weight, expected.weight, atol=3e-6 * expected.weight.max())
    np.testing.assert_allclose(result.numerator, expected.numerator, atol=3e-6 * np.abs(expected.numerator).max())


def test_an_interrupted_pass_under_symmetry_goes_on_from_its_sums():
    images, table = particles(6)
    whole, first, second = (Accumulator(D, PIXEL_SIZE_A, point_group("D3")) for _ in range(3))
    for accumulator, rows in ((whole, slice(0, 3)), (whole, slice(3, 6)), (first, slice(0, 3))):
        numbers = np.arange(6)[rows]
        accumulator.add(images[rows], table.select(numbers), INVERSE_NOISE, table.optics_group[rows])
    second.sums[...] = first.sums
    second.add(images[3:], table.select(np.arange(3, 6)), INVERSE_NOISE, table.optics_group[3:])
    np.testing.assert_array_equal(second.finish().numerator, whole.finish().numerator)


def test_aggregates_keep_their_symmetry_and_add_under_one_only():
    images, table = particles(3)
    plain, symmetric = under(images, table, "C1"), under(images, table, "D3")
    assert (symmetric + symmetric).symmetry == "D3"
    assert aggregate_from_tensors(*aggregate_to_tensors(symmetric)).symmetry == "D3"
    tensors, description = aggregate_to_tensors(plain)
    del description["symmetry"]
    assert aggregate_from_tensors(tensors, description).symmetry == "C1"
    with pytest.raises(InputError, match="Aggregates of symmetry C1 and D3 cannot be added"):
        plain + symmetric
