"""Simulated particles on disk, in every format that GEM reads, with their truth."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gemmap._types import Float
from gemmap.fit.progress import Progress, Silent, stage
from gemmap.io.atomic import atomic_path
from gemmap.io.cryodrgn_write import write_cryodrgn
from gemmap.io.cs_write import write_cs
from gemmap.io.folders import prepare_folder, require_free, require_space
from gemmap.io.mrc import write_map, write_stack
from gemmap.io.relion_write import write_star30, write_star31
from gemmap.particles.batches import images_per_chunk
from gemmap.report.record import describe_software, write_readme
from gemmap.simulate.particles import Simulation

#: Files of a simulation's folder.
SIMULATION_FILES: Mapping[str, str] = {
    "particles.mrcs": "particle images (float32, particle bright, noise of variance 1)",
    "particles.star": "poses, CTFs and half-sets for RELION 3.1 and later",
    "particles_relion30.star": "the same for RELION 3.0 and earlier",
    "particles.cs": "the same for cryoSPARC",
    "poses.pkl": "rotations and shifts for cryoDRGN, which knows no half-sets",
    "ctf.pkl": "CTFs for cryoDRGN",
    "truth.mrc": "the density that the images show, in their grey values",
    "mask.mrc": "soft mask around the molecule, 0 to 1",
    "simulation.json": "every option, and what follows from it",
}


def write_simulation(
    folder: Path | str,
    simulation: Simulation,
    *,
    source: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write images, metadata in four formats, truth and mask; the images are computed chunk by chunk.

    Parameters
    ----------
    folder
        Made here.
    simulation
        What `gemmap.simulate_particles` returned.
    source
        The structure, in words, for the record.
    overwrite
        Replace the simulation in an existing folder; other files stay.
    progress
        Told what happens.

    Raises
    ------
    OutputError
        If the folder exists, or a file cannot be written.
    """
    folder = Path(folder)
    require_free(folder, overwrite)
    config = simulation.config
    image_bytes = 4 * config.box_px**2
    require_space(folder, config.n_particles * image_bytes + 2 * 4 * config.box_px**3)
    prepare_folder(folder, [*SIMULATION_FILES, "README.txt"])
    images = _images(simulation, Silent() if progress is None else progress)
    try:
        write_stack(folder / "particles.mrcs", images, config.pixel_size_a)
    except BaseException:
        # Stopped before anything was written: no trace is left, and the same command can be given again.
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    write_star31(folder / "particles.star", simulation.table)
    write_star30(folder / "particles_relion30.star", simulation.table)
    write_cs(folder / "particles.cs", simulation.table)
    write_cryodrgn(folder / "poses.pkl", folder / "ctf.pkl", simulation.table, config.box_px)
    write_map(folder / "truth.mrc", simulation.truth, config.pixel_size_a)
    write_map(folder / "mask.mrc", simulation.mask, config.pixel_size_a)
    record = {
        "config": asdict(config),
        "particle_diameter_a": simulation.particle_diameter_a,
        "software": describe_software(),
        "structure": source,
    }
    with atomic_path(folder / "simulation.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_readme(folder, SIMULATION_FILES)


def _images(simulation: Simulation, progress: Progress) -> Iterator[Float[np.ndarray, "d d"]]:
    n = simulation.config.n_particles
    with stage(progress, "Simulate", n, "images"):
        for chunk in simulation.stack.chunks(images_per_chunk(simulation.config.box_px)):
            yield from chunk
            progress.advance(len(chunk))
