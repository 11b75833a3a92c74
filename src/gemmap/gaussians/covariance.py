"""Covariances from scales and quaternions, and the chain rule back.

S = R(q) diag(s^2) R(q)^T with q = wxyz, normalised inside; R takes own axes to map axes. Lengths in any one unit.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrices(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """R(q / |q|); its columns are the own axes."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def covariances(scales: Float[Tensor, "n 3"], quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """S = R diag(s^2) R^T."""
    axes = rotation_matrices(quaternions) * scales[:, None, :]
    return axes @ axes.mT


def precisions(scales: Float[Tensor, "n 3"], quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """S^-1 = R diag(s^-2) R^T, without inverting a matrix."""
    axes = rotation_matrices(quaternions) / scales[:, None, :]
    return axes @ axes.mT


def differentiate(
    grad_covariances: Float[Tensor, "n 3 3"], scales: Float[Tensor, "n 3"], quaternions: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 4"]]:
    """Derivatives with respect to scales and quaternions from those with respect to covariances.

    Parameters
    ----------
    grad_covariances
        Symmetric G with dL = sum_ij G_ij dS_ij.

    Returns
    -------
    g_scales, g_quaternions
        On the own axes, with C = R^T G R, dL/ds_i = 2 s_i C_ii. A small rotation w about them, q -> q (1, w/2), changes
        S by R (W s^2 - s^2 W) R^T with W the cross-product matrix of w, so that dL = sum_k w_k t_k with
        t_k = 2 C_ij (s_i^2 - s_j^2), (i, j, k) cyclic, and dL/dq = 2 q (0, t) / |q|^2, orthogonal to q.
    """
    rotations = rotation_matrices(quaternions)
    own = rotations.mT @ grad_covariances @ rotations
    g_scales = 2 * scales * own.diagonal(dim1=-2, dim2=-1)
    square = scales**2
    torque = [2 * own[:, i, j] * (square[:, i] - square[:, j]) for i, j in ((1, 2), (2, 0), (0, 1))]
    t = torch.stack(torque, -1)
    w, v = quaternions[:, :1], quaternions[:, 1:]
    product = torch.cat([-(v * t).sum(-1, keepdim=True), w * t + torch.linalg.cross(v, t)], -1)
    return g_scales, 2 * product / (quaternions**2).sum(-1, keepdim=True)
