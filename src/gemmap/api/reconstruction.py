"""A whole reconstruction: particles in, half-maps, final map, curves and files out."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gemmap.api.options import SAMPLING_A, Engine, ReconstructionOptions
from gemmap.api.plan import plan_reconstruction
from gemmap.api.result import ReconstructionResult
from gemmap.api.run import run_plan
from gemmap.api.run_evidence import finish_evidence
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig, Shape
from gemmap.fit.progress import Progress, Silent
from gemmap.fit.schedule import Loss, Schedule, Start
from gemmap.io.choices import BFactorSign, CsAberrations
from gemmap.io.folders import require_free
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


def reconstruct(
    particles: Path | str | tuple[ParticleTable, ImageStack],
    *,
    output: Path | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    poses: Path | str | None = None,
    trans: Path | str | None = None,
    ctf: Path | str | None = None,
    ind: Path | str | None = None,
    passthrough: Sequence[Path | str] = (),
    no_ctf: bool = False,
    datadir: Path | str | None = None,
    strip_prefix: str | None = None,
    allow_outside: bool = False,
    first: int | None = None,
    invert: bool = False,
    pixel_size_a: float | None = None,
    class_number: int | None = None,
    bfactor_sign: BFactorSign = "file",
    cs_aberrations: CsAberrations = "refuse",
    flip_hand: bool = False,
    phase_flipped: bool = False,
    premultiplied: bool = False,
    box_px: int | None = None,
    target_pixel_size_a: float | None = None,
    max_resolution_a: float | None = None,
    normalise: bool = False,
    window: bool = False,
    particle_diameter_a: float | None = None,
    n_gaussians: int | None = None,
    mask: Path | str | None = None,
    sym: str = FitConfig.symmetry,
    engine: Engine = "aggregate",
    epochs: int | None = None,
    batch_size: int = Schedule.batch_size,
    loss: Loss = Schedule.loss,
    start: Start = Schedule.start,
    rate: float = Schedule.rate,
    shape: Shape = FitConfig.shape,
    max_steps: int = FitConfig.max_steps,
    local_resolution: bool = True,
    local_sampling_a: float = SAMPLING_A,
    check: bool = True,
    seed: int = FitConfig.seed,
    threads: int | None = None,
    device: str = "auto",
    memory: str | None = None,
    gpu_memory: str | None = None,
    save_aggregates: bool = False,
    evidence: str | None = None,
    checkpoint_interval_s: float = 60.0,
) -> ReconstructionResult:
    """Reconstruct a density map from particles with known poses.

    Particles are split into two half-sets that share nothing; each gives a half-map, their sum the final map. The
    resolution is estimated from the back-projection of the *other* half.

    Parameters
    ----------
    particles
        ``.star`` (RELION), ``.cs`` (cryoSPARC), or with ``poses`` any list of images (``.mrcs``, ``.txt``, ``.star``,
        ``.cs``); or a table and its images in memory.
    output
        Folder for maps, Gaussians, curves, figures and the record; None writes no file.
    overwrite
        Replace the results in ``output`` if it exists; files that are not ours stay.
    progress
        Told what happens.
    poses, trans, ctf, ind
        CryoDRGN's ``poses.pkl``, ``ctf.pkl`` and ``ind.pkl``; ``trans`` if the shifts are in a file of their own.
    passthrough
        CryoSPARC's passthrough files of the same job.
    no_ctf
        The images carry no CTF.
    datadir, strip_prefix
        Folder that stack names are relative to, and text to remove from their front.
    allow_outside
        Read stacks that the file names outside its folder, its project, the working folder and ``datadir``.
    first
        Use the first so many particles only.
    invert
        Particles are dark although their file does not say so.
    pixel_size_a
        Å; replaces that of the files. Nothing is resampled: it corrects a wrong calibration.
    class_number
        Use the particles of this class only, numbered as in the file.
    bfactor_sign
        ``file`` takes the CTF's B-factors as RELION's formula has them, where negative ones amplify; ``damping`` takes
        all as damping.
    cs_aberrations
        Aberrations and anisotropic magnification in a cryoSPARC file: ``model`` them by the convention of
        docs/conventions.md, ``ignore`` them, or ``refuse`` a file that has them.
    flip_hand
        Turn the poses so that the map comes out as its mirror image, inverted through its origin.
    phase_flipped, premultiplied
        The images were phase-flipped, or multiplied by their CTF, although their file does not say so.
    box_px, target_pixel_size_a, max_resolution_a
        Working size, given by at most one of them: the side of the box (even), a pixel size to come close to (Å), or
        the resolution to keep (Å). Images are Fourier-cropped while they are read. By default the box of most images,
        to which others are cropped or padded.
    normalise
        Bring the background of every image, outside the particle's circle, to mean 0, no ramp and standard deviation 1.
    window
        Set the background of every image to its mean, softly, once the noise was measured there.
    particle_diameter_a
        Diameter in Å of the sphere that holds the particle; None finds it.
    n_gaussians
        Gaussians in each fit; None takes them from the particle's volume and the box.
    mask
        Map of values 0 to 1: the region to fit, and the mask of the curves. In the working box or the images' own.
    sym
        Point group of the particle: ``C7``, ``D2``, ``T``, ``O``, ``I``, ``I1`` .. ``I4``, with RELION's axes. Its axes
        must lie where the poses have them.
    engine
        ``aggregate`` fits to the sums of one pass over the images; ``images`` goes through the images again and again,
        as the paper does.
    epochs, batch_size, loss, start, rate
        Of the images engine: visits to every particle (None: 3, or 10 from a random start), images per step,
        ``whitened`` or ``mse``, a start from the ``aggregate`` or at ``random``, and a factor on all learning rates.
    shape
        What of a Gaussian may change beside centre and mass: ``free`` (all), ``axis-aligned`` (no rotation), ``round``
        (one width) or ``fixed`` (nothing).
    max_steps
        Most steps of a fit to the aggregate.
    local_resolution, local_sampling_a
        Whether to measure the local resolution of the half-maps and of their back-projections, and the distance in Å of
        its windows.
    check
        Look at a sample of the images first, as :func:`gemmap.check` does, in at most a twentieth of the run's time.
        What is wrong is a note and a warning; nothing else changes.
    seed
        Of everything random.
    threads
        Threads to use; None takes all cores of this process.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    memory
        Most memory to use, such as ``8GB``: images are read in smaller chunks, or the run is refused before it starts.
    gpu_memory
        Most memory of the GPU to use, such as ``8GB``: images are inserted in smaller batches, or the run is refused
        before it starts. Refused on the CPU.
    save_aggregates
        Keep what the images of each half say, for adding more particles later.
    evidence
        Tests of :func:`gemmap.gather_evidence` that follow on the finished run, with commas, or ``all``. They need
        ``output`` and particles from files.
    checkpoint_interval_s
        Least time in seconds between two saves of what :func:`gemmap.resume` goes on from; 0 saves after every stage
        and every chunk of images. Nothing is saved without ``output``, or of particles in memory.

    Raises
    ------
    InputError, FormatError
        If the particles or options cannot be used: one sentence that says what to do.
    OutputError
        If the folder exists, or a file cannot be written.
    BackendError
        If the device is not there.
    NumericsError
        If a computation leaves the range in which it means something.
    """
    arrays = particles if isinstance(particles, tuple) else None
    options = ReconstructionOptions(
        particles=None if isinstance(particles, tuple) else Path(particles),
        poses=_path(poses),
        trans=_path(trans),
        ctf=_path(ctf),
        ind=_path(ind),
        passthrough=tuple(Path(file) for file in passthrough),
        no_ctf=no_ctf,
        datadir=_path(datadir),
        strip_prefix=strip_prefix,
        allow_outside=allow_outside,
        first=first,
        invert=invert,
        pixel_size_a=pixel_size_a,
        class_number=class_number,
        bfactor_sign=bfactor_sign,
        cs_aberrations=cs_aberrations,
        flip_hand=flip_hand,
        phase_flipped=phase_flipped,
        premultiplied=premultiplied,
        box_px=box_px,
        target_pixel_size_a=target_pixel_size_a,
        max_resolution_a=max_resolution_a,
        normalise=normalise,
        window=window,
        particle_diameter_a=particle_diameter_a,
        n_gaussians=n_gaussians,
        mask=_path(mask),
        sym=sym,
        engine=engine,
        epochs=epochs,
        batch_size=batch_size,
        loss=loss,
        start=start,
        rate=rate,
        shape=shape,
        max_steps=max_steps,
        local_resolution=local_resolution,
        local_sampling_a=local_sampling_a,
        check=check,
        seed=seed,
        threads=threads,
        device=device,
        memory=memory,
        gpu_memory=gpu_memory,
        save_aggregates=save_aggregates,
        evidence=evidence,
        checkpoint_interval_s=checkpoint_interval_s,
    )
    folder = _path(output)
    if folder is not None:
        require_free(folder, overwrite)
    elif evidence is not None:
        raise InputError("The tests of a run are done on its folder, and none was given; give output, or no evidence.")
    plan = plan_reconstruction(options, arrays)
    shown = Silent() if progress is None else progress
    result = run_plan(plan, folder, shown, sys.argv)
    if folder is None or evidence is None:
        return result
    return replace(result, evidence=finish_evidence(folder, shown))


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
