"""A small finished run folder, written without the code that reads it or writes real ones, in milliseconds."""

import json
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import torch
from safetensors.torch import save_file

BOX, PIXEL_A, N_GAUSSIANS = 32, 4.0, 50
MAPS = (
    "run_class001", "run_half1_class001_unfil", "run_half2_class001_unfil", "backprojection",
    "run_class001_sharpened",
)  # fmt: skip


def ellipsoid(stretch: float = 1.0) -> np.ndarray:
    """A smooth bright body, longest along x, in (z, y, x); the same for every call."""
    axis = (np.arange(BOX) - BOX // 2) / (BOX / 6)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.exp(-(x**2 / (2 * stretch) + y**2 + z**2 * 1.5)).astype(np.float32)


def write_mrc(path: Path, volume: np.ndarray) -> None:
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(volume.astype(np.float32))
        mrc.voxel_size = PIXEL_A


def write_table(path: Path, names: list[str], rows: np.ndarray) -> None:
    lines = [",".join(f"{value:.6f}" for value in row) for row in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")


def write_run(folder: Path, **changes: Any) -> Path:
    """Fill a folder; ``changes`` replace parts of job.json."""
    folder.mkdir()
    for i, name in enumerate(MAPS):
        noise = 0.01 * np.random.default_rng(i).standard_normal((BOX,) * 3)
        write_mrc(folder / f"{name}.mrc", ellipsoid() + noise)
    write_mrc(folder / "mask.mrc", (ellipsoid() > 0.1).astype(np.float32))
    write_mrc(folder / "locres.mrc", 9.0 + 4.0 * (1 - ellipsoid()))
    shells = np.arange(BOX // 2 + 1)
    frequency = shells / (BOX * PIXEL_A)
    with np.errstate(divide="ignore"):
        frame = [shells, 1.0 / frequency, frequency]
    curves = ["cross_fsc_map", "half_maps_corrected", "half_maps_unmasked", "backprojection_unmasked", "a_new_curve"]
    fsc = [np.exp(-shells / (4.0 + i)) for i in range(len(curves))]
    head = ["shell", "resolution_a", "spatial_frequency"]
    write_table(folder / "fsc.csv", [*head, *curves], np.stack([*frame, *fsc], axis=1))
    noise_names = ["half1_group1", "half2_group1"]
    write_table(folder / "noise.csv", [*head, *noise_names], np.stack([*frame, 900 + shells, 910 + shells], axis=1))
    axes = np.random.default_rng(3).standard_normal((64, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None] * np.sign(axes[:, 2:])
    along = np.column_stack([axes, 8.0 + axes[:, 2], np.full(64, 5.0)])
    write_table(folder / "direction.csv", ["x", "y", "z", "resolution_a", "area"], along)
    (folder / "fsc.star").write_text(_star())
    (folder / "particles.star").write_text(_particles(40))
    write_gaussians(folder / "gaussians.safetensors")
    (folder / "command.txt").write_text("# in somewhere\ngemmap reconstruct particles.star -o run1\n")
    (folder / "run.log").write_text("2026-01-02 03:04:05+00:00  Particles          40\n")
    (folder / "job.json").write_text(json.dumps({**job(), **changes}))
    return folder


def job() -> dict[str, Any]:
    steps = [{"step": i, "loss": -10.0 * i, "seconds": 0.1 * i, "n_gaussians": 50 + i} for i in range(4)]
    fit = {"n_particles": 20, "n_gaussians": 53, "n_steps": 3, "stopped_because": "it was enough", "steps": steps}
    return {
        "status": "finished",
        "argv": ["gemmap", "reconstruct"],
        "started": "2026-01-02T03:04:05+00:00",
        "config": {"sym": "C1", "no_ctf": False, "particles": "particles.star"},
        "inputs": [{"path": "particles.star", "size_bytes": 1234, "modified": "2026-01-01T00:00:00+00:00"}],
        "notes": ["2 of 42 images are dead."],
        "peak_memory_bytes": 850_000_000,
        "resolutions": {
            "map": {
                "value_a": 10.5, "threshold": 0.5, "estimator": "cross-FSC", "mask": "soft mask from the map",
                "at_nyquist": False, "shell": 12.2, "text": "10.50 Å",
            },
            "half_maps_unmasked": {
                "value_a": None, "threshold": 0.143, "estimator": "half-map FSC", "mask": "no mask",
                "at_nyquist": False, "shell": 0, "text": "not resolved",
            },
        },
        "results": {
            "box_px": BOX, "pixel_size_a": PIXEL_A, "particle_diameter_a": 80.0, "images_per_second": 1234.5,
            "n_particles": 40, "n_excluded": 2, "n_half1": 20, "n_half2": 20, "halves_from_file": True,
            "dead_images": {"7": "000007@a.mrcs", "9": "000009@a.mrcs"},
            "checks": {
                "n_images": 30,
                "n_particles": 40,
                "complete": False,
                "verdicts": [
                    {"check": "shifts", "level": "ok", "text": "Shifts are small."},
                    {"check": "noise", "level": "warning", "text": "Images differ in noise."},
                    {"check": "contrast", "level": "unknown", "text": "Cannot be known: too few images."},
                ],
            },
            "trial_scores": {"half1": [[0, 0.1], [2, 0.2]], "half2": [[0, 0.1], [2, 0.15]]},
            "fits": {"half1": fit, "half2": fit, "full": fit},
        },
        "seconds": {"reading": 1.0, "aggregate": 2.0, "reconstruction": 9.0, "total": 12.0},
        "seeds": {"seed": 0},
        "hardware": {"cpu": "A processor", "cores_usable": 2, "gpus": [], "memory_bytes": 10**10, "os": "Linux"},
        "software": {"gemmap": "0.1.0", "python": "3.11.7", "libraries": {"numpy": "2.4.6"}, "git_commit": None},
    }  # fmt: skip


def _star() -> str:
    rows = "\n".join(f"{0.001 * i:.6f} {-5 - 0.1 * i:.6f} {-5 - 0.2 * i:.6f}" for i in range(15))
    return (
        "data_general\n_rlnFinalResolution 9.0\n_rlnBfactorUsedForSharpening -120.0\n"
        "_rlnFittedSlopeGuinierPlot -30.0\n_rlnFittedInterceptGuinierPlot -5.0\n\n"
        "data_guinier\nloop_\n_rlnResolutionSquared\n_rlnLogAmplitudesOriginal\n_rlnLogAmplitudesWeighted\n"
        f"{rows}\n0.02 -99.0 -99.0\n"
    )


def _particles(n: int) -> str:
    rng = np.random.default_rng(1)
    rows = "\n".join(
        f"{i + 1:06d}@a.mrcs {rng.uniform(-180, 180):.3f} {np.degrees(np.arccos(rng.uniform(-1, 1))):.3f} "
        f"{rng.uniform(-180, 180):.3f} {1 + i % 2} {rng.uniform(8e3, 2e4):.1f} {8e3 + 9 * i:.1f} 0 {1 + 0.01 * i} 1 0 0"
        for i in range(n)
    )
    labels = (
        "ImageName AngleRot AngleTilt AnglePsi RandomSubset DefocusU DefocusV DefocusAngle CtfScalefactor OpticsGroup "
        "OriginXAngst OriginYAngst"
    )
    head = "\n".join(f"_rln{label}" for label in labels.split())
    optics = "OpticsGroup OpticsGroupName ImagePixelSize ImageDimensionality ImageSize Voltage SphericalAberration"
    optics_head = "\n".join(f"_rln{label}" for label in [*optics.split(), "AmplitudeContrast"])
    return (
        f"data_optics\n\nloop_\n{optics_head}\n1 group1 {PIXEL_A} 2 {BOX} 300 2.7 0.1\n\n"
        f"data_particles\n\nloop_\n{head}\n{rows}\n"
    )


def write_gaussians(path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    quaternions = torch.randn(N_GAUSSIANS, 4, generator=generator)
    tensors = {
        "centres_a": 10.0 * torch.randn(N_GAUSSIANS, 3, generator=generator),
        "scales_a": 2.0 + torch.rand(N_GAUSSIANS, 3, generator=generator),
        "quaternions": quaternions / quaternions.norm(dim=1, keepdim=True),
        "masses": torch.rand(N_GAUSSIANS, generator=generator),
    }
    about = {
        "schema": "gemmap-gaussians", "version": 1, "length_unit": "angstrom", "box_px": BOX, "pixel_size_a": PIXEL_A,
    }  # fmt: skip
    save_file(tensors, path, {"gemmap": json.dumps(about)})
