"""The loss of images by direct sums, its gradients by finite differences, and its kinship with the aggregate."""

import numpy as np
import pytest
import torch

from gemmap.fit.image_loss import ImageBatch, image_loss
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import image_coefficients

PIXEL_SIZE_A = 2.0


def parameters(b, seed=0):
    rng = np.random.default_rng(seed)
    one = np.ones(b)
    return CtfParameters(
        rng.uniform(8e3, 2e4, b), rng.uniform(8e3, 2e4, b), rng.uniform(-1, 1, b), 300 * one, 2.7 * one, 0.1 * one,
        0.2 * one, 20 * one, 0.9 * one,
    )  # fmt: skip


def case(b=3, d=8, ctf=True, seed=0):
    """Projections and a batch in float64, no two rows alike."""
    rng = np.random.default_rng(seed)
    images, projections = (torch.from_numpy(rng.normal(size=(b, d, d))) for _ in range(2))
    coefficients = torch.from_numpy(image_coefficients(parameters(b, seed) if ctf else None, b, d * PIXEL_SIZE_A))
    scales, noise = torch.from_numpy(rng.uniform(0.5, 2, b)), torch.from_numpy(rng.uniform(0.5, 2, (b, d // 2 + 1)))
    return projections, ImageBatch(images, coefficients, scales, noise)


def ctf_at(p, i, kx, ky):
    """CTF of one particle at one frequency in 1/Å, from the textbook, with numbers of its own."""
    kv = p.voltage_kv[i] * 1e3
    wavelength = 12.2643 / np.sqrt(kv + 0.97845e-6 * kv**2)
    angle = np.arctan2(ky, kx) - p.defocus_angle_rad[i]
    defocus = 0.5 * (p.defocus_u_a[i] + p.defocus_v_a[i] + (p.defocus_u_a[i] - p.defocus_v_a[i]) * np.cos(2 * angle))
    k2 = kx**2 + ky**2
    gamma = -np.pi * wavelength * defocus * k2 + 0.5 * np.pi * p.cs_mm[i] * 1e7 * wavelength**3 * k2**2
    gamma -= p.phase_shift_rad[i] + np.arcsin(p.amplitude_contrast[i])
    return -p.scale[i] * np.exp(-p.bfactor_a2[i] * k2 / 4) * np.sin(gamma)


def direct_loss(projections, batch, with_ctf, seed=0):
    """Sums over every frequency of the full plane below D/2."""
    b, d, _ = projections.shape
    x = np.arange(d) - d // 2
    p = parameters(b, seed)
    losses = np.zeros(b)
    frequencies = range(-(d // 2), d - d // 2)
    for i in range(b):
        for ky in frequencies:
            for kx in frequencies:
                radius = np.hypot(kx, ky)
                if radius >= d / 2:
                    continue
                wave = np.exp(-2j * np.pi * (ky * x[:, None] + kx * x[None, :]) / d)
                value = (projections[i].numpy() * wave).sum() * float(batch.scales[i])
                if with_ctf:
                    value *= ctf_at(p, i, kx / d / PIXEL_SIZE_A, ky / d / PIXEL_SIZE_A)
                residual = value - (batch.images[i].numpy() * wave).sum()
                losses[i] += 0.5 * abs(residual) ** 2 * float(batch.inverse_noise[i, int(radius + 0.5)])
    return losses


@pytest.mark.parametrize("d", [6, 7, 8])
@pytest.mark.parametrize("with_ctf", [True, False])
def test_the_loss_by_direct_sums(d, with_ctf):
    projections, batch = case(d=d, ctf=with_ctf)
    found = image_loss(projections, batch).losses.numpy()
    np.testing.assert_allclose(found, direct_loss(projections, batch, with_ctf), rtol=1e-5)


@pytest.mark.parametrize("d", [7, 8])
@pytest.mark.parametrize("with_ctf", [True, False])
def test_the_gradients_by_differences(d, with_ctf):
    """The loss is quadratic, so central differences are exact."""
    projections, batch = case(d=d, ctf=with_ctf)
    found = image_loss(projections, batch)
    rng = np.random.default_rng(1)
    for _ in range(4):
        step = torch.from_numpy(rng.normal(size=projections.shape))
        up, down = (image_loss(projections + s * step, batch).losses for s in (1, -1))
        torch.testing.assert_close(0.5 * (up - down), (found.by_projection * step).sum(dim=(1, 2)))
    step = torch.from_numpy(rng.normal(size=len(projections)))
    up, down = (
        image_loss(
            projections,
            ImageBatch(batch.images, batch.coefficients, batch.scales + s * step, batch.inverse_noise),
        ).losses
        for s in (1, -1)
    )
    torch.testing.assert_close(0.5 * (up - down), found.by_scale * step)


def test_images_that_are_the_model_cost_nothing():
    projections, batch = case(ctf=False)
    images = batch.scales[:, None, None] * projections
    perfect = ImageBatch(images, batch.coefficients, batch.scales, batch.inverse_noise)
    found = image_loss(projections, perfect)
    assert float(found.losses.abs().max()) < 1e-20
    assert float(found.by_projection.abs().max()) < 1e-10


def test_a_batch_is_its_images_one_by_one():
    projections, batch = case(b=4)
    together = image_loss(projections, batch)
    for i in range(4):
        one = ImageBatch(
            batch.images[i : i + 1], batch.coefficients[i : i + 1], batch.scales[i : i + 1],
            batch.inverse_noise[i : i + 1],
        )  # fmt: skip
        alone = image_loss(projections[i : i + 1], one)
        torch.testing.assert_close(alone.losses[0], together.losses[i])
        torch.testing.assert_close(alone.by_projection[0], together.by_projection[i])


def test_single_precision_follows_double():
    projections, batch = case(d=16)
    single = ImageBatch(batch.images.float(), batch.coefficients, batch.scales.float(), batch.inverse_noise.float())
    a, b = image_loss(projections, batch), image_loss(projections.float(), single)
    error = (a.by_projection - b.by_projection.double()).norm() / a.by_projection.norm()
    assert float(error) < 1e-3
    assert b.by_projection.dtype == torch.float32


@pytest.mark.parametrize("d", [7, 8])
@pytest.mark.parametrize("with_ctf", [True, False])
def test_the_loss_of_single_precision_by_direct_sums(d, with_ctf):
    """The compiled kernel, against an oracle that shares nothing with it."""
    projections, batch = case(d=d, ctf=with_ctf)
    single = ImageBatch(
        batch.images.float(), batch.coefficients, batch.scales.float(),
        batch.inverse_noise.float(),
    )  # fmt: skip
    found = image_loss(projections.float(), single).losses.numpy()
    np.testing.assert_allclose(found, direct_loss(projections, batch, with_ctf), rtol=1e-4)


def test_many_images_are_compared_group_by_group():
    """More images than are taken at a time, and a last group that is smaller."""
    projections, batch = case(b=4 * torch.get_num_threads() + 3)
    expected = direct_loss(projections, batch, True)
    np.testing.assert_allclose(image_loss(projections, batch).losses.numpy(), expected, rtol=1e-5)
