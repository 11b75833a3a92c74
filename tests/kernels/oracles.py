"""Slow, plain numpy answers for the kernel tests. Nothing comes from gemmap; the formulas are written out anew."""

import numpy as np


def rotation(q):
    """R(q / |q|) from wxyz by Rodrigues' formula."""
    q = np.asarray(q, np.float64)
    q = q / np.linalg.norm(q)
    x, y, z = q[1:]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * q[0] * cross + 2 * cross @ cross


def one_gaussian(centre, scales, quaternion, mass, size):
    """Grey values without truncation, and squared Mahalanobis distances, at every voxel (z, y, x)."""
    r = rotation(quaternion)
    covariance = r @ np.diag(np.asarray(scales, np.float64) ** 2) @ r.T
    z, y, x = np.meshgrid(*[np.arange(size) - size // 2] * 3, indexing="ij")
    d = np.stack([x, y, z], -1) - np.asarray(centre, np.float64)
    square = np.einsum("...i,ij,...j->...", d, np.linalg.inv(covariance), d)
    return float(mass) / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(covariance)) * np.exp(-square / 2), square


def voxelize(centres, scales, quaternions, masses, size, cut):
    """Volume (z, y, x) in float64, one Gaussian after the other over the whole cube."""
    volume = np.zeros((size, size, size))
    for parameters in zip(centres, scales, quaternions, masses, strict=True):
        values, square = one_gaussian(*parameters, size)
        volume += np.where(square <= cut**2, values, 0)
    return volume


def gradients(grad_volume, centres, scales, quaternions, masses, cut, step=1e-5):
    """Central differences of <grad_volume, volume> with the support of each Gaussian held fixed."""
    parameters = [np.array(a, np.float64) for a in (centres, scales, quaternions, masses)]
    out = [np.zeros_like(a) for a in parameters]
    for j in range(len(parameters[3])):
        _, square = one_gaussian(*(a[j] for a in parameters), len(grad_volume))
        weight = np.where(square <= cut**2, grad_volume, 0)
        for a, g in zip(parameters, out, strict=True):
            for i in range(a[j].size):
                row, value = a[j : j + 1].reshape(-1), a[j : j + 1].reshape(-1)[i]
                ends = []
                for moved in (value + step, value - step):
                    row[i] = moved
                    ends.append((weight * one_gaussian(*(b[j] for b in parameters), len(grad_volume))[0]).sum())
                row[i] = value
                g[j : j + 1].reshape(-1)[i] = (ends[0] - ends[1]) / (2 * step)
    return out


def disagreement(got, expected):
    """Compare as vectors: relative L2 distance, 1 - cosine, and signed bias of the length along the expected vector."""
    a, b = np.asarray(got, np.float64).ravel(), np.asarray(expected, np.float64).ravel()
    if not b.any():
        return float(np.abs(a).max(initial=0)), 0.0, 0.0
    cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300)
    return np.linalg.norm(a - b) / np.linalg.norm(b), 1 - cosine, a @ b / (b @ b) - 1
