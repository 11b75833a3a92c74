"""What preferred orientations do to the figures that are meant to show them.

``python benchmarks/orientation.py`` simulates the spike trimer that comes with the package with views gathered about z
(Fisher's distribution, of increasing concentration), reconstructs each set whole, and prints a Markdown table: sampling
compensation factors from the poses, cFAR and sphericity from the half-maps of the fit and of the back-projection, and
the resolution against the truth (FSC 0.5) in the best and in the worst cone, and along the axis of the views.
"""

import argparse
from dataclasses import dataclass

import numpy as np

import gemmap
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import simulate
from gemmap.simulate.structure import embedded_structure
from gemmap.validate.anisotropy import DirectionalFsc, directional_fsc
from gemmap.validate.fsc3d import fsc_3d
from gemmap.validate.sampling import fourier_sampling

#: Fisher's concentrations; 0 is uniform.
CONCENTRATIONS = (0.0, 1.0, 3.0, 6.0, 12.0, 25.0)
HEAD = (
    "concentration", "views within 30° of ±z", "SCF", "SCF*", "empty", "cFAR fit", "cFAR back-projection",
    "sphericity fit", "3DFSC fit", "truth best, Å", "truth worst, Å", "truth on z, Å", "stated, Å",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Figures of one set."""

    concentration: float
    near_axis: float
    scf: float
    scf_star: float
    unsampled: float
    cfar: float
    cfar_backprojection: float
    sphericity: float
    sphericity_3dfsc: float
    best_a: float
    worst_a: float
    on_axis_a: float
    stated_a: float


def measure(concentration: float, n_particles: int, box_px: int, snr: float, seed: int) -> Row:
    """Simulate, reconstruct and judge one set."""
    preferred = concentration > 0
    config = SimulationConfig(
        box_px=box_px,
        pixel_size_a=256.0 / box_px,
        n_particles=n_particles,
        snr=snr,
        orientation="preferred" if preferred else "uniform",
        preferred_concentration=concentration if preferred else None,
        seed=seed,
    )
    simulation = simulate(embedded_structure(), config, workers=1)
    rotations = simulation.table.rotations
    sampling = fourier_sampling(rotations)
    result = gemmap.reconstruct((simulation.table, simulation.stack), threads=1)
    fits = directional_fsc(*result.half_maps, config.pixel_size_a, result.mask)
    reconstruction = result.reconstruction
    baselines = reconstruction.half1.backprojection, reconstruction.half2.backprojection
    linear = directional_fsc(*baselines, config.pixel_size_a, result.mask)
    true = directional_fsc(result.map, simulation.truth, config.pixel_size_a, simulation.mask, threshold=0.5)
    return Row(
        concentration=concentration,
        near_axis=float((np.abs(rotations[:, 2, 2]) > np.cos(np.radians(30.0))).mean()),
        scf=sampling.scf or 0.0,
        scf_star=sampling.scf_star or 0.0,
        unsampled=sampling.unsampled,
        cfar=fits.cfar,
        cfar_backprojection=linear.cfar,
        sphericity=fits.sphericity,
        sphericity_3dfsc=fsc_3d(*result.half_maps, config.pixel_size_a, result.mask).sphericity,
        best_a=float(true.resolutions_a.min()),
        worst_a=float(true.resolutions_a.max()),
        on_axis_a=on_axis_a(true),
        stated_a=result.resolution.value_a,
    )


def on_axis_a(found: DirectionalFsc) -> float:
    """Resolution in the cone nearest to z."""
    return float(found.resolutions_a[np.argmax(np.abs(found.axes[:, 2]))])


def line(row: Row) -> str:
    shares = f"{row.near_axis:.0%}", f"{row.scf:.2f}", f"{row.scf_star:.2f}", f"{row.unsampled:.1%}"
    figures = (row.cfar, row.cfar_backprojection, row.sphericity, row.sphericity_3dfsc)
    lengths = (row.best_a, row.worst_a, row.on_axis_a, row.stated_a)
    cells = (
        f"{row.concentration:g}" if row.concentration else "uniform",
        *shares,
        *(f"{figure:.2f}" for figure in figures),
        *(f"{length:.1f}" for length in lengths),
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concentrations", type=float, nargs="+", default=CONCENTRATIONS)
    args = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD))
    for concentration in args.concentrations:
        print(line(measure(concentration, args.particles, args.box, args.snr, args.seed)), flush=True)


if __name__ == "__main__":
    main()
