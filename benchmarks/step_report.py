"""The measurements of ``images_engine.py`` as a Markdown page: rates, memory, and what bounds them."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: Training rate that the paper (arXiv 2509.25075) gives: images per second on one RTX A6000, 50,000 Gaussians.
PAPER = {192: 160, 256: 108, 320: 97, 360: 94}

# Arithmetic of the kernels, a multiply-add counted as two: per computed pixel (offset 2, exponent 3, exponential 14,
# height or gradient 1, sum 1; backward six moments, 11, for the sum), and per Gaussian and image (its ellipse 85,
# derivatives from moments 150).
FLOPS_PER_PIXEL = {"project": 21, "gather": 31}
FLOPS_PER_GAUSSIAN = {"project": 85, "gather": 235}
# Bytes read and written, nearly all in caches: per computed pixel (image; gradient and weight, offsets kept), and per
# Gaussian and image (row of the table 104, what is seen of it 256; moments 96, derivatives 160).
BYTES_PER_PIXEL = {"project": 8, "gather": 28}
BYTES_PER_GAUSSIAN = {"project": 360, "gather": 616}


def machine(n_threads: int) -> str:
    """Processor, threads, load, versions and commit."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    root = Path(__file__).resolve().parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    versions = ", ".join(f"{name} {version(name)}" for name in ("gemmap", "torch", "numba", "numpy"))
    return (
        f"{(names or [platform.processor()])[0]}, {len(names)} cores, {n_threads} threads, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}; commit {commit.stdout.strip()}."
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])


def label(row: dict[str, Any]) -> list[str]:
    """Box, number of Gaussians, range of standard deviations."""
    return [str(row["box"]), f"{row['n']:,}", f"{row['low']:g} to {row['high']:g}"]


def rate(milliseconds: float) -> str:
    """Images per second."""
    return f"{1e3 / milliseconds:.0f}" if milliseconds < 100 else f"{1e3 / milliseconds:.1f}"


def rates(rows: list[dict[str, Any]]) -> str:
    """Images per second, and times of the parts."""
    header = ["box", "Gaussians", "sd, px", "forward", "backward", "whole step", "CPU ms per image: project", "compare"]
    header += ["gather", "Adam", "step", "MB above the image batch", "image batch, MB", "paper, other machine"]
    parts = ("project", "compare", "gather", "adam", "step")
    return table(
        header,
        [
            [
                *label(row),
                *(rate(row[part][0]) for part in ("project", "gather", "step")),
                *(f"{row[part][1]:.2f}" for part in parts),
                f"{row['peak_mb']:.0f}",
                f"{row['image_batch_mb']:.0f}",
                str(PAPER.get(row["box"], "")),
            ]
            for row in rows
        ],
    )


def against_plain(rows: list[dict[str, Any]]) -> str:
    """Plain torch, and how many times as fast the kernels are, by wall-clock and by CPU time."""
    header = ["box", "Gaussians", "sd, px", "plain projection, both ways, ms per image", "GEM", "times", "times by CPU"]
    header += ["plain step, ms", "GEM", "times", "dense projection, ms", "largest relative difference"]
    cells = []
    for row in rows:
        ours, ours_cpu = (row["project"][k] + row["gather"][k] for k in (0, 1))
        plain, plain_cpu = row["plain_projection"]
        cells.append(
            [
                *label(row),
                *(f"{plain:.0f}", f"{ours:.2f}", f"{plain / ours:.1f}", f"{plain_cpu / ours_cpu:.1f}"),
                *(
                    f"{row['plain_step'][0]:.0f}",
                    f"{row['step'][0]:.2f}",
                    f"{row['plain_step'][0] / row['step'][0]:.1f}",
                ),
                *(f"{row['dense_projection_ms']:,.0f}", f"{row['error']:.1e}"),
            ]
        )
    return table(header, cells)


def bounds(rows: list[dict[str, Any]], peaks: dict[str, Any]) -> str:
    """Arithmetic and traffic of both kernels, and the part of the machine's peak that they reach (by CPU time)."""
    header = ["box", "Gaussians", "sd, px", "pixels inside, computed", "kernel", "Mflop per image", "Gflop/s per core"]
    header += ["of the peak", "GB/s per core, in caches", "transforms, of the step"]
    cells = []
    for row in rows:
        for kernel in ("project", "gather"):
            seconds, pixels = 1e-3 * row[kernel][1], row["pixels_computed"]
            flops = row["n"] * (pixels * FLOPS_PER_PIXEL[kernel] + FLOPS_PER_GAUSSIAN[kernel])
            moved = row["n"] * (pixels * BYTES_PER_PIXEL[kernel] + BYTES_PER_GAUSSIAN[kernel])
            share = flops / seconds / 1e9 / peaks["gflops"]
            cells.append(
                [
                    *label(row),
                    f"{row['pixels_inside']:.0f}, {pixels:.0f}",
                    kernel,
                    *(f"{flops / 1e6:.0f}", f"{flops / seconds / 1e9:.0f}", f"{100 * share:.0f} %"),
                    f"{moved / seconds / 1e9:.0f}",
                    f"{100 * row['transforms'][1] / row['step'][1]:.0f} %",
                ]
            )
    return table(header, cells)


def report(rows: list[dict[str, Any]], peaks: dict[str, Any], n_threads: int) -> str:
    """The whole page."""
    return "\n\n".join(
        [
            machine(n_threads),
            f"Batch of {rows[0]['batch']}; images per second by wall-clock. Gaussians: anisotropic, log-uniform "
            "standard deviations (sd), uniform in a sphere of radius 0.3 boxes. The last column is the training rate "
            "of the paper (arXiv 2509.25075): one RTX A6000, 50,000 Gaussians of its own choice, 0.5 to 1.5 GB; 97 "
            "images per second at 320 px.",
            rates(rows),
            "Plain torch (`plain_projection.py`), one image at a time, same result; the dense version is measured on a "
            "few Gaussians, its time is proportional to their number.",
            against_plain(rows),
            f"Peaks measured: {peaks['gflops']:.0f} Gflop/s on one core (float32 multiply-adds, each two), "
            f"{peaks['gb_per_s']:.1f} GB/s through memory on {n_threads} threads.",
            bounds(rows, peaks),
        ]
    )
