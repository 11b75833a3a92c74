"""Mask, curves, sharpened map, local and directional resolution of what was fitted."""

from gemmap._types import Volume
from gemmap.api.stage_times import StageTimes
from gemmap.fit.records import Reconstruction
from gemmap.geometry.symmetry import point_group
from gemmap.validate.masks import soft_mask_from_map
from gemmap.validate.postprocess import Maps, Postprocess, PostprocessOptions, postprocess


def judge(
    reconstruction: Reconstruction,
    mask: Volume | None,
    local_sampling_a: float | None,
    n_threads: int,
    times: StageTimes,
) -> Postprocess:
    """Validate half-maps and final map of a reconstruction.

    Parameters
    ----------
    reconstruction
        What was fitted.
    mask
        (N, N, N), 0 to 1; None makes one from the half-maps.
    local_sampling_a
        Distance of the windows of local resolution in Å; None leaves it out.
    n_threads
        Of the transforms.
    times
        Told what happens, and keeps the seconds.
    """
    half1, half2 = reconstruction.half1, reconstruction.half2
    name = "the mask given"
    if mask is None:
        name = "soft mask from the map"
        mask = soft_mask_from_map(
            0.5 * (half1.map + half2.map),
            reconstruction.pixel_size_a,
            reconstruction.particle_diameter_a,
            workers=n_threads,
        )
    maps = Maps(
        half1.map,
        half2.map,
        reconstruction.pixel_size_a,
        mask,
        name,
        (half1.backprojection, half2.backprojection),
        reconstruction.full.map,
        len(point_group(reconstruction.full.symmetry)),
    )
    options = PostprocessOptions(local_sampling_a, particle_diameter_a=reconstruction.particle_diameter_a)
    return postprocess(maps, options, n_threads, times)
