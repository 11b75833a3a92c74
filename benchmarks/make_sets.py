"""Make the benchmark particle sets: images by relion_project, so no kernel of ours makes the data it is judged on.

Usage: ``python benchmarks/make_sets.py STRUCTURES OUT [NAME ...]``.

STRUCTURES holds 8zpm.cif and 5a1a.pdb (wwPDB); OUT receives one folder per set, and READY.txt one line per finished
stack. Needs relion_project, relion_reconstruct and relion_mask_create (RELION 3.1 or later) on the path.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import run_logged
from particle_star import Particles, random_particles, with_pose_error, write_star
from score import last_shell, truth_fsc
from truth_maps import Truth, make_truth, packed, read_map, read_model, write_map

MASK_LOWPASS_A = 15.0
PACKING_SEED = 5


@dataclass(frozen=True)
class ParticleSet:
    """What one set is made of; ``pose_error`` is (degrees, pixels), standard deviations per axis.

    ``repeats`` names star files with that many rows, which repeat the images in turn (for speed and memory only).
    ``least_clean_fsc`` is what the reconstruction of the noise-free stack must reach in every shell.
    """

    name: str
    structure: str
    box_px: int
    pixel_size_a: float
    images: int
    snrs: tuple[float, ...]
    subsets: tuple[int, ...] = ()
    solvent: bool = False
    copies: int = 1
    pose_error: tuple[float, float] = (0.0, 0.0)
    noise_only: bool = False
    repeats: tuple[int, ...] = ()
    seed: int = 1
    least_clean_fsc: float = 0.999


SETS = (
    ParticleSet("8zpm", "8zpm.cif", 128, 1.4, 4000, (0.02, 0.005), (1000, 500)),
    ParticleSet("8zpm_solvent", "8zpm.cif", 128, 1.4, 4000, (0.02, 0.005), (1000, 500), solvent=True, seed=2),
    ParticleSet("5a1a", "5a1a.pdb", 128, 1.8, 4000, (0.02, 0.005), (1000, 500), seed=3),
    ParticleSet("5a1a_solvent", "5a1a.pdb", 128, 1.8, 4000, (0.02, 0.005), (1000, 500), solvent=True, seed=4),
    ParticleSet("8zpm_noise", "8zpm.cif", 128, 1.4, 4000, (0.0,), (1000,), noise_only=True, seed=1),
    ParticleSet("dense", "5a1a.pdb", 128, 3.3, 10000, (0.02,), (1000,), copies=3, pose_error=(0.5, 0.3), seed=5),
    ParticleSet(
        "dense_solvent",
        "5a1a.pdb",
        128,
        3.3,
        10000,
        (0.02,),
        (1000,),
        solvent=True,
        copies=3,
        pose_error=(0.5, 0.3),
        seed=7,
    ),
    # 1,000 images leave gaps in the outer shells of a 256 px box: 0.994 there without noise.
    ParticleSet("5a1a_256", "5a1a.pdb", 256, 0.9, 1000, (0.02,), repeats=(4000, 16000), seed=6, least_clean_fsc=0.99),
)


def signal_variance(images: np.ndarray, diameter_px: float) -> float:
    """Variance of the signal inside the particle's circle, averaged over the images."""
    axis = np.arange(images.shape[-1]) - images.shape[-1] // 2
    inside = np.hypot(axis[:, None], axis[None, :]) <= diameter_px / 2
    return float(np.mean([image[inside].var() for image in images]))


def make_mask(folder: Path, truth: Truth) -> None:
    """Soft mask from the truth without solvent, by relion_mask_create.

    The threshold is the grey value at which the map at 15 Å encloses the volume of the molecular envelope.
    """
    n = truth.density.shape[0]
    k = np.fft.fftfreq(n, truth.pixel_size_a)
    k2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.fft.rfftfreq(n, truth.pixel_size_a)[None, None, :] ** 2
    spectrum = np.fft.rfftn(truth.density)
    smooth = np.fft.irfftn(np.where(k2 < MASK_LOWPASS_A**-2, spectrum, 0), truth.density.shape, (0, 1, 2))
    threshold = np.quantile(smooth, 1 - np.mean(truth.envelope > 0.5))
    source = folder / "protein.mrc"
    write_map(source, truth.density, truth.pixel_size_a)
    run_logged(
        folder / "mask.log",
        "relion_mask_create",
        *("--i", source, "--o", folder / "mask.mrc", "--angpix", truth.pixel_size_a),
        *("--lowpass", MASK_LOWPASS_A, "--ini_threshold", f"{threshold:.6g}"),
        *("--extend_inimask", 3, "--width_soft_edge", 6),
    )


def project_clean(folder: Path, spec: ParticleSet, particles: Particles, check: bool) -> np.ndarray:
    """Noise-free images by relion_project; with ``check`` their reconstruction must agree with the truth."""
    star, stack, truth = folder / "clean.star", folder / "clean.mrcs", folder / "truth.mrc"
    write_star(star, particles, stack, spec.box_px, spec.pixel_size_a)
    run_logged(
        folder / "project.log",
        "relion_project",
        *("--i", truth, "--o", folder / "clean", "--ang", star, "--ctf", "--angpix", spec.pixel_size_a, "--pad", 4),
    )
    # relion_project writes its own star beside the stack: ours is the one with every column.
    write_star(star, particles, stack, spec.box_px, spec.pixel_size_a)
    if check:
        run_logged(
            folder / "clean_reconstruction.log",
            *("relion_reconstruct", "--i", star, "--o", folder / "clean_reconstruction.mrc", "--ctf"),
        )
        curve = truth_fsc(read_map(folder / "clean_reconstruction.mrc"), read_map(truth))
        worst = float(curve[1 : last_shell(curve) + 1].min())
        print(f"{spec.name}: noise-free reconstruction, lowest FSC to the truth {worst:.5f}", flush=True)
        if worst < spec.least_clean_fsc:
            raise SystemExit(
                f"{spec.name}: noise-free reconstruction has FSC {worst:.4f} to the truth; expected at least "
                f"{spec.least_clean_fsc}: check that RELION reads the star file as it was meant."
            )
    return read_map(stack)


def make_set(spec: ParticleSet, structures: Path, out: Path, check: bool) -> None:
    """Write truth, mask, stacks and star files of one set, and its line in READY.txt."""
    folder = out / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    model = read_model(structures / spec.structure)
    truth = make_truth(packed(model, spec.copies, PACKING_SEED), spec.box_px, spec.pixel_size_a)
    write_map(folder / "truth.mrc", truth.in_solvent() if spec.solvent else truth.density, spec.pixel_size_a)
    make_mask(folder, truth)

    particles = random_particles(spec.images, spec.pixel_size_a, spec.seed)
    given = with_pose_error(particles, spec.pose_error[0], spec.pose_error[1] * spec.pixel_size_a, spec.seed + 100)
    clean = None if spec.noise_only else project_clean(folder, spec, particles, check)
    variance = 0.0 if clean is None else signal_variance(clean, truth.diameter_a / spec.pixel_size_a)
    for snr in spec.snrs:
        # Unit white noise plus the scaled signal: background mean 0 and sd 1, one scale for all images.
        scale = float(np.sqrt(snr / variance)) if clean is not None else 0.0
        rng = np.random.default_rng([spec.seed, round(snr * 1e4)])
        images = rng.standard_normal((spec.images, spec.box_px, spec.box_px), dtype=np.float32)
        if clean is not None:
            images += np.float32(scale) * clean
        stem = "particles_noise" if spec.noise_only else f"particles_snr{snr:g}"
        stack = folder / f"{stem}.mrcs"
        write_map(stack, images, spec.pixel_size_a)
        stars = {stem: np.arange(spec.images)} | {f"{stem}_{n}": np.arange(n) for n in spec.subsets}
        stars |= {f"{stem}_{n}rows": np.arange(n) % spec.images for n in spec.repeats}
        for name, rows in stars.items():
            write_star(folder / f"{name}.star", given, stack, spec.box_px, spec.pixel_size_a, rows)
        if any(spec.pose_error):
            write_star(folder / f"{stem}_true_poses.star", particles, stack, spec.box_px, spec.pixel_size_a)
        (folder / f"{stem}.json").write_text(
            json.dumps(
                {
                    "snr": snr,
                    "truth_scale_in_images": scale,
                    "diameter_a": truth.diameter_a,
                    "atoms": truth.atoms,
                    "pixel_size_a": spec.pixel_size_a,
                    "solvent": spec.solvent,
                    "pose_error_deg_px": spec.pose_error,
                },
                indent=1,
            )
        )
        with (out / "READY.txt").open("a") as ready:
            ready.write(
                f"{spec.name} snr={snr:g} stars={','.join(str(folder / f'{n}.star') for n in stars)} "
                f"truth={folder / 'truth.mrc'} mask={folder / 'mask.mrc'}\n"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path, help="folder with 8zpm.cif and 5a1a.pdb")
    parser.add_argument("out", type=Path, help="folder for the sets (about 6 GB)")
    parser.add_argument("names", nargs="*", help=f"sets to make; default all: {' '.join(s.name for s in SETS)}")
    parser.add_argument("--no-check", action="store_true", help="skip the noise-free reconstruction")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {s.name for s in SETS}
    if unknown:
        parser.error(f"unknown set {sorted(unknown)}; expected some of {[s.name for s in SETS]}")
    for spec in SETS:
        if not arguments.names or spec.name in arguments.names:
            make_set(spec, arguments.structures, arguments.out.resolve(), not arguments.no_check)


if __name__ == "__main__":
    main()
