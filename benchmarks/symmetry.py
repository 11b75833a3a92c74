"""What symmetry brings: truth-FSC of N particles under their group, beside n N particles without it.

``python benchmarks/symmetry.py 6vxx.pdb C3 5a1a.pdb D2`` places each structure so that its axes are the group's: chains
are superposed on the first one, which gives the axes where the file has them. Particles are simulated in solvent
(``gemmap.simulate``); all runs of one object see the same ones. ``--wrong`` names a group that the objects do not have.
Prints a Markdown table.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from score import mean_fsc, resolution_a, truth_fsc

import gemmap
from gemmap.geometry.symmetry import PointGroup, point_group
from gemmap.particles.stack import ArrayStack
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import Atoms, read_structure

#: Chains of fewer residues are ligands and glycans.
LEAST_RESIDUES = 100


@dataclass(frozen=True)
class Placed:
    """A structure with its axes on the group's, and how far its chains are from exact copies: degrees, Å (RMSD)."""

    atoms: Atoms
    off_deg: float
    off_a: float


def chain_traces(path: Path) -> list[dict[int, np.ndarray]]:
    """C-alpha positions by residue number of every long chain."""
    traces = []
    for chain in gemmi.read_structure(str(path))[0]:
        found = {
            r.seqid.num: np.array(a.pos.tolist()) for r in chain for a in r if a.name == "CA" and not a.is_hydrogen()
        }
        if len(found) >= LEAST_RESIDUES:
            traces.append(found)
    return traces


def superpose(moving: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation R and translation t with R moving + t = fixed (Kabsch)."""
    centres = moving.mean(0), fixed.mean(0)
    u, _, vt = np.linalg.svd((fixed - centres[1]).T @ (moving - centres[0]))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return rotation, centres[1] - rotation @ centres[0]


def angle_axis(rotation: np.ndarray) -> tuple[float, np.ndarray]:
    """Angle in degrees, and the axis."""
    values, vectors = np.linalg.eig(rotation)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))), axis / np.linalg.norm(axis)


def place(path: Path, group: PointGroup) -> Placed:
    """Turn and move a structure of one chain per rotation of a cyclic or dihedral group."""
    traces = chain_traces(path)
    if len(traces) != len(group):
        raise SystemExit(f"{path} has {len(traces)} long chains; {group.name} needs {len(group)}")
    common = sorted(set.intersection(*(set(t) for t in traces)))
    points = np.array([[t[number] for number in common] for t in traces])
    moves = [superpose(points[0], other) for other in points[1:]]
    fold = 360 / min(angle_axis(r)[0] for r in group.rotations[1:])
    by_angle = sorted((angle_axis(r) for r, _ in moves), key=lambda found: abs(found[0] - 360 / fold))
    z = by_angle[0][1]
    x = next((axis for _, axis in by_angle if abs(axis @ z) < 0.5), np.eye(3)[np.argmin(np.abs(z))])
    x = x - (x @ z) * z
    x /= np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z])
    # The point that no operation moves; along an axis that all of them share, the centre of the chains.
    middle = points.mean((0, 1))
    equations = np.concatenate([r - np.eye(3) for r, _ in moves])
    offsets = np.concatenate([middle - r @ middle - t for r, t in moves])
    centre = middle + np.linalg.lstsq(equations, offsets, rcond=1e-3)[0]
    placed = (points - centre) @ frame.T
    nearest = [min(group.rotations, key=lambda g: np.abs(frame @ r @ frame.T - g).max()) for r, _ in moves]
    off_deg = max(angle_axis(frame @ r @ frame.T @ g.T)[0] for (r, _), g in zip(moves, nearest, strict=True))
    off_a = max(
        float(np.sqrt(((placed[0] @ g.T - other) ** 2).sum(1).mean()))
        for g, other in zip(nearest, placed[1:], strict=True)
    )
    atoms = read_structure(path)
    # read_structure moves the centre of mass to the origin: find by how much.
    raw = gemmi.read_structure(str(path))
    raw.remove_alternative_conformations()
    raw.remove_hydrogens()
    raw.remove_waters()
    first = np.array(next(iter(raw[0].all())).atom.pos.tolist())
    positions = (atoms.positions_a - atoms.positions_a[0] + first - centre) @ frame.T
    return Placed(Atoms(positions, atoms.atomic_number, atoms.bfactor_a2, atoms.occupancy), off_deg, off_a)


def main() -> None:
    """Simulate, reconstruct, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="+", help="structure and group, by turns")
    parser.add_argument("--n", type=int, default=200, help="particles under the group")
    parser.add_argument("--box", type=int, default=96)
    parser.add_argument("--pixel-size", type=float, default=2.5)
    parser.add_argument("--snr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wrong", default="C4", help="a group that the objects do not have")
    parser.add_argument("--engine", default="aggregate", choices=["aggregate", "images"])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    print(
        "| object | particles | --sym | GEM | voxels | back-projection | true Å | printed Å | pass, ms per particle |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for path, name in zip(map(Path, args.pairs[::2]), args.pairs[1::2], strict=True):
        group = point_group(name)
        placed = place(path, group)
        most = args.n * len(group)
        config = SimulationConfig(
            box_px=args.box, pixel_size_a=args.pixel_size, n_particles=most, snr=args.snr, seed=args.seed
        )
        simulation = simulate(placed.atoms, config, args.threads)
        images = simulation.stack.read(np.arange(most))
        for n, sym in ((args.n, "C1"), (args.n, name), (most, "C1"), (args.n, args.wrong)):
            result = gemmap.reconstruct(
                (simulation.table.select(np.arange(n)), ArrayStack(images[:n])),
                sym=sym, engine=args.engine, threads=args.threads,
            )  # fmt: skip
            full = result.reconstruction.full
            curves = [
                truth_fsc(m, simulation.truth, simulation.mask) for m in (full.map, full.voxels, full.backprojection)
            ]
            means = " | ".join(f"{mean_fsc(curve):.3f}" for curve in curves)
            true_a, printed_a = resolution_a(curves[0], args.pixel_size), result.resolution.value_a
            rate = 1e3 / result.reconstruction.images_per_second
            print(
                f"| {path.stem} | {n:,} | {sym} | {means} | {true_a:.2f} | {printed_a:.2f} | {rate:.2f} |",
                flush=True,
            )
        print(f"Chains of {path.stem} off exact {name} copies: {placed.off_deg:.2f} degrees, {placed.off_a:.2f} Å RMSD")


if __name__ == "__main__":
    main()
