"""Sums and quotients on an aggregate's planes against numpy's on the whole grid."""

import numpy as np
import pytest

from gemmap.kernels.cpu_planes import (
    damp_residual,
    divide,
    multiply,
    multiply_axes,
    sum_agreement,
    sum_residuals,
)

M, BOX = 12, 8
RATIO, LAST = BOX / M, BOX // 2 + 1
RNG = np.random.default_rng(7)
GRID = (M, M, M // 2 + 1)
K = np.fft.fftfreq(M, 1 / M)
RADIUS = np.sqrt(K[:, None, None] ** 2 + K[:, None] ** 2 + np.arange(M // 2 + 1) ** 2) * RATIO
SHELL = np.minimum(np.floor(RADIUS + 0.5).astype(int), LAST)
PARTS = [(0, 3), (3, 7)]


def values():
    return (RNG.normal(size=GRID) + 1j * RNG.normal(size=GRID)).astype(np.complex64)


def weights():
    return RNG.uniform(size=GRID).astype(np.float32)


F, N1, N2, W1, W2 = values(), values(), values(), weights(), weights()


def planes(of, first, stop):
    return np.ascontiguousarray(of[:, :, first:stop].transpose(2, 1, 0))


def by_shell(of):
    return np.bincount(SHELL.ravel(), of.ravel().astype(float), LAST + 1)


def test_multiply():
    factors = RNG.normal(size=(3, M, M)).astype(np.float32)
    for found, expected in ((planes(F, 2, 5), planes(F, 2, 5) * factors), (planes(F, 0, 0), planes(F, 0, 0))):
        multiply(found, factors[: len(found)])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_multiply_axes():
    x, y, z = (RNG.normal(size=n).astype(np.float32) for n in (3, M, M))
    found = planes(F, 2, 5)
    multiply_axes(found, x, y, z)
    np.testing.assert_allclose(found, planes(F, 2, 5) * x[:, None, None] * y[:, None] * z, rtol=1e-6)


@pytest.mark.parametrize(("first", "stop"), PARTS)
def test_divide(first, stop):
    found = np.empty((stop - first, M, M), np.complex64)
    divide(N1, W1, 0.3, first, found)
    np.testing.assert_allclose(found, planes(N1 / (W1 + 0.3), first, stop), rtol=1e-6)


@pytest.mark.parametrize(("first", "stop"), PARTS)
def test_damp_residual(first, stop):
    variance = RNG.uniform(size=LAST + 1).astype(np.float32)
    variance[-1] = 0.0
    tau2 = variance[SHELL]
    expected = (N1 - W1 * F) * tau2 / (W1 * tau2 + 1.0)
    found = planes(F, first, stop)
    damp_residual(found, N1, W1, variance, first, RATIO)
    np.testing.assert_allclose(found, planes(expected, first, stop), rtol=1e-5, atol=1e-7)


def test_sum_residuals():
    found = np.zeros((3, LAST + 1))
    for first, stop in PARTS:
        sum_residuals(planes(F, first, stop), (N1, N2), (W1, W2), first, RATIO, found)
    r1, r2 = N1 - W1 * F, N2 - W2 * F
    expected = [(r1 * r2.conj()).real, 0.5 * np.abs(r1) ** 2 * np.abs(r2) ** 2, W1 * W2]
    np.testing.assert_allclose(found, [by_shell(of) for of in expected], rtol=1e-5, atol=1e-5)


def test_sum_agreement():
    found = np.zeros((2, LAST + 1))
    for first, stop in PARTS:
        sum_agreement(planes(F, first, stop), N1, W1, first, RATIO, found)
    both = np.where(np.arange(M // 2 + 1) == 0, 1.0, 2.0)
    expected = [both * (N1.conj() * F).real, both * W1 * np.abs(F) ** 2]
    np.testing.assert_allclose(found, [by_shell(of) for of in expected], rtol=1e-5, atol=1e-5)
