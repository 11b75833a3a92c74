r"""What surrounds the molecule: displaced solvent, a detergent belt, and the soft mask.

Both surroundings are smooth, so they are written as equal Gaussians on a coarse lattice. They then project in closed
form like atoms do, and the images and the truth volume hold the same object. With a standard deviation of 0.8 spacings
the sum of equal Gaussians is flat to 2 exp(-2 pi^2 0.8^2) = 7e-6.
"""

import math

import numpy as np
import scipy.ndimage

from gemmap._types import Bool, Float, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import centre
from gemmap.simulate.scattering import GaussianPoints, scattering_coefficients
from gemmap.simulate.structure import Atoms

#: Radius of the water probe that rolls over the molecule, Å.
PROBE_A = 1.4
#: Spacing of the fine lattice on which the molecule's surface is found, and of the Gaussians, Å.
_FINE_A, _SPACING_A = 1.0, 3.0
#: Standard deviation of the Gaussians, Å: the softness of every surface here.
SIGMA_A = 0.8 * _SPACING_A
#: Half the height of the detergent belt along its axis and its largest thickness beyond the molecule, Å.
BELT_HALF_HEIGHT_A, BELT_THICKNESS_A = 18.0, 20.0


def surroundings(
    atoms: Atoms, solvent_contrast: float, micelle_contrast: float, blur_a2: float = 0.0
) -> GaussianPoints | None:
    """Displaced solvent and detergent belt of a molecule, or None where both contrasts are 0.

    Parameters
    ----------
    atoms
        The molecule.
    solvent_contrast
        Mean density of the solvent over that of the molecule. The solvent-excluded volume (probe of 1.4 Å, surface
        softened by 2.4 Å) times this density is subtracted: 0 leaves the molecule in vacuum, 1 makes it invisible at
        low resolution. Proteins in vitreous ice have about 0.6.
    micelle_contrast
        Density of the belt above the solvent's, over the molecule's mean density. The belt surrounds the middle of the
        molecule, 36 Å high along its longest principal axis and at most 20 Å thick, its outer face an ellipse.
    blur_a2
        B-factor added, as to the atoms.
    """
    if solvent_contrast == 0.0 and micelle_contrast == 0.0:
        return None
    corner_a, accessible = _accessible(atoms)
    excluded = scipy.ndimage.binary_erosion(accessible, _probe())
    envelope = _coarse(excluded)
    lattice_a = _lattice(corner_a, envelope.shape)
    amplitude, _ = scattering_coefficients(atoms)
    # Mean density times the volume of one Gaussian: the molecule's mass shared out over its envelope.
    unit = float(atoms.occupancy @ amplitude.sum(axis=1)) / envelope.sum()
    weights = -solvent_contrast * envelope
    if micelle_contrast != 0.0:
        weights = weights + micelle_contrast * _belt(atoms, lattice_a) * (1.0 - _coarse(accessible))
    used = weights != 0.0
    return GaussianPoints(
        lattice_a[used],
        unit * weights[used][:, None],
        np.ones((1, 1)),
        np.full((1, 1), 8.0 * np.pi**2 * SIGMA_A**2 + blur_a2),
    )


def molecule_mask(atoms: Atoms, box_px: int, pixel_size_a: float, extend_a: float = 4.0, soft_a: float = 8.0) -> Volume:
    """Soft mask around the atoms, axes (z, y, x), float32: 1 within ``extend_a`` of an atom, 0 beyond ``soft_a`` more.

    The edge is a raised cosine of the distance to the nearest voxel that holds an atom.
    """
    index = np.rint(atoms.positions_a[:, ::-1] / pixel_size_a).astype(np.int64) + centre(box_px)
    empty = np.ones((box_px,) * 3, np.bool_)
    inside = ((index >= 0) & (index < box_px)).all(axis=1)
    empty[tuple(index[inside].T)] = False
    mask = np.zeros((box_px,) * 3, np.float32)
    if not inside.any():
        return mask
    margin = math.ceil((extend_a + soft_a) / pixel_size_a) + 1
    low, high = index[inside].min(axis=0), index[inside].max(axis=0)
    # Distances only where they matter: those of a whole large box take minutes.
    near = tuple(slice(max(0, a - margin), b + margin + 1) for a, b in zip(low, high, strict=True))
    distance_a = scipy.ndimage.distance_transform_edt(empty[near], sampling=pixel_size_a)
    edge = np.clip((distance_a - extend_a) / soft_a, 0.0, 1.0)
    mask[near] = 0.5 + 0.5 * np.cos(np.pi * edge)
    return mask


def _accessible(atoms: Atoms) -> tuple[Float[np.ndarray, " 3"], Bool[np.ndarray, "x y z"]]:
    """Voxels of the fine lattice that a probe's centre cannot reach, and the position of the first voxel."""
    import gemmi

    elements, which = np.unique(atoms.atomic_number, return_inverse=True)
    radius_a = np.array([gemmi.Element(int(z)).vdw_r for z in elements])[which] + PROBE_A
    # An atom lies at most half a spacing from its nearest voxel along every axis.
    reach = int(radius_a.max() / _FINE_A + 0.5)
    # Room for the belt, and a whole number of coarse cells.
    margin_a = BELT_THICKNESS_A + 2.0 * _SPACING_A
    corner_a = atoms.positions_a.min(axis=0) - margin_a
    cells = np.ceil((atoms.positions_a.max(axis=0) + margin_a - corner_a) / _SPACING_A).astype(np.int64)
    step = round(_SPACING_A / _FINE_A)
    grid = np.zeros(tuple(cells * step), np.bool_)
    nearest = np.rint((atoms.positions_a - corner_a) / _FINE_A).astype(np.int64)
    rest_a = atoms.positions_a - corner_a - nearest * _FINE_A
    for offset in np.ndindex((2 * reach + 1,) * 3):
        move = np.array(offset) - reach
        near = ((move * _FINE_A - rest_a) ** 2).sum(axis=1) <= radius_a**2
        grid[tuple((nearest[near] + move).T)] = True
    return corner_a, grid


def _probe() -> Bool[np.ndarray, "x y z"]:
    """Ball of the probe's radius and half a voxel: surfaces lie halfway between an inner and an outer voxel."""
    reach_a = PROBE_A + 0.5 * _FINE_A
    offset_a = np.arange(-int(reach_a / _FINE_A), int(reach_a / _FINE_A) + 1) * _FINE_A
    x, y, z = np.meshgrid(offset_a, offset_a, offset_a, indexing="ij")
    return np.asarray(x**2 + y**2 + z**2 <= reach_a**2)


def _coarse(fine: Bool[np.ndarray, "x y z"]) -> Float[np.ndarray, "u v w"]:
    """Part of every coarse cell that is filled."""
    step = round(_SPACING_A / _FINE_A)
    u, v, w = (n // step for n in fine.shape)
    return np.asarray(fine.reshape(u, step, v, step, w, step).mean(axis=(1, 3, 5)))


def _lattice(corner_a: Float[np.ndarray, " 3"], cells: tuple[int, ...]) -> Float[np.ndarray, "u v w 3"]:
    """Centres of the coarse cells, xyz in Å."""
    first_a = corner_a + 0.5 * (_SPACING_A - _FINE_A)
    return np.stack(
        np.meshgrid(*(f + _SPACING_A * np.arange(n) for f, n in zip(first_a, cells, strict=True)), indexing="ij"), -1
    )


def _belt(atoms: Atoms, lattice_a: Float[np.ndarray, "u v w 3"]) -> Float[np.ndarray, "u v w"]:
    """1 inside the outer face of the belt, molecule not yet cut out.

    Raises
    ------
    InputError
        If the molecule has no atoms around its middle for the belt to hold on to.
    """
    _, axes = np.linalg.eigh(atoms.positions_a.T @ atoms.positions_a)
    axis = axes[:, -1]
    along = atoms.positions_a @ axis
    middle = np.abs(along) < BELT_HALF_HEIGHT_A
    if not middle.any():
        raise InputError(
            f"No atom lies within {BELT_HALF_HEIGHT_A:g} Å of the molecule's middle, where the detergent belt would "
            "be: set the micelle contrast to 0."
        )
    radial = np.sqrt(np.maximum(0.0, (atoms.positions_a**2).sum(axis=1) - along**2))
    inner_a = float(np.quantile(radial[middle], 0.95))
    height = lattice_a @ axis
    distance_a = np.sqrt(np.maximum(0.0, (lattice_a**2).sum(axis=-1) - height**2))
    face_a = inner_a + BELT_THICKNESS_A * np.sqrt(np.maximum(0.0, 1.0 - (height / BELT_HALF_HEIGHT_A) ** 2))
    return np.asarray((np.abs(height) < BELT_HALF_HEIGHT_A) & (distance_a < face_a), np.float64)
