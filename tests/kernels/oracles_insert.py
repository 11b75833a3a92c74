"""Direct sums for the one pass, in numpy and float64. Nothing comes from gemmap; the formulas are written out anew.

Everything runs over the full Fourier plane: all k = (kx, ky) with |k| <= D/2 - D/M, where the kernels use half of it.
"""

import itertools

import numpy as np

CHUNK = 2000


def plane_points(d, m):
    """(n, 2) integer (kx, ky) of the full plane that a grid of side m takes."""
    axis = np.arange(-(d // 2), d // 2 + 1)
    k = np.array([(kx, ky) for ky in axis for kx in axis])
    return k[np.hypot(*k.T) <= d / 2 - d / m]


def positions(rotation, k):
    """A^T (kx, ky, 0): points of the volume's transform, xyz, in cycles per box."""
    return np.column_stack([k, np.zeros(len(k))]) @ rotation


def ctf(k, d, pixel_size_a, *, u, v, angle_deg, kv, cs_mm, q0, phase_deg=0.0, b_a2=0.0, scale=1.0):
    """RELION's CTF at integer k = (kx, ky)."""
    lam = 12.2643247 / np.sqrt(1e3 * kv * (1 + 0.978466e-6 * 1e3 * kv))
    a = np.radians(angle_deg)
    kx, ky = (k / (d * pixel_size_a)).T
    along, across = kx * np.cos(a) + ky * np.sin(a), -kx * np.sin(a) + ky * np.cos(a)
    k2 = kx**2 + ky**2
    gamma = -np.pi * lam * (u * along**2 + v * across**2) + np.pi / 2 * cs_mm * 1e7 * lam**3 * k2**2
    gamma -= np.radians(phase_deg) + np.arctan(q0 / np.sqrt(1 - q0**2))
    return -scale * np.exp(-b_a2 / 4 * k2) * np.sin(gamma)


def image_transform(image, k):
    """Sum over pixels of y(x) exp(-2 pi i k.x/D), x counted from pixel D//2."""
    d = len(image)
    x = np.arange(d) - d // 2
    ex = np.exp(-2j * np.pi / d * np.outer(k[:, 0], x))
    ey = np.exp(-2j * np.pi / d * np.outer(k[:, 1], x))
    return np.einsum("ny,yx,nx->n", ey, image, ex, optimize=True)


def _waves(at, d, sign):
    x = np.arange(d) - d // 2
    return [np.exp(sign * 2j * np.pi / d * np.outer(at[:, axis], x)) for axis in (2, 1, 0)]


def volume_transform(volume, at):
    """Sum over voxels of V(x) exp(-2 pi i q.x/D) at any points q = (x, y, z)."""
    d = len(volume)
    out = []
    for begin in range(0, len(at), CHUNK):
        ez, ey, ex = _waves(at[begin : begin + CHUNK], d, -1)
        lines = (volume.reshape(d * d, d) @ ex.T).reshape(d, d, -1)
        out.append(np.einsum("zyn,ny,nz->n", lines, ey, ez, optimize=True))
    return np.concatenate(out)


def back_projection(values, at, d):
    """Real part of the sum over points of value(q) exp(+2 pi i q.x/D) at every voxel (z, y, x)."""
    out = np.zeros((d * d, d))
    for begin in range(0, len(at), CHUNK):
        ez, ey, ex = _waves(at[begin : begin + CHUNK], d, 1)
        planes = (values[begin : begin + CHUNK, None, None] * ez[:, :, None] * ey[:, None, :]).reshape(len(ez), d * d)
        out += (planes.T @ ex).real
    return out.reshape(d, d, d)


def corners(at, m):
    """The eight neighbours (z, y, x) modulo m of grid positions (x, y, z), with trilinear weights."""
    below = np.floor(at).astype(int)
    for step in itertools.product((0, 1), repeat=3):
        weight = np.prod(np.where(step, at - below, 1 - (at - below)), axis=1)
        x, y, z = ((below + step) % m).T
        yield (z, y, x), weight


def insert(values, at, m, d):
    """Full complex grid of side m with every point spread over its eight neighbours."""
    grid = np.zeros((m, m, m), complex)
    for index, weight in corners(at * m / d, m):
        np.add.at(grid, index, weight * values)
    return grid


def sample(grid, at, d):
    """Trilinear values of a full complex grid at the points: the transpose of :func:`insert`."""
    return sum(weight * grid[index] for index, weight in corners(at * len(grid) / d, len(grid)))


def random_rotations(n, rng):
    """Uniform rotations, by orthogonalising Gaussian matrices."""
    q, r = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    q = q * np.sign(np.einsum("nii->ni", r))[:, None, :]
    q[:, :, 0] *= np.linalg.det(q)[:, None]
    return q
