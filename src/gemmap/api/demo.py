"""The demonstration: simulate particles, reconstruct them, and compare what is claimed with the truth."""

import sys
from dataclasses import dataclass
from pathlib import Path

from gemmap._types import Curve
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import plan_reconstruction
from gemmap.api.result import ReconstructionResult
from gemmap.api.run import run_plan, summarise
from gemmap.api.simulation import write_simulation
from gemmap.fit.progress import Progress
from gemmap.io.atomic import atomic_path
from gemmap.io.folders import prepare_folder, require_free
from gemmap.kernels import threads
from gemmap.report.demo_report import TruthComparison, demo_report
from gemmap.report.figures import FscCurve, write_fsc_figure, write_slices_figure
from gemmap.report.summary import summary_lines
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.particles import Simulation, simulate
from gemmap.simulate.structure import embedded_structure
from gemmap.validate.fsc import fsc
from gemmap.validate.resolution import TRUTH_THRESHOLD, Resolution, resolution_at

_FILES = ("report.md", "fsc.png", "slices.png")


@dataclass(frozen=True, eq=False)
class DemoResult:
    """A reconstruction whose truth is known."""

    simulation: Simulation
    result: ReconstructionResult
    comparison: TruthComparison


def demo_config(n_particles: int, seed: int) -> SimulationConfig:
    """Return what the demonstration simulates: the spike trimer in solvent, 96 px of 2.5 Å, SNR 0.005."""
    return SimulationConfig(box_px=96, pixel_size_a=2.5, n_particles=n_particles, snr=0.005, seed=seed)


def run_demo(
    folder: Path, config: SimulationConfig, n_threads: int | None, overwrite: bool, progress: Progress
) -> DemoResult:
    """Simulate into ``folder/particles``, reconstruct into ``folder/run`` and write ``folder/report.md`` with figures.

    Parameters
    ----------
    folder
        Made here.
    config
        What to simulate, of the embedded structure.
    n_threads
        None for all cores.
    overwrite
        Replace an earlier demonstration.
    progress
        Told what happens.

    Raises
    ------
    OutputError
        If the folder exists, or a file cannot be written.
    """
    require_free(folder, overwrite)
    simulation = simulate(embedded_structure(), config, threads.configure(n_threads))
    prepare_folder(folder, _FILES)
    particles = folder / "particles"
    write_simulation(particles, simulation, source="PDB 6VXX, embedded", overwrite=True, progress=progress)
    options = ReconstructionOptions(particles / "particles.star", seed=config.seed, threads=n_threads)
    plan = plan_reconstruction(options)
    for line in plan.lines():
        progress.note(line)
    result = run_plan(plan, folder / "run", progress, ["gemmap", *sys.argv[1:]])
    comparison = _compare(simulation, result)
    _write_figures(folder, simulation, result, comparison)
    with atomic_path(folder / "report.md") as temporary:
        summary = summary_lines(summarise(result))
        temporary.write_text(demo_report(config, comparison, summary), encoding="utf-8")
    return DemoResult(simulation, result, comparison)


def _compare(simulation: Simulation, result: ReconstructionResult) -> TruthComparison:
    maps = {"map": result.map, "backprojection": result.backprojection}
    masks = {"truth": simulation.mask, "run": result.mask, "none": None}
    curves = {
        name: {mask: fsc(volume, simulation.truth, of) for mask, of in masks.items()} for name, volume in maps.items()
    }
    in_truth = {name: by_mask["truth"] for name, by_mask in curves.items()}
    return TruthComparison(
        claimed=result.resolution,
        resolutions={name: _truth_resolution(curve, result) for name, curve in in_truth.items()},
        curves=in_truth,
        means={
            name: {mask: float(curve[1:].mean()) for mask, curve in by_mask.items()} for name, by_mask in curves.items()
        },
    )


def _truth_resolution(curve: Curve, result: ReconstructionResult) -> Resolution:
    box_px = len(result.map)
    return resolution_at(curve, TRUTH_THRESHOLD, box_px, result.pixel_size_a, "truth-FSC", "mask of the truth")


def _write_figures(
    folder: Path, simulation: Simulation, result: ReconstructionResult, comparison: TruthComparison
) -> None:
    estimated = result.curves
    curves = [
        FscCurve("final map, cross-FSC (estimate)", estimated["cross_fsc_map"]),
        FscCurve("final map with the truth", comparison.curves["map"]),
        FscCurve("back-projection with the truth", comparison.curves["backprojection"]),
        FscCurve("half-maps, soft mask (corrected)", estimated["half_maps_corrected"], dashed=True),
    ]
    write_fsc_figure(folder / "fsc.png", curves, len(result.map), result.pixel_size_a, result.resolution)
    write_slices_figure(
        folder / "slices.png",
        {"truth": simulation.truth, "final map": result.map, "back-projection": result.backprojection},
        result.pixel_size_a,
        simulation.particle_diameter_a,
    )
