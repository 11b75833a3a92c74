"""Maps with a known truth, from atomic models: gemmi's electron scattering, nothing of the package under test."""

from dataclasses import dataclass
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import scipy.fft
from scipy import ndimage
from scipy.spatial import ConvexHull, cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

ENVELOPE_SMOOTHING_A = 1.7  # standard deviation of the Gaussian that softens the molecular envelope
FINE_VOXEL_A = 0.9  # density is sampled at least this finely before it is cropped in Fourier space
SOLVENT_CONTRAST = 0.6  # solvent level inside the envelope, as a fraction of the mean protein density there


@dataclass(frozen=True)
class Truth:
    """A model centred at index box_px // 2 of a cubic grid; ``density`` and ``envelope`` have axes (z, y, x)."""

    density: np.ndarray
    envelope: np.ndarray
    pixel_size_a: float
    diameter_a: float
    atoms: int

    def in_solvent(self) -> np.ndarray:
        """The density with the displaced solvent subtracted: flat (0) outside, lower contrast inside."""
        inside = self.envelope > 0.5
        return self.density - SOLVENT_CONTRAST * float(self.density[inside].mean()) * self.envelope


def read_model(path: Path) -> gemmi.Model:
    """First model of a PDB or mmCIF file, without waters."""
    structure = gemmi.read_structure(str(path))
    structure.remove_waters()
    structure.remove_empty_chains()
    return structure[0]


def positions_a(model: gemmi.Model) -> np.ndarray:
    """Atom positions, shape (atoms, 3), xyz in Å."""
    return np.array([cra.atom.pos.tolist() for cra in model.all()])


def transformed(model: gemmi.Model, rotation: np.ndarray, shift_a: np.ndarray) -> gemmi.Model:
    """Copy of the model with every atom at ``rotation @ position + shift_a``."""
    copy = model.clone()
    copy.transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(rotation.tolist()), gemmi.Vec3(*shift_a)))
    return copy


def centred(model: gemmi.Model) -> gemmi.Model:
    """Copy of the model with its centre of mass at 0."""
    return transformed(model, np.eye(3), -np.array(model.calculate_center_of_mass().tolist()))


def diameter_a(model: gemmi.Model) -> float:
    """Largest distance between two atoms."""
    points = positions_a(model)
    return float(pdist(points[ConvexHull(points).vertices]).max())


def packed(model: gemmi.Model, copies: int, seed: int, trials: int = 60, contact_a: float = 4.0) -> gemmi.Model:
    """Dense assembly: the model and randomly turned copies, pushed together until their atoms are ``contact_a`` apart.

    Each copy is the best of ``trials`` random orientations and directions of approach: the most compact whole wins.
    """
    rng = np.random.default_rng(seed)
    base = centred(model)
    atoms = positions_a(base)
    sparse = atoms[::3]
    placed, assembly = sparse.copy(), base.clone()
    for copy in range(1, copies):
        tree = cKDTree(placed)
        best = (np.inf, np.eye(3), np.zeros(3))
        for _ in range(trials):
            turn = Rotation.random(random_state=rng).as_matrix()
            direction = rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            points = sparse @ turn.T
            reach = 400.0
            while (
                reach > 0 and np.isinf(tree.query(points + reach * direction, distance_upper_bound=contact_a)[0]).all()
            ):
                reach -= contact_a
            moved = np.concatenate([placed, points + (reach + contact_a) * direction])
            radius = np.linalg.norm(moved - 0.5 * (moved.max(0) + moved.min(0)), axis=1).max()
            if radius < best[0]:
                best = (radius, turn, (reach + contact_a) * direction)
        _, turn, shift = best
        placed = np.concatenate([placed, sparse @ turn.T + shift])
        for chain in transformed(base, turn, shift):
            chain.name = f"{chain.name}{copy}"
            assembly.add_chain(chain)
    return assembly


def make_truth(model: gemmi.Model, box_px: int, pixel_size_a: float) -> Truth:
    """Density and molecular envelope of the model, centre of mass at voxel ``box_px // 2``.

    The density is sampled on a grid at least as fine as ``FINE_VOXEL_A`` with gemmi's recommended extra blur for that
    grid, and cropped in Fourier space to the box: nothing aliases.
    """
    factor = int(np.ceil(pixel_size_a / FINE_VOXEL_A))
    fine_px = factor * box_px
    size_a = box_px * pixel_size_a
    middle_a = np.full(3, (box_px // 2) * pixel_size_a)
    placed = transformed(centred(model), np.eye(3), middle_a)
    cell = gemmi.UnitCell(size_a, size_a, size_a, 90, 90, 90)

    calculator = gemmi.DensityCalculatorE()
    calculator.d_min = 2 * size_a / fine_px
    calculator.rate = 1.0
    calculator.set_refmac_compatible_blur(placed)
    calculator.grid.set_unit_cell(cell)
    calculator.grid.spacegroup = gemmi.SpaceGroup("P 1")
    calculator.grid.set_size(fine_px, fine_px, fine_px)
    calculator.add_model_density_to_grid(placed)
    density = _fourier_crop(np.array(calculator.grid.array).transpose(2, 1, 0), box_px)

    mask = gemmi.FloatGrid(fine_px, fine_px, fine_px)
    mask.set_unit_cell(cell)
    mask.spacegroup = gemmi.SpaceGroup("P 1")
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.VanDerWaals)
    masker.put_mask_on_float_grid(mask, placed)
    molecule = ndimage.binary_fill_holes(np.array(mask.array).transpose(2, 1, 0) < 0.5)
    soft = ndimage.gaussian_filter(molecule.astype(np.float32), ENVELOPE_SMOOTHING_A * fine_px / size_a)
    return Truth(
        density=density,
        envelope=_fourier_crop(soft, box_px),
        pixel_size_a=pixel_size_a,
        diameter_a=diameter_a(placed),
        atoms=placed.count_atom_sites(),
    )


def write_map(path: Path, data: np.ndarray, pixel_size_a: float) -> None:
    """Write a volume, or a stack when the name ends in ``.mrcs``, as float32 MRC with its voxel size."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(data, dtype=np.float32))
        if path.suffix == ".mrcs":
            mrc.set_image_stack()
        mrc.voxel_size = pixel_size_a


def read_map(path: Path) -> np.ndarray:
    """Volume or stack as float32."""
    with mrcfile.open(path, permissive=True) as mrc:
        return np.array(mrc.data, dtype=np.float32)


def read_pixel_size_a(path: Path) -> float:
    """Pixel size from the header."""
    with mrcfile.open(path, header_only=True, permissive=True) as mrc:
        return float(mrc.voxel_size.x)


def _fourier_crop(fine: np.ndarray, box_px: int) -> np.ndarray:
    """Band-limit to ``box_px`` samples per axis, keeping grey values (not the sum); even sizes only."""
    if fine.shape[0] == box_px:
        return fine.astype(np.float32)
    spectrum = scipy.fft.rfftn(fine.astype(np.float32))
    half = box_px // 2
    keep = np.r_[0:half, fine.shape[0] - half : fine.shape[0]]
    cropped = spectrum[np.ix_(keep, keep, np.arange(half + 1))]
    coarse: np.ndarray = scipy.fft.irfftn(cropped * (box_px / fine.shape[0]) ** 3, s=(box_px,) * 3)
    return coarse.astype(np.float32)
