"""Agreement with particles, against sums over their images; what was fitted to noise shows."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_case import BOX, PIXEL_A, N, case, truth

from gemmap.evidence.held_out import HeldOut, deal, hold_out
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.agreement import Agreement, HeldOutAgreement, agreements
from gemmap.fit.noise_power import inverse_noise, noise_power_of_groups
from gemmap.fit.progress import Silent
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ArrayStack
from gemmap.particles.table import ParticleTable


def unblurred(rows: int) -> tuple[ParticleTable, np.ndarray]:
    """Particles without CTF and shifts, and white images of variance 1."""
    table = case().table.select(np.arange(rows))
    table = replace(table, ctf=None, shifts_a=np.zeros((rows, 2)), scale=np.ones(rows))
    return table, np.random.default_rng(5).standard_normal((rows, BOX, BOX)).astype(np.float32)


def agreement(volume: np.ndarray, sums: Aggregate) -> Agreement:
    return agreements({"one": volume}, sums)[0]["one"]


def projections(volume: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """By the transform of every voxel at every frequency of every image: slow, and nothing shared with the package."""
    n = len(volume)
    axis = np.arange(n) - n // 2
    z, y, x = np.nonzero(volume)
    points, values = np.stack([axis[x], axis[y], axis[z]], 1), volume[z, y, x]
    k = np.fft.fftfreq(n)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    flat = np.stack([kx.ravel(), ky.ravel(), np.zeros(n * n)], 1)
    return np.stack([(np.exp(-2j * np.pi * (flat @ (points @ a.T).T)) @ values).reshape(n, n) for a in rotations])


def test_agreement_is_that_of_the_images_with_projections():
    rows = 6
    table, images = unblurred(rows)
    rng = np.random.default_rng(1)
    volume = np.zeros((BOX, BOX, BOX), np.float32)
    inside = np.linalg.norm(np.indices(volume.shape) - BOX // 2, axis=0) < 5.0
    volume[inside] = rng.standard_normal(inside.sum())
    slices = projections(volume, table.rotations)
    # Images that hold some of the projections, so that the products are not noise about 0.
    images = images + 0.3 * np.fft.fftshift(np.fft.ifft2(slices).real, axes=(1, 2)).astype(np.float32)
    sigma2 = np.full((1, BOX), float(BOX**2))
    accumulator = Accumulator(BOX, PIXEL_A)
    accumulator.add(images, table, 1.0 / sigma2, table.optics_group)
    found = agreement(volume, accumulator.finish())
    transforms = np.fft.fft2(np.fft.ifftshift(images, axes=(1, 2)))
    k = np.fft.fftfreq(BOX, 1.0 / BOX)
    shell = np.floor(np.hypot(k[:, None], k[None, :]) + 0.5).astype(int).ravel()
    for values, ours in (
        ((transforms * slices.conj()).real / BOX**2, found.product),
        (np.abs(slices) ** 2 / BOX**2, found.power),
    ):
        expected = np.bincount(shell, values.sum(axis=0).ravel())[: BOX // 2 + 1]
        # Shells of the grid are finer than those of an image: neighbours share.
        assert np.corrcoef(ours[2:14], expected[2:14])[0, 1] > 0.9
        assert ours[2:14].sum() == pytest.approx(expected[2:14].sum(), rel=0.08)
    # All shells are inserted whole but the last two, which end one step of the grid inside Nyquist.
    np.testing.assert_array_equal(found.n_values[:-2], rows * np.bincount(shell)[: BOX // 2 - 1])
    assert found.n_values[-1] == 0.0


def test_errors_are_those_of_noise():
    """Over many sets of pure noise, correlation and slope have the spread that is stated."""
    table, _ = unblurred(20)
    volume = np.zeros((BOX, BOX, BOX), np.float32)
    volume[BOX // 2 - 4 : BOX // 2 + 4, BOX // 2 - 4 : BOX // 2 + 4, BOX // 2 - 4 : BOX // 2 + 4] = 1.0
    volume *= np.random.default_rng(0).uniform(0.0, 1.0, volume.shape)
    correlations, slopes, products = [], [], []
    for seed in range(60):
        images = np.random.default_rng(seed).standard_normal((20, BOX, BOX)).astype(np.float32)
        accumulator = Accumulator(BOX, PIXEL_A)
        accumulator.add(images, table, np.full((1, BOX), 1.0 / BOX**2), table.optics_group)
        found = agreement(volume, accumulator.finish())
        correlations.append(found.correlation)
        slopes.append(found.slope)
        products.append(found.product[3:14].sum())
    for values, error in ((correlations, found.correlation_error), (slopes, found.slope_error)):
        ratio = np.std(values, axis=0)[3:14] / error[3:14]
        # Noise on the border of two shells is shared by them: each has a little less.
        assert 0.7 < np.median(ratio) < 1.05
    # Of shells together the error is exact: here a fifth more or less is three standard deviations.
    assert np.std(products) == pytest.approx(np.sqrt(found.power[3:14].sum()), rel=0.2)


@pytest.mark.parametrize(
    ("n", "fraction", "n_held"),
    [(200, 0.05, 10), (10, 0.1, 1), (100, 0.3, 30), (7, 0.5, 3), (19, 0.05, 0), (0, 0.1, 0)],
)
def test_as_many_are_held_out_as_were_asked_for(n, fraction, n_held):
    held, rest, sample = deal(n, fraction)
    assert len(held) == len(np.unique(sample)) == n_held
    np.testing.assert_array_equal(np.sort(np.concatenate([held, rest])), np.arange(n))
    assert np.isin(sample, rest).all()
    if n_held > 1:
        assert np.ptp(np.diff(held)) <= 1


def test_symmetry_does_not_count_particles_more_often():
    """Noise correlates with a symmetric map as with any: a particle is one, however many views it serves."""
    config = replace(case().config, symmetry="C4", refuse_dark=False)
    images = np.random.default_rng(8).standard_normal((N, BOX, BOX)).astype(np.float32)
    noise = replace(case(), stack=ArrayStack(images), config=config)
    found = hold_out(noise, Silent(), last_shell=12, fraction=0.2)
    assert found is not None
    unseen = found.agreement.held_out["backprojection"]
    deviations = unseen.correlation[2:14] / unseen.correlation_error[2:14]
    assert np.sqrt((deviations**2).mean()) < 1.35


def test_the_truth_keeps_all_of_its_agreement_within_the_error():
    found = []
    for rows in (np.arange(0, N, 2), np.arange(1, N, 2)):
        table = case().table.select(rows)
        accumulator = Accumulator(BOX, PIXEL_A)
        noise = noise_power_of_groups(case().table, case().stack, rows, 9.0, DeadImages(N))
        accumulator.add(case().stack.read(rows), table, inverse_noise(table.optics, noise), table.optics_group)
        found.append({"map": agreement(truth(), accumulator.finish())})
    found = HeldOut(N // 2, HeldOutAgreement(*found), last_shell=12)
    assert abs(found.kept("map") - 1.0) < 3.5 * found.kept_error("map")
    assert found.kept_error("map") < 0.2


def test_particles_not_seen_agree_less_where_noise_was_fitted():
    found = hold_out(case(), Silent(), last_shell=10, fraction=0.1)
    assert found is not None
    assert found.n_held_out == N // 10
    assert found.kept("map") > found.kept("backprojection")
    assert 0.2 < found.kept("map") < 1.2
    # A back-projection follows the noise of its own particles.
    assert found.kept("backprojection") < 0.8
    assert "particles never fitted agree" in found.line()


def test_all_shells_of_a_noisy_back_projection_agree_with_fitted_particles_only():
    images = np.random.default_rng(8).standard_normal((N, BOX, BOX)).astype(np.float32)
    noise = replace(case(), stack=ArrayStack(images), config=replace(case().config, refuse_dark=False))
    found = hold_out(noise, Silent(), last_shell=12, fraction=0.1)
    assert found is not None
    assert abs(found.kept("backprojection")) < 0.25
    unseen = found.agreement.held_out["backprojection"]
    assert np.abs(unseen.correlation[3:14] / unseen.correlation_error[3:14]).max() < 4.5


def test_too_few_particles_are_not_held_out():
    few = case().only(np.arange(16))
    assert hold_out(replace(case(), table=few), Silent(), 5, fraction=0.5) is None
