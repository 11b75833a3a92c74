"""Gaussians for other programs: pseudo-atoms, splat viewers, ChimeraX and numpy.

Viewers place voxel 0 of a map at 0 Å (or at its header's origin), so positions are moved by N//2 voxels: what is
written lies on the map. Gaussians of negative mass (displaced solvent) are left out where a format cannot hold them.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from gemmap._types import Float
from gemmap.errors import InputError
from gemmap.gaussians.covariance import covariances
from gemmap.gaussians.model import Gaussians
from gemmap.io.atomic import atomic_path
from gemmap.io.gaussians import StoredGaussians

#: Spherical harmonic of degree 0, by which splat files hold colours: rgb = 0.5 + C0 * f_dc.
_C0 = 0.28209479177387814
#: Atoms of one chain; mmCIF has no limit, but programs that number residues with four digits do.
_PER_CHAIN = 9999
#: Peaks of splats whose density is this part of the largest are drawn half transparent.
_HALF_OPAQUE = 0.25
#: A pseudo-atom's occupancy is its share of the largest mass; below this it would be written as 0.
_LEAST_OCCUPANCY = 1e-3


def positions_a(stored: StoredGaussians) -> Float[np.ndarray, "n 3"]:
    """Centres in Å from the first voxel of the map, (x, y, z), where viewers put them."""
    shift = (stored.box_px // 2) * stored.pixel_size_a
    return np.asarray(stored.gaussians.centres_a.double().numpy() + shift)


def write_mmcif(path: Path, stored: StoredGaussians) -> int:
    """Write pseudo-atoms with anisotropic displacements; return how many.

    A Gaussian of covariance S is an atom with U = S (Å^2) and B = 8 pi^2 trace(U) / 3. Occupancies are shares of the
    largest mass. Programs compute from it, within a common factor, the density of the Gaussians.
    """
    import gemmi

    positive = _positive(stored.gaussians)
    kept = StoredGaussians(positive, stored.box_px, stored.pixel_size_a, stored.symmetry)
    u = covariances(positive.scales_a.double(), positive.quaternions.double()).numpy()
    occupancy = (positive.masses.double() / positive.masses.max()).numpy()
    structure = gemmi.Structure()
    structure.name = "gaussians"
    model = gemmi.Model(1)
    chain = gemmi.Chain("A")
    for i, (position, s, share) in enumerate(zip(positions_a(kept), u, occupancy, strict=True)):
        if i and i % _PER_CHAIN == 0:
            model.add_chain(chain)
            chain = gemmi.Chain(_chain_name(i // _PER_CHAIN))
        residue = gemmi.Residue()
        residue.name, residue.seqid, residue.het_flag = "DUM", gemmi.SeqId(i % _PER_CHAIN + 1, " "), "H"
        atom = gemmi.Atom()
        atom.name, atom.element = "C", gemmi.Element("C")
        atom.pos = gemmi.Position(*position)
        atom.occ = max(float(share), _LEAST_OCCUPANCY)
        atom.b_iso = 8.0 * math.pi**2 * float(np.trace(s)) / 3.0
        atom.aniso = gemmi.SMat33f(s[0, 0], s[1, 1], s[2, 2], s[0, 1], s[0, 2], s[1, 2])
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    with atomic_path(path) as temporary:
        structure.make_mmcif_document().write_file(str(temporary))
    return len(positive)


def write_ply(path: Path, stored: StoredGaussians) -> int:
    """Write splats as viewers of 3-D Gaussian splatting read them (binary PLY); return how many.

    Positions in Å, logarithms of the scales, quaternions wxyz, one grey for all, and the opacity as a logit: a Gaussian
    whose peak is a quarter of the largest is half transparent. Splat viewers blend surfaces; they do not integrate
    density.
    """
    positive = _positive(stored.gaussians)
    kept = StoredGaussians(positive, stored.box_px, stored.pixel_size_a, stored.symmetry)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    names += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]
    table = np.zeros(len(positive), [(name, "<f4") for name in names])
    for axis, name in enumerate("xyz"):
        table[name] = positions_a(kept)[:, axis]
    peak = (positive.masses / positive.scales_a.prod(dim=1)).double().numpy()
    relative = peak / peak.max()
    # 1 - 2^(-relative / quarter): one half at a quarter of the largest peak.
    opacity = np.clip(1.0 - np.exp2(-relative / _HALF_OPAQUE), 1e-4, 1.0 - 1e-4)
    table["opacity"] = np.log(opacity / (1.0 - opacity))
    for i in range(3):
        table[f"f_dc_{i}"] = (0.7 - 0.5) / _C0
        table[f"scale_{i}"] = positive.scales_a[:, i].log()
    for i in range(4):
        table[f"rot_{i}"] = positive.quaternions[:, i]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        handle.write("\n".join(header).encode("ascii"))
        handle.write(table.tobytes())
    return len(table)


def write_bild(path: Path, stored: StoredGaussians) -> int:
    """Write spheres of equal volume for ChimeraX, which has no ellipsoids in this format; return how many.

    Radii are the geometric means of the standard deviations; positive masses are grey-blue, negative ones orange.
    """
    g = stored.gaussians
    radii = g.scales_a.double().log().mean(dim=1).exp().numpy()
    lines = [f".comment {len(g)} Gaussians; radius: geometric mean of the standard deviations, in Å"]
    for colour, chosen in (("0.34 0.55 0.75", g.masses > 0), ("0.90 0.55 0.20", g.masses < 0)):
        rows = np.flatnonzero(chosen.numpy())
        if len(rows):
            lines.append(f".color {colour}")
            centres = positions_a(stored)[rows]
            lines += [
                f".sphere {x:.3f} {y:.3f} {z:.3f} {r:.3f}" for (x, y, z), r in zip(centres, radii[rows], strict=True)
            ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="ascii", errors="replace")
    return len(g)


def write_npz(path: Path, stored: StoredGaussians) -> int:
    """Write the tensors as they are in the safetensors file, with box and pixel size, for numpy; return how many."""
    g = stored.gaussians
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(
            handle,
            centres_a=g.centres_a.numpy(),
            scales_a=g.scales_a.numpy(),
            quaternions=g.quaternions.numpy(),
            masses=g.masses.numpy(),
            box_px=np.int64(stored.box_px),
            pixel_size_a=np.float64(stored.pixel_size_a),
        )
    return len(g)


#: Writers by the suffix of their files.
WRITERS: Mapping[str, Callable[[Path, StoredGaussians], int]] = {
    "cif": write_mmcif,
    "ply": write_ply,
    "bild": write_bild,
    "npz": write_npz,
}


def _positive(gaussians: Gaussians) -> Gaussians:
    chosen = gaussians.select(torch.nonzero(gaussians.masses > 0)[:, 0])
    if not len(chosen):
        raise InputError("None of the Gaussians has a positive mass; expected some: there is nothing to write.")
    return chosen


def _chain_name(number: int) -> str:
    """A, B, .., Z, AA, AB, .. for 0, 1, .."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
