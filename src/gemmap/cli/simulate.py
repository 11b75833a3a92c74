"""``gemmap simulate``: a structure to particle images with a known truth."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import panels
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.simulate.config import Noise, Orientation, SimulationConfig

_MOST_USED, _IMAGES, _RUN = panels.MOST_USED, panels.IMAGES, panels.RUN
_DENSITY, _OPTICS, _POSES = panels.DENSITY, panels.MICROSCOPE, panels.POSES

EXAMPLE = examples(
    (
        "Small and quick, of the spike that comes with GEM",
        "gemmap simulate -o sim --box 64 --pixel-size 4 --n-particles 1000",
    ),
    ("A structure of your own, noisy", "gemmap simulate 6vxx.cif -o sim --box 128 --pixel-size 2 --snr 0.02"),
    (
        "Preferred orientations and wrong poses",
        "gemmap simulate -o sim --orientation preferred \\\n      --preferred-concentration 3 --pose-error 2",
    ),
    then="gemmap reconstruct sim/particles.star -o run1, then compare with the truth: gemmap compare "
    "run1/run_class001.mrc sim/truth.mrc --mask sim/mask.mrc.",
)


@reports_errors
def simulate(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for particles and truth; must not exist, unless --overwrite.",
            rich_help_panel=_MOST_USED,
        ),
    ],
    structure: Annotated[
        Path | None,
        typer.Argument(
            metavar="STRUCTURE",
            help="PDB or mmCIF file (also gzipped); by default the spike trimer 6VXX that comes with GEM.",
            show_default=False,
        ),
    ] = None,
    box_px: Annotated[
        int, typer.Option("--box", metavar="PX", help="Side of the images in pixels.", rich_help_panel=_MOST_USED)
    ] = SimulationConfig.box_px,
    pixel_size_a: Annotated[
        float, typer.Option("--pixel-size", metavar="Å", help="Pixel size in Å.", rich_help_panel=_MOST_USED)
    ] = SimulationConfig.pixel_size_a,
    n_particles: Annotated[
        int, typer.Option(metavar="N", help="Number of particles.", rich_help_panel=_MOST_USED)
    ] = SimulationConfig.n_particles,
    snr: Annotated[
        float,
        typer.Option(
            metavar="RATIO",
            help="Signal-to-noise ratio: variance of the noise-free images (CTF included) inside the particle circle, "
            "averaged over particles, over the variance of the noise. Real particles have 0.005 to 0.1; 1e6 is "
            "practically free of noise.",
            rich_help_panel=_MOST_USED,
        ),
    ] = SimulationConfig.snr,
    noise: Annotated[
        Noise,
        typer.Option(
            help="Spectrum of the noise, of the same variance: white, or coloured, stronger at low frequency.",
            rich_help_panel=_IMAGES,
        ),
    ] = SimulationConfig.noise,
    scale_spread: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="Standard deviation of the logarithm of the particles' scale (contrast); 0: all alike.",
            rich_help_panel=_IMAGES,
        ),
    ] = SimulationConfig.scale_spread,
    solvent_contrast: Annotated[
        float,
        typer.Option(
            metavar="RATIO",
            help="Density of the solvent over the molecule's: 0 is vacuum, 0.6 protein in ice.",
            rich_help_panel=_DENSITY,
        ),
    ] = SimulationConfig.solvent_contrast,
    micelle_contrast: Annotated[
        float,
        typer.Option(
            metavar="RATIO",
            help="Density of a detergent belt above the solvent's, over the molecule's; 0 is no belt.",
            rich_help_panel=_DENSITY,
        ),
    ] = SimulationConfig.micelle_contrast,
    blur_a2: Annotated[
        float,
        typer.Option(
            "--blur", metavar="Å²", help="B-factor in Å² added to that of every atom.", rich_help_panel=_DENSITY
        ),
    ] = SimulationConfig.blur_a2,
    defocus_min_a: Annotated[
        float,
        typer.Option(
            "--defocus-min",
            metavar="Å",
            help="Smallest mean defocus in Å; positive is underfocus.",
            rich_help_panel=_OPTICS,
        ),
    ] = SimulationConfig.defocus_min_a,
    defocus_max_a: Annotated[
        float, typer.Option("--defocus-max", metavar="Å", help="Largest mean defocus in Å.", rich_help_panel=_OPTICS)
    ] = SimulationConfig.defocus_max_a,
    astigmatism_a: Annotated[
        float,
        typer.Option(
            "--astigmatism", metavar="Å", help="Largest difference of the defoci U and V in Å.", rich_help_panel=_OPTICS
        ),
    ] = SimulationConfig.astigmatism_a,
    voltage_kv: Annotated[
        float, typer.Option("--voltage", metavar="kV", help="Acceleration voltage in kV.", rich_help_panel=_OPTICS)
    ] = SimulationConfig.voltage_kv,
    cs_mm: Annotated[
        float, typer.Option("--cs", metavar="mm", help="Spherical aberration in mm.", rich_help_panel=_OPTICS)
    ] = SimulationConfig.cs_mm,
    amplitude_contrast: Annotated[
        float, typer.Option(metavar="FRACTION", help="Amplitude contrast, 0 to 1.", rich_help_panel=_OPTICS)
    ] = SimulationConfig.amplitude_contrast,
    phase_shift_deg: Annotated[
        float,
        typer.Option(
            "--phase-shift",
            metavar="DEG",
            help="Phase shift of a phase plate in degrees; 0: there is none.",
            rich_help_panel=_OPTICS,
        ),
    ] = SimulationConfig.phase_shift_deg,
    bfactor_a2: Annotated[
        float,
        typer.Option(
            "--bfactor",
            metavar="Å²",
            help="B-factor in Å² of the images' envelope, exp(-B k²/4); 0: none.",
            rich_help_panel=_OPTICS,
        ),
    ] = SimulationConfig.bfactor_a2,
    max_shift_a: Annotated[
        float,
        typer.Option("--max-shift", metavar="Å", help="Largest shift from the centre in Å.", rich_help_panel=_POSES),
    ] = SimulationConfig.max_shift_a,
    orientation: Annotated[
        Orientation,
        typer.Option(
            help="uniform: from everywhere alike. preferred: views gather around the structure's z axis.",
            rich_help_panel=_POSES,
        ),
    ] = SimulationConfig.orientation,
    preferred_concentration: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Fisher's concentration of preferred views: 1 slight, 10 strong; needed with --orientation preferred.",
            rich_help_panel=_POSES,
        ),
    ] = SimulationConfig.preferred_concentration,
    pose_error_deg: Annotated[
        float,
        typer.Option(
            "--pose-error",
            metavar="DEG",
            help="RMS angle in degrees between the poses written and the true ones.",
            rich_help_panel=_POSES,
        ),
    ] = SimulationConfig.pose_error_deg,
    shift_error_a: Annotated[
        float,
        typer.Option(
            "--shift-error",
            metavar="Å",
            help="RMS distance in Å between the shifts written and the true ones.",
            rich_help_panel=_POSES,
        ),
    ] = SimulationConfig.shift_error_a,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Seed of everything random: same seed, same particles.", rich_help_panel=_RUN),
    ] = SimulationConfig.seed,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads to compute with; all cores by default.", rich_help_panel=_RUN),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the simulation in an existing folder; other files stay.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing.", rich_help_panel=_RUN)] = False,
) -> None:
    """Simulate particle images of a structure, in solvent, with CTF and noise."""
    config = SimulationConfig(
        box_px=box_px,
        pixel_size_a=pixel_size_a,
        n_particles=n_particles,
        snr=snr,
        solvent_contrast=solvent_contrast,
        micelle_contrast=micelle_contrast,
        noise=noise,
        defocus_min_a=defocus_min_a,
        defocus_max_a=defocus_max_a,
        astigmatism_a=astigmatism_a,
        max_shift_a=max_shift_a,
        orientation=orientation,
        preferred_concentration=preferred_concentration,
        pose_error_deg=pose_error_deg,
        shift_error_a=shift_error_a,
        scale_spread=scale_spread,
        voltage_kv=voltage_kv,
        cs_mm=cs_mm,
        amplitude_contrast=amplitude_contrast,
        phase_shift_deg=phase_shift_deg,
        bfactor_a2=bfactor_a2,
        blur_a2=blur_a2,
        seed=seed,
    )

    from gemmap.api.simulation import write_simulation
    from gemmap.cli.screen import Screen
    from gemmap.io.folders import require_free
    from gemmap.kernels.threads import configure
    from gemmap.simulate.particles import simulate as simulate_particles
    from gemmap.simulate.structure import embedded_structure, read_structure

    require_free(output, overwrite)
    screen = Screen(verbose=False, quiet=quiet)
    n_threads = configure(threads)
    atoms = embedded_structure() if structure is None else read_structure(structure)
    source = "PDB 6VXX, embedded" if structure is None else str(structure)
    screen.say(f"Structure: {source}, {len(atoms):,} atoms")
    simulation = simulate_particles(atoms, config, n_threads)
    write_simulation(output, simulation, source=source, overwrite=overwrite, progress=screen.progress())
    command = shlex.join(["gemmap", "reconstruct", str(output / "particles.star"), "-o", "run1"])
    screen.say(f"Wrote {config.n_particles:,} particles to {output}; next: {command}")
