"""A stand-in for the fit that takes milliseconds: reads every image and makes smooth maps of their sums."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from gemmap.fit.aggregate import Aggregate, grid_size
from gemmap.fit.config import FitConfig
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult, Reconstruction, StepRecord
from gemmap.gaussians.model import Gaussians
from gemmap.particles.batches import read_ahead
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: Arguments of every call.
CALLS: list[tuple[ParticleTable, ImageStack, FitConfig, np.ndarray | None]] = []


#: Functions that draw the figures of a run.
FIGURES = (
    "run_folder.write_fsc_figure", "run_folder.write_slices_figure", "validation_files.write_local_figure",
    "validation_files.write_directions_figure",
)  # fmt: skip


def draw_nothing(monkeypatch: pytest.MonkeyPatch, page: bool = False) -> None:
    """Leave out figures, which take seconds, and unless asked for the page of the run."""
    for name in (*FIGURES, *(() if page else ("run_folder.write_report",))):
        monkeypatch.setattr(f"gemmap.report.{name}", lambda *_: None)


def reconstruct_quickly(
    table: ParticleTable,
    stack: ImageStack,
    config: FitConfig,
    progress: Progress,
    mask: np.ndarray | None = None,
    keeper: object = None,
) -> Reconstruction:
    CALLS.append((table, stack, config, mask))
    box, m = stack.box_px, grid_size(stack.box_px)
    sums, noise = [], np.ones(box)
    with stage(progress, "Read particles", len(table), "particles"):
        for half in (1, 2):
            total = np.zeros((box, box))
            for rows, images in read_ahead(stack, np.flatnonzero(table.half == half), 64):
                total += images.sum(axis=0)
                progress.advance(len(rows))
            sums.append(total)
            grid = np.full((m, m, m // 2 + 1), float(half), np.float32)
            progress.aggregate(f"half{half}", Aggregate(grid.astype(np.complex64), grid, box, table.pixel_size_a, 5))
    fits = {}
    for name, image in (("half1", sums[0]), ("half2", sums[1]), ("full", sums[0] + sums[1])):
        profile = np.exp(-0.5 * ((np.arange(box) - box // 2) / (box / 8)) ** 2)
        blob = profile[:, None, None] * profile[:, None] * profile
        volume = (blob * (5 + gaussian_filter(image, 1.0)) + 1e-3).astype(np.float32)
        fits[name] = FitResult(
            map=volume,
            backprojection=volume + np.float32(0.01),
            voxels=volume,
            gaussians=Gaussians(torch.zeros(3, 3), torch.ones(3, 3), torch.eye(4)[:1].repeat(3, 1), torch.ones(3)),
            steps=(StepRecord(0, 1.0, 0.1, 3),),
            stopped_because="the score no longer rises",
            seed=config.seed + 7,
            n_particles=len(table),
        )
        progress.result(name, fits[name])
    return Reconstruction(
        **fits,
        pixel_size_a=table.pixel_size_a,
        particle_diameter_a=0.7 * box * table.pixel_size_a,
        noise_spectra={"half1": noise, "half2": 2 * noise},
        seconds={"aggregate": 0.5},
        images_per_second=1234.0,
    )
