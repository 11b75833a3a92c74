"""A map compared with a model or with another map, from files to files."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gemmap._types import Float, Volume
from gemmap.errors import FormatError, InputError
from gemmap.fit.progress import Progress, Silent, stage
from gemmap.io.folders import prepare_folder, require_free, require_not_read
from gemmap.io.map_frame import MapFrame, read_map_frame
from gemmap.io.mrc import read_map
from gemmap.io.mrc_header import read_header
from gemmap.io.opening import open_input
from gemmap.kernels import threads
from gemmap.report.comparison import COMPARISON_FILES, ComparisonReport, ModelReport, write_comparison
from gemmap.simulate.density import density_in_box, density_planes
from gemmap.simulate.model import Model, read_model
from gemmap.simulate.scattering import atom_points
from gemmap.simulate.solvent import molecule_mask
from gemmap.validate.comparison import ComparisonOptions, compare
from gemmap.validate.masks import soft_mask_from_map
from gemmap.validate.placement import find_placement, moved
from gemmap.validate.real_space import group_correlations

_MODEL_ENDINGS = (".pdb", ".ent", ".cif", ".mmcif")
_VOXEL_TOLERANCE = 1e-3
#: Part of the atoms that has to lie in the box.
_INSIDE_AT_LEAST = 0.5
#: Width of the edge of the mask around the model, Å.
MASK_EDGE_A = 8.0
#: Voxels of a residue lie within half the resolution of its atoms, but within these limits, Å.
_RESIDUE_RADIUS_A = (2.0, 5.0)


@dataclass(frozen=True)
class CompareOptions:
    """How `compare_maps` compares; every length in Å.

    Attributes
    ----------
    mask
        Mask of the map's box, 0 to 1; None to make one around the model, or from the other map.
    mask_radius_a
        Distance from an atom to which the mask around a model is 1; its edge is 8 Å wide.
    pixel_size_a
        Replaces the map's voxel size (and that of the other map).
    lowpass_a
        Resolution to which real-space correlations are computed; None for the one at FSC 0.5.
    assembly
        Biological assembly of the model's file whose copies are made; None for what the file holds.
    translate
        Move the model, or the other map, to where it fits best first; it is not turned.
    seed
        Of the random phases and of the intervals.
    """

    mask: Path | str | None = None
    mask_radius_a: float = 4.0
    pixel_size_a: float | None = None
    lowpass_a: float | None = None
    assembly: str | None = None
    translate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("mask_radius_a", "pixel_size_a", "lowpass_a"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value:g}; expected a length above 0 in Å.")


@dataclass(frozen=True, eq=False)
class _Map:
    path: Path
    volume: Volume
    pixel_size_a: float
    frame: MapFrame

    @property
    def box_px(self) -> int:
        return len(self.volume)

    @property
    def middle_a(self) -> Float[np.ndarray, " 3"]:
        """Coordinates (x, y, z) of voxel N//2."""
        return np.array(self.frame.origin_a) + self.box_px // 2 * self.pixel_size_a

    @property
    def extent_text(self) -> str:
        low = self.frame.origin_a
        high = [v + (self.box_px - 1) * self.pixel_size_a for v in low]
        return _range_text(np.array([low, high]))


def compare_maps(
    map_path: Path | str,
    other: Path | str,
    output: Path | str | None = None,
    *,
    options: CompareOptions | None = None,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ComparisonReport:
    """Compare a map with an atomic model, or with another map on the same grid.

    Parameters
    ----------
    map_path
        Map (MRC).
    other
        Model (PDB or mmCIF, also gzipped) in the map's coordinates, or a map of the same box and voxel size.
    output
        Folder for curves, maps and tables, made here; None to write nothing.
    options
        How.
    n_threads
        None for all cores.
    overwrite
        Replace the comparison in an existing folder; other files stay.
    progress
        Told what happens.

    Raises
    ------
    InputError, FormatError, OutputError
        One sentence that says what was got, what was expected and what to do.
    """
    options = CompareOptions() if options is None else options
    first, second = Path(map_path), Path(other)
    folder = None if output is None else Path(output)
    if folder is not None:
        require_free(folder, overwrite)
        inputs = [first, second, *([] if options.mask is None else [Path(options.mask)])]
        require_not_read(folder, COMPARISON_FILES, inputs)
    if _is_model(first):
        raise InputError(f"{first} is a model; expected a map first and the model second: swap the two.")
    given = _read(first, options.pixel_size_a)
    workers = threads.configure(n_threads)
    shown = Silent() if progress is None else progress
    if _is_model(second):
        report = _with_model(given, second, options, workers, shown)
    else:
        report = _with_map(given, second, options, workers)
    if folder is not None:
        prepare_folder(folder, COMPARISON_FILES)
        write_comparison(folder, report)
    return report


def _is_model(path: Path) -> bool:
    """Whether a file is to be read as a structure: by its name, and if that says nothing by what is in it."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(_MODEL_ENDINGS):
        return True
    if name.endswith((".mrc", ".map", ".ccp4")):
        return False
    with open_input(path):  # a missing file is missing, not of the wrong kind
        pass
    try:
        read_header(path)
    except FormatError:
        raise FormatError(
            f"{path} is neither a map (MRC) nor named as a model (.pdb, .ent, .cif, .mmcif, also .gz): check or rename "
            "it."
        ) from None
    return False


def _read(path: Path, override_a: float | None) -> _Map:
    if path.name.lower().endswith(".gz"):
        raise InputError(f"{path} is compressed; maps are read uncompressed: unpack it (gunzip).")
    volume, size_a = read_map(path)
    size_a = size_a if override_a is None else override_a
    if not size_a > 0:
        raise InputError(f"{path} does not say its voxel size; give it with --pixel-size.")
    return _Map(path, volume, size_a, read_map_frame(path, size_a))


def _given_mask(options: CompareOptions, of: _Map) -> Volume | None:
    if options.mask is None:
        return None
    mask, size_a = read_map(Path(options.mask))
    if len(mask) != of.box_px or (size_a > 0 and _differ(size_a, of.pixel_size_a) and options.pixel_size_a is None):
        raise InputError(
            f"The mask {options.mask} has {len(mask)} px of {size_a:g} Å and the map {of.box_px} px of "
            f"{of.pixel_size_a:g} Å; expected the same grid: make the mask from this map."
        )
    return mask


def _differ(size1_a: float, size2_a: float) -> bool:
    return abs(size1_a - size2_a) > _VOXEL_TOLERANCE * max(size1_a, size2_a)


def _with_map(given: _Map, path: Path, options: CompareOptions, workers: int) -> ComparisonReport:
    if options.assembly is not None:
        raise InputError(f"--assembly is for models, and {path} is a map: leave it out.")
    other = _read(path, options.pixel_size_a)
    if other.box_px != given.box_px or _differ(other.pixel_size_a, given.pixel_size_a):
        raise InputError(
            f"{given.path} has {given.box_px} px of {given.pixel_size_a:g} Å and {path} {other.box_px} px of "
            f"{other.pixel_size_a:g} Å; expected one grid: bring one to the voxels and box of the other first (such as "
            "relion_image_handler --rescale_angpix and --new_box), or give --pixel-size if only a header is wrong."
        )
    reference, shift = other.volume, (0.0, 0.0, 0.0)
    if options.translate:
        shift = find_placement(given.volume, reference, given.pixel_size_a, workers).moved.shift_px
        reference = moved(reference, shift, workers)
    mask, name = _given_mask(options, given), "mask given"
    if mask is None:
        mask, name = soft_mask_from_map(reference, given.pixel_size_a, workers=workers), f"mask made from {path.name}"
    compared = compare(
        given.volume,
        reference,
        mask,
        given.pixel_size_a,
        name,
        ComparisonOptions("map-map FSC", path.name, False, options.lowpass_a, options.seed),
        workers,
    )
    notes = []
    if not np.allclose(given.frame.origin_a, other.frame.origin_a, atol=0.1 * given.pixel_size_a):
        notes.append(
            f"The headers place the first voxels at {_point_text(given.frame.origin_a)} and "
            f"{_point_text(other.frame.origin_a)} Å; the maps were compared voxel by voxel."
        )
    if np.array_equal(given.volume, other.volume):
        notes.append("The two maps are identical.")
    compared = replace(compared, warnings=(*notes, *compared.warnings))
    return ComparisonReport(given.path, path, compared, given.frame, _to_a(shift, given), reference, None)


def _with_model(given: _Map, path: Path, options: CompareOptions, workers: int, progress: Progress) -> ComparisonReport:
    model = read_model(path, options.assembly)
    start = model.centre_a
    if options.translate:
        model = _translated(model, given, workers, progress)
    shift = model.centre_a - start
    model, warnings = _inside(model, given, path)
    density = _density(model, given, workers, progress)
    mask, name = _given_mask(options, given), "mask given"
    if mask is None:
        atoms = model.moved(-given.middle_a).atoms
        mask = molecule_mask(atoms, given.box_px, given.pixel_size_a, options.mask_radius_a, MASK_EDGE_A)
        name = "mask around the model"
    compared = compare(
        given.volume,
        density,
        mask,
        given.pixel_size_a,
        name,
        ComparisonOptions("map-model FSC", "the model", True, options.lowpass_a, options.seed),
        workers,
    )
    compared = replace(compared, warnings=(*warnings, *compared.warnings))
    radius_a = float(np.clip(0.5 * (compared.lowpass_a or 0.0), *_RESIDUE_RADIUS_A))
    positions_px = (model.atoms.positions_a - np.array(given.frame.origin_a)) / given.pixel_size_a
    with stage(progress, "Residues", len(model.residues), "residues"):
        by_residue = group_correlations(
            *compared.filtered,
            positions_px,
            model.residue_of,
            len(model.residues),
            radius_a / given.pixel_size_a,
            progress.advance,
        )
    chains = list(dict.fromkeys(residue.chain for residue in model.residues))
    chain_of = np.array([chains.index(residue.chain) for residue in model.residues])[model.residue_of]
    by_chain = group_correlations(
        *compared.filtered, positions_px, chain_of, len(chains), radius_a / given.pixel_size_a
    )
    details = ModelReport(model, by_residue, dict(zip(chains, by_chain.tolist(), strict=True)), radius_a)
    moved_by = (float(shift[0]), float(shift[1]), float(shift[2]))
    return ComparisonReport(given.path, path, compared, given.frame, moved_by, density, details)


def _translated(model: Model, given: _Map, workers: int, progress: Progress) -> Model:
    """The model where it fits best; one that is not in the box starts in the middle of it."""
    if _inside_fraction(model, given) < 1.0:
        model = model.moved(given.middle_a - model.centre_a)
    if _inside_fraction(model, given) < 1.0:
        raise InputError(
            f"The model is larger than the map's box ({given.box_px * given.pixel_size_a:.0f} Å) and cannot be moved "
            "into it: give the part of the model that the map shows."
        )
    density = _density(model, given, workers, progress)
    fit = find_placement(given.volume, density, given.pixel_size_a, workers).moved
    return model.moved(np.array(_to_a(fit.shift_px, given)))


def _density(model: Model, given: _Map, workers: int, progress: Progress) -> Volume:
    points = atom_points(model.moved(-given.middle_a).atoms, given.pixel_size_a)
    n_planes = density_planes(points, given.box_px, given.pixel_size_a)
    with stage(progress, "Density of the model", n_planes, "planes"):
        return density_in_box(points, given.box_px, given.pixel_size_a, workers, lambda: progress.advance(1))


def _inside_mask(model: Model, given: _Map) -> np.ndarray:
    index = (model.atoms.positions_a - np.array(given.frame.origin_a)) / given.pixel_size_a
    return np.asarray(((index >= -0.5) & (index <= given.box_px - 0.5)).all(axis=1))


def _inside_fraction(model: Model, given: _Map) -> float:
    return float(_inside_mask(model, given).mean())


def _inside(model: Model, given: _Map, path: Path) -> tuple[Model, list[str]]:
    inside = _inside_mask(model, given)
    if inside.all():
        return model, []
    at = np.stack([model.atoms.positions_a.min(axis=0), model.atoms.positions_a.max(axis=0)])
    n_outside = int((~inside).sum())
    where = f"the model lies at {_range_text(at)} Å and the map at {given.extent_text} Å ({given.frame.source})"
    if inside.mean() < _INSIDE_AT_LEAST:
        raise InputError(
            f"{n_outside:,} of {len(inside):,} atoms of {path} lie outside the map: {where}; expected a model in the "
            "map's coordinates: move it there, correct the header's origin, or give --translate."
        )
    warning = f"{n_outside:,} of {len(inside):,} atoms lie outside the map and are left out: {where}."
    return model.select(inside, f"{n_outside:,} atoms outside the map left out"), [warning]


def _to_a(shift_px: tuple[float, float, float], given: _Map) -> tuple[float, float, float]:
    x, y, z = (v * given.pixel_size_a for v in shift_px)
    return x, y, z


def _point_text(point_a: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{v:.1f}" for v in point_a) + ")"


def _range_text(ends_a: Float[np.ndarray, "2 3"]) -> str:
    return ", ".join(f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in zip("xyz", *ends_a, strict=True))
