"""Both engines' image transforms with everything at once: aberrations, magnification, pixel sizes, treated images.

Direct sums in float64 that share nothing with the kernels; then numba against the reference, for all modes mixed.
"""

from dataclasses import dataclass

import numpy as np
import optics_cases as cases
import oracles_insert as oracle
import pytest
import torch
from oracles import disagreement

from gemmap.kernels import slices
from gemmap.kernels.residuals import weigh_residuals
from gemmap.particles.optics import image_model
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters

BACKENDS = ("numba", "reference")
PIXEL_SIZE_A = 2.0
#: Everything at once, in all that can be done to an image; the last two have smaller and larger pixels than the map.
GROUPS = (
    OpticsGroup("all", 2.0, None, cases.ODD, cases.EVEN, cases.MAGNIFICATION),
    OpticsGroup("flipped", 2.0, None, (), cases.EVEN, (1.0, 0.0, 0.0, 1.0), "phase-flip"),
    OpticsGroup("multiplied", 1.7, None, cases.ODD, (), cases.MAGNIFICATION, "multiplied"),
    OpticsGroup("corrected", 2.6, None, cases.ODD[:5], (), (0.97, 0.03, 0.03, 1.02), "corrected"),
    OpticsGroup("plain", 2.0),
)


@dataclass
class Case:
    """n images, one after the other from the groups."""

    n: int
    d: int
    seed: int = 0

    def __post_init__(self):
        rng, n = np.random.default_rng(self.seed), self.n
        self.images = rng.normal(size=(n, self.d, self.d)).astype(np.float32)
        self.inverse_noise = rng.uniform(0.2, 3.0, (len(GROUPS), self.d))
        self.group = np.arange(n) % len(GROUPS)
        one = np.ones(n)
        ctf = CtfParameters(
            rng.uniform(8e3, 2e4, n), rng.uniform(8e3, 2e4, n), rng.uniform(-3, 3, n), 300 * one, 2.7 * one, 0.1 * one,
            0.2 * one, 50 * one, 0.9 * one,
        )  # fmt: skip
        self.table = ParticleTable(
            oracle.random_rotations(n, rng), rng.normal(scale=4, size=(n, 2)), ctf, rng.uniform(0.5, 2, n), self.group,
            GROUPS, np.ones(n, int), np.zeros(n, int), np.arange(n), ("a",), one, map_pixel_size_a=PIXEL_SIZE_A,
        )  # fmt: skip

    def model(self):
        return image_model(self.table, self.d * PIXEL_SIZE_A)

    def parts(self, i, k):
        """c, T, the phase of odd aberrations and shift, and 1/sigma^2 of image i at integer k, from the definitions."""
        group, d, t = GROUPS[self.group[i]], self.d, self.table
        optics = {"magnification": group.magnification}
        transfer = np.ones(len(k))
        if group.ctf_applied != "corrected":
            transfer = cases.ctf(k, d, group.pixel_size_a, t.ctf, i, even=group.even_zernike, **optics)
        if group.ctf_applied == "phase-flip":
            transfer = abs(transfer)
        phase = cases.odd_phase(k, d, group.pixel_size_a, odd=group.odd_zernike, **optics)
        phase = phase + 2 * np.pi * (k @ t.shifts_a[i]) / (d * group.pixel_size_a)
        precision = self.inverse_noise[self.group[i]][np.floor(np.hypot(*k.T) + 0.5).astype(int)]
        return t.scale[i] * (PIXEL_SIZE_A / group.pixel_size_a) ** 2, transfer, phase, precision

    def expected(self, i, k):
        """Numerator and weight of image i at integer points k."""
        c, transfer, phase, precision = self.parts(i, k)
        y = oracle.image_transform(self.images[i].astype(float), k) * np.exp(-1j * phase)
        multiplied = GROUPS[self.group[i]].ctf_applied == "multiplied"
        return c * (1 if multiplied else transfer) * precision * y, (c * transfer) ** 2 * precision

    def positions(self, i, k):
        """A^T (M k, 0) in cycles per side of the map."""
        group = GROUPS[self.group[i]]
        moved = cases.at(k, self.d, group.pixel_size_a, group.magnification) * self.d * PIXEL_SIZE_A
        return oracle.positions(self.table.rotations[i], moved.T)


def plane(d):
    axis = np.arange(-(d // 2), d // 2 + 1)
    k = np.array([(kx, ky) for ky in axis for kx in axis])
    return k[4 * (k**2).sum(1) < d * d]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("d", [16, 15])
def test_slices_are_the_direct_sums(d, backend):
    case = Case(len(GROUPS), d)
    prepared = slices.prepare(case.images, case.model(), case.group, case.inverse_noise, backend)
    k = plane(d)
    k = k[k[:, 0] >= 0]
    for i in range(case.n):
        numerator, weight = case.expected(i, k)
        expected = np.stack([numerator.real, numerator.imag, weight], -1)
        for part in (slice(0, 2), slice(2, 3)):
            assert disagreement(prepared[i, k[:, 1], k[:, 0], part], expected[:, part])[0] < 3e-6


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("d", "m"), [(16, 24), (15, 24), (20, 20)])
def test_insertion_is_the_full_plane_at_its_place(d, m, backend):
    """Half of the plane against all of it, also where the view stretches it beyond the map's Nyquist."""
    case = Case(2 * len(GROUPS), d, seed=m)
    volume = np.zeros((m, m, m // 2 + 1, 3), np.float32)
    prepared = slices.prepare(case.images, case.model(), case.group, case.inverse_noise, backend)
    slices.insert(prepared, case.model().views, volume, backend)
    slices.complete_plane(volume, backend)
    numerator, weight = np.zeros((m, m, m), complex), np.zeros((m, m, m))
    left_out = 0
    for i in range(case.n):
        k = plane(d)
        at = case.positions(i, k)
        near = np.linalg.norm(at, axis=1) <= d / 2 - d / m + 1e-9
        left_out += int((~near).sum())
        values = case.expected(i, k[near])
        numerator += oracle.insert(values[0], at[near], m, d)
        weight += oracle.insert(values[1], at[near], m, d).real
    assert left_out > 0
    expected = np.stack([numerator.real, numerator.imag, weight], -1)[:, :, : m // 2 + 1]
    for part in (slice(0, 2), slice(2, 3)):
        assert disagreement(volume[..., part], expected[..., part])[0] < 1e-5


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.7, 40.0])
def test_numba_inserts_what_the_reference_inserts_at_any_scale(scale):
    """Nothing is written outside of the volume, however far a view reaches."""
    rng = np.random.default_rng(3)
    views = scale * oracle.random_rotations(6, rng)
    views[:, :2] = (np.eye(2) + 0.3 * rng.normal(size=(6, 2, 2))) @ views[:, :2]
    prepared = rng.normal(size=(6, 16, 9, 3)).astype(np.float32)
    ky, kx = np.fft.fftfreq(16, 1 / 16)[:, None], np.arange(9)
    prepared[:, kx**2 + ky**2 >= 64] = 0
    both = []
    for backend in BACKENDS:
        volume = np.zeros((24, 24, 13, 3), np.float32)
        slices.insert(prepared, views, volume, backend)
        slices.complete_plane(volume, backend)
        both.append(volume)
    assert both[1].any()
    np.testing.assert_allclose(both[0], both[1], atol=1e-5 * abs(both[1]).max())


def losses(case, projections, backend, dtype, scale=None):
    model = case.model()
    scales = torch.from_numpy(model.scales if scale is None else scale).to(dtype)
    noise = torch.from_numpy(case.inverse_noise[case.group]).to(dtype)
    transforms = (torch.fft.rfft2(a.to(dtype)) for a in (projections, torch.from_numpy(case.images)))
    return weigh_residuals(*transforms, torch.from_numpy(model.coefficients), scales, noise, backend)


@pytest.mark.parametrize("d", [10, 11])
def test_losses_are_the_direct_sums(d):
    """Of images multiplied by their CTF the loss lacks what depends on them alone."""
    case = Case(len(GROUPS), d)
    projections = torch.from_numpy(np.random.default_rng(2).normal(size=(case.n, d, d)))
    _, found, by_scale = losses(case, projections, "reference", torch.float64)
    k = plane(d)
    for i in range(case.n):
        c, transfer, phase, precision = case.parts(i, k)
        # Projections are made shifted: the shift's phase is in both.
        phase = phase - 2 * np.pi * (k @ case.table.shifts_a[i]) / (d * GROUPS[case.group[i]].pixel_size_a)
        p = oracle.image_transform(projections[i].numpy(), k)
        y = oracle.image_transform(case.images[i].astype(float), k) * np.exp(-1j * phase)
        constant = 0.0
        if GROUPS[case.group[i]].ctf_applied == "multiplied":
            y = y / transfer
            constant = 0.5 * (precision * abs(y) ** 2).sum()
        residual = c * transfer * p - y
        assert float(found[i]) == pytest.approx(0.5 * (precision * abs(residual) ** 2).sum() - constant, rel=1e-8)
        expected = (precision * (transfer * p * residual.conj()).real).sum()
        assert float(by_scale[i]) == pytest.approx(expected, rel=1e-8)


def test_gradients_are_differences_of_the_losses():
    case, d = Case(len(GROUPS), 9), 9
    rng = np.random.default_rng(4)
    at, step = (torch.from_numpy(rng.normal(size=(case.n, d, d))) for _ in range(2))
    gradient, _, by_scale = losses(case, at, "reference", torch.float64)
    slope = (torch.fft.irfft2(gradient, s=(d, d), norm="forward") * step).sum(dim=(1, 2))
    up, down = (losses(case, at + s * step, "reference", torch.float64)[1] for s in (1, -1))
    torch.testing.assert_close(0.5 * (up - down), slope)
    scale = case.model().scales
    up, down = (losses(case, at, "reference", torch.float64, scale + s * 0.1)[1] for s in (1, -1))
    torch.testing.assert_close(5.0 * (up - down), by_scale)


@pytest.mark.parametrize("d", [1, 2, 7, 32, 33])
def test_numba_weighs_what_the_reference_weighs(d):
    case = Case(2 * len(GROUPS), d, seed=d)
    projections = torch.from_numpy(np.random.default_rng(2).normal(size=(case.n, d, d)))
    observed = case.images.copy()
    found = losses(case, projections, "numba", torch.float32)
    expected = losses(case, projections, "reference", torch.float64)
    np.testing.assert_array_equal(case.images, observed)
    for a, e in zip(found, expected, strict=True):
        for i in range(case.n):
            assert np.linalg.norm(a[i].numpy() - e[i].numpy()) <= 3e-5 * np.linalg.norm(e[i].numpy())
