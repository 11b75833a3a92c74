"""One fit: an aggregate in, maps and Gaussians out. It sees no particles but those of the aggregate."""

import torch
from torch import Tensor

from gemmap._types import Curve, Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import back_projection
from gemmap.fit.choice import Settings
from gemmap.fit.config import FitConfig
from gemmap.fit.copies import Copies
from gemmap.fit.descent import fit_to_aggregate, fit_to_images
from gemmap.fit.image_batches import Particles
from gemmap.fit.init import VoxelStart
from gemmap.fit.keeper import RunState
from gemmap.fit.moments import Moment
from gemmap.fit.normal import NormalEquations
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult
from gemmap.fit.region import Region, to_box
from gemmap.fit.residual import add_residual
from gemmap.fit.trials import mass_price
from gemmap.fit.voxels import blur, fit_voxels


def fit(
    aggregate: Aggregate,
    particles: Particles | None,
    settings: Settings,
    error: Curve,
    region: Region,
    config: FitConfig,
    count: int,
    seed: int,
    progress: Progress,
    run: RunState,
    stage_name: str,
) -> tuple[FitResult, Volume]:
    """Fit all particles of ``aggregate`` as trials chose; return the result and the map of the Gaussians alone.

    ``particles`` are the same ones, for the engine that goes back to the images (None for the other), and ``run`` keeps
    how far that is, under the name of the stage.
    ``error`` is the variance of what the Gaussians cannot represent (:func:`gemmap.fit.residual.error_variance`).
    """
    device = torch.device(config.device)
    box = aggregate.box_px
    equations = NormalEquations.build(aggregate, region.size, device)
    blob_px, grid = settings.voxels.blob_px, equations.grid
    with stage(progress, "voxels", settings.voxels.iterations, "iterations"):

        def watch(iteration: int, u: Tensor) -> None:
            progress.advance(1)
            progress.moment(Moment(stage_name, "voxels", iteration, lambda: blur(u, blob_px, grid)))

        u = fit_voxels(equations, region.on(device), settings.voxels, watch)
    price, copies = mass_price(equations, settings.voxels), Copies.of(config.group, device)
    start = VoxelStart(u, settings.voxels.blob_px, price, count, seed, copies)
    if config.schedule is None:
        fitted = fit_to_aggregate(
            equations, start, settings.steps, config.max_steps, config.shape, progress, stage_name
        )
    else:
        assert particles is not None, "the images engine needs images"
        window = region.on(device)
        fitted = fit_to_images(
            equations, start, window, particles, config.schedule, config.shape, progress, run, stage_name
        )
    gaussian_map = to_box(fitted.volume, box, equations.unit)
    voxel_map = to_box(blur(u, settings.voxels.blob_px, equations.grid), box, equations.unit)
    gaussians = fitted.parameters.to_gaussians(aggregate.pixel_size_a, equations.unit)
    unit = equations.unit
    records, reason = fitted.records, fitted.stopped_because
    del equations, u, start, fitted
    where = region.envelope(gaussian_map, aggregate.pixel_size_a) if settings.inside_envelope else region.window
    result = FitResult(
        map=add_residual(gaussian_map, aggregate, error, where),
        backprojection=back_projection(aggregate),
        voxels=voxel_map,
        gaussians=gaussians,
        steps=records,
        stopped_because=reason,
        seed=seed,
        n_particles=aggregate.n_particles,
        details={
            "blob_px": settings.voxels.blob_px,
            "penalty": settings.voxels.penalty,
            "voxel_iterations": settings.voxels.iterations,
            "n_gaussians": len(gaussians),
            "n_gaussians_allowed": count,
            "grey_value_unit": unit,
            "residual_fraction_of_box": float(where.mean()),
        },
        symmetry=config.group.name,
    )
    return result, gaussian_map
