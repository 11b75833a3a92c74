"""A phantom of round Gaussians, and its particles from closed forms, made with numpy alone."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable

PIXEL_SIZE_A = 2.5


@dataclass(frozen=True)
class Phantom:
    """Gaussians of one width: positions in voxels from the origin (xyz), integrals, standard deviation in voxels."""

    centres: np.ndarray
    masses: np.ndarray
    sigma: float

    def volume(self, box: int) -> np.ndarray:
        """Density at the voxels [z, y, x], origin at box//2."""
        gx, gy, gz = (self._profile(self.centres[:, axis], box) for axis in range(3))
        return np.einsum("j,jz,jy,jx->zyx", self.masses, gz, gy, gx)

    def images(self, rotations: np.ndarray, shifts_px: np.ndarray, box: int) -> np.ndarray:
        """Line integrals [y, x] along z after p -> A p; the content lies at -s, so that moving it by +s centres it."""
        seen = np.einsum("nij,pj->npi", rotations[:, :2], self.centres) - shifts_px[:, None]
        gx, gy = self._profile(seen[..., 0], box), self._profile(seen[..., 1], box)
        return np.swapaxes(self.masses[:, None] * gy, 1, 2) @ gx

    def _profile(self, positions: np.ndarray, box: int) -> np.ndarray:
        x = np.arange(box) - box // 2
        return np.exp(-0.5 * ((x - positions[..., None]) / self.sigma) ** 2) / (np.sqrt(2 * np.pi) * self.sigma)


def phantom(radius: float, n: int = 40, sigma: float = 1.0, seed: int = 3) -> Phantom:
    """Return n Gaussians spread evenly in a ball of the given radius (voxels), masses 5 to 15."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(n, 3))
    direction *= rng.random((n, 1)) ** (1 / 3) * radius / np.linalg.norm(direction, axis=1, keepdims=True)
    return Phantom(direction, rng.uniform(5, 15, n), sigma)


def table_of(rotations: np.ndarray, shifts_px: np.ndarray, box: int, n_groups: int = 1) -> ParticleTable:
    """Particles without CTF, in random halves and in optics groups by turns."""
    n = len(rotations)
    return ParticleTable(
        rotations=rotations,
        shifts_a=shifts_px * PIXEL_SIZE_A,
        ctf=None,
        scale=np.ones(n),
        optics_group=np.arange(n) % n_groups,
        optics=tuple(OpticsGroup(f"group{g}", PIXEL_SIZE_A, box) for g in range(n_groups)),
        half=1 + np.random.default_rng(n).permutation(n) % 2,
        stack_of=np.zeros(n, int),
        index_in_stack=np.arange(n),
        stacks=("particles.mrcs",),
        image_sign=np.ones(n),
    )


def particles(
    density: Phantom, n: int, box: int, *, noise: float, seed: int = 0, n_groups: int = 1, max_shift_px: float = 1.5
) -> tuple[ParticleTable, np.ndarray]:
    """Table and float32 images of n views in random directions, with white noise of the given standard deviation."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(n, random_state=seed).as_matrix()
    shifts = rng.uniform(-max_shift_px, max_shift_px, (n, 2))
    images = density.images(rotations, shifts, box) + noise * rng.normal(size=(n, box, box))
    return table_of(rotations, shifts, box, n_groups), images.astype(np.float32)


def aggregate_of(table: ParticleTable, images: np.ndarray, noise: float = 1.0) -> Aggregate:
    """All particles in one aggregate, their noise said to be white with the given standard deviation."""
    box = images.shape[-1]
    accumulator = Accumulator(box, PIXEL_SIZE_A)
    inverse_noise = np.full((len(table.optics), box), 1.0 / (noise * box) ** 2)
    accumulator.add(images, table, inverse_noise, table.optics_group)
    return accumulator.finish()


def shell_correlation(map1: np.ndarray, map2: np.ndarray) -> np.ndarray:
    """FSC over shells 0 .. N//2, from full transforms."""
    n = len(map1)
    f1, f2 = np.fft.fftn(map1), np.fft.fftn(map2)
    k = np.fft.fftfreq(n, 1 / n)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell, values.ravel())[: n // 2 + 1]

    cross = total((f1 * f2.conj()).real)
    return cross / np.sqrt(total(np.abs(f1) ** 2) * total(np.abs(f2) ** 2))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of all voxels."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def shell_mean_weight(aggregate: Aggregate) -> np.ndarray:
    """Mean of W over the shells of the box, 0 .. D//2, per sample of the oversampled grid."""
    m, d = aggregate.grid_px, aggregate.box_px
    k = np.fft.fftfreq(m, 1 / m) * d / m
    kx = np.arange(m // 2 + 1) * d / m
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + kx**2)).astype(int).ravel()
    total = np.bincount(shell, aggregate.weight.ravel(), minlength=d)
    return (total / np.maximum(np.bincount(shell, minlength=d), 1))[: d // 2 + 1]
