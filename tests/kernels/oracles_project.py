"""Slow answers for the projection tests, from scipy's multivariate normal. Nothing comes from gemmap."""

import numpy as np
import oracles
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal


def one_gaussian(centre, scales, quaternion, mass, rotation, shift, size):
    """Pixel values without truncation, and squared Mahalanobis distances, at every pixel (y, x) of one image."""
    rotation = np.asarray(rotation, np.float64)
    own = oracles.rotation(quaternion)
    covariance = rotation @ own @ np.diag(np.asarray(scales, np.float64) ** 2) @ own.T @ rotation.T
    mean = (rotation @ np.asarray(centre, np.float64))[:2] - np.asarray(shift, np.float64)
    y, x = np.meshgrid(*[np.arange(size) - size // 2] * 2, indexing="ij")
    points = np.stack([x, y], -1)
    # The marginal of a normal distribution is the normal distribution of the coordinates that are left.
    normal = multivariate_normal(mean, covariance[:2, :2])
    values = float(mass) * np.reshape(normal.pdf(points), (size, size))
    d = points - mean
    return values, np.einsum("...i,ij,...j->...", d, np.linalg.inv(covariance[:2, :2]), d)


def project(centres, scales, quaternions, masses, rotations, shifts, size, cut):
    """Images (y, x) in float64, one Gaussian after the other over the whole image."""
    images = np.zeros((len(rotations), size, size))
    for image, rotation, shift in zip(images, rotations, shifts, strict=True):
        for parameters in zip(centres, scales, quaternions, masses, strict=True):
            values, square = one_gaussian(*parameters, rotation, shift, size)
            image += np.where(square <= cut**2, values, 0)
    return images


def gradients(grad_images, centres, scales, quaternions, masses, rotations, shifts, cut, step=1e-5):
    """Central differences of <grad_images, images>, support held fixed; rotations as turns A -> exp([w]x) A."""
    size = grad_images.shape[-1]
    gaussians = [np.array(a, np.float64) for a in (centres, scales, quaternions, masses)]
    poses = [np.array(a, np.float64) for a in (rotations, shifts)]
    out = [np.zeros_like(a) for a in gaussians] + [np.zeros((len(rotations), 3)), np.zeros((len(rotations), 2))]
    for i in range(len(rotations)):
        for j in range(len(masses)):
            _, square = one_gaussian(*(a[j] for a in gaussians), *(p[i] for p in poses), size)
            weight = np.where(square <= cut**2, grad_images[i], 0)

            def loss(which=None, index=0, change=0.0, i=i, j=j, weight=weight):
                parameters = [np.array(a[j], ndmin=1) for a in gaussians] + [poses[0][i], poses[1][i].copy()]
                if which == 4:
                    parameters[4] = Rotation.from_rotvec(change * np.eye(3)[index]).as_matrix() @ parameters[4]
                else:
                    parameters[which][index] += change
                return (weight * one_gaussian(*parameters[:3], parameters[3][0], *parameters[4:], size)[0]).sum()

            for which, g in enumerate(out):
                row = g[j : j + 1] if which < 4 else g[i : i + 1]
                for index in range(row.size):
                    slope = (loss(which, index, step) - loss(which, index, -step)) / (2 * step)
                    row.reshape(-1)[index] += slope
    return out
