"""Rate and memory of one step of the images engine, beside plain torch and beside what the machine can do.

A step is what the fit does with a batch of 32 images: project, compare (CTF, transforms, whitened residual), gather,
Adam. Every configuration runs in a process of its own; the plain version in another, with torch's default settings.
Times are the fastest of several repeats. Where other programs use the cores as well, the CPU time per image is the
figure to trust: it is printed beside the wall-clock rate.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from machine_peaks import multiply_add_gflops, triad_gb_per_s
from plain_projection import Geometry, dense_project, plain_project, plain_slopes, view
from step_report import report
from torch import Tensor

from gemmap.fit.adam import Adam
from gemmap.fit.batch_gradients import batch_gradient
from gemmap.fit.image_batches import PosedBatch
from gemmap.fit.image_loss import ImageBatch, image_loss
from gemmap.fit.parameters import Parameters, bound
from gemmap.kernels import ops, threads
from gemmap.kernels.cpu_projector import LANES
from gemmap.kernels.inputs import DEFAULT_CUT
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import image_coefficients

BATCH = 32
PIXEL_SIZE_A = 1.4
#: Gaussians of the dense version: its time is proportional to their number.
N_DENSE = 100
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """Box in pixels, number of Gaussians, and range of their standard deviations in pixels."""

    box: int
    n: int
    low: float = 0.5
    high: float = 1.2
    batch: int = BATCH
    repeats: int = 7


CASES = [Case(box, n) for box in (128, 192, 256, 360) for n in (10_000, 30_000)] + [Case(192, 30_000, 1.5, 2.5)]
QUICK = [Case(32, 200, batch=3, repeats=1)]


def make_parameters(case: Case) -> Parameters:
    """Anisotropic Gaussians, log-uniform scales, random directions, uniform in a sphere of radius 0.3 boxes."""
    torch.manual_seed(case.n)
    directions = torch.nn.functional.normalize(torch.randn(case.n, 3), dim=1)
    low, high = np.log(case.low), np.log(case.high)
    return bound(
        Parameters(
            0.3 * case.box * torch.rand(case.n, 1) ** (1 / 3) * directions,
            low + (high - low) * torch.rand(case.n, 3),
            torch.randn(case.n, 4),
            0.1 * torch.randn(case.n),
        )
    )


def make_batch(case: Case) -> PosedBatch:
    """White images with astigmatic CTFs, random views and shifts."""
    rng, b = np.random.default_rng(case.box), case.batch
    rotations, _ = np.linalg.qr(rng.normal(size=(b, 3, 3)))
    rotations[np.linalg.det(rotations) < 0] *= -1
    one = np.ones(b)
    ctf = CtfParameters(
        rng.uniform(8e3, 2.5e4, b), rng.uniform(8e3, 2.5e4, b), rng.uniform(-1, 1, b), 300 * one, 2.7 * one, 0.1 * one,
        0 * one, 0 * one, one,
    )  # fmt: skip
    noise = torch.linspace(0.5, 2.0, case.box // 2 + 1).expand(b, -1) / case.box**2
    coefficients = torch.from_numpy(image_coefficients(ctf, b, case.box * PIXEL_SIZE_A))
    images = ImageBatch(torch.randn(b, case.box, case.box), coefficients, torch.ones(b), noise)
    shifts = torch.from_numpy(rng.uniform(-3, 3, (b, 2))).float()
    return PosedBatch(np.arange(b), images, torch.from_numpy(rotations).float(), shifts)


def geometry_of(parameters: Parameters) -> Geometry:
    """Centres, scales, quaternions and masses."""
    return parameters.centres, parameters.log_scales.exp(), parameters.quaternions, parameters.log_masses.exp()


def fastest(function: Callable[[], object], case: Case) -> tuple[float, float]:
    """Wall-clock and CPU milliseconds per image: the least of each over the repeats."""
    function()
    wall, cpu = [], []
    for _ in range(case.repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        function()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return 1e3 * min(wall) / case.batch, 1e3 * min(cpu) / case.batch


def memory_kb(field: str) -> int:
    """VmRSS or VmHWM (the highest VmRSS so far) of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def step(parameters: Parameters, adam: Adam, batch: PosedBatch) -> None:
    """One step of the fit."""
    slopes, _ = batch_gradient(parameters, batch, 1.0)
    bound(adam.step(parameters, slopes))


def measure_engine(case: Case) -> dict[str, object]:
    """Times of the parts and of the whole step, and memory above Gaussians and image batch."""
    small = Case(16, 10, batch=2)
    step(make_parameters(small), Adam.at_rest(make_parameters(small)), make_batch(small))
    parameters, batch = make_parameters(case), make_batch(case)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts anew
    before_kb = memory_kb("VmRSS")
    adam = Adam.at_rest(parameters)
    for _ in range(3):
        step(parameters, adam, batch)
    peak_mb = (memory_kb("VmHWM") - before_kb) / 1024
    geometry = *geometry_of(parameters), batch.views, batch.shifts_px
    projections = ops.project(*geometry, case.box)
    gradient = image_loss(projections, batch.images).by_projection
    slopes, _ = batch_gradient(parameters, batch, 1.0)
    transforms = torch.fft.rfft2(projections)
    eighths = range(0, case.batch, 8)

    def only_transforms() -> None:
        for i in eighths:
            for images in (projections, batch.images.images):
                torch.fft.rfft2(images[i : i + 8])
            torch.fft.irfft2(transforms[i : i + 8], s=(case.box, case.box))

    return {
        "project": fastest(lambda: ops.project(*geometry, case.box), case),
        "compare": fastest(lambda: image_loss(projections, batch.images), case),
        "transforms": fastest(only_transforms, case),
        "gather": fastest(lambda: ops.project_gather(gradient, *geometry), case),
        "adam": fastest(lambda: bound(adam.step(parameters, slopes)), case),
        "step": fastest(lambda: step(parameters, adam, batch), case),
        "peak_mb": peak_mb,
        "image_batch_mb": batch.images.images.nbytes / 2**20,
        **count_pixels(case, parameters, batch),
    }


def count_pixels(case: Case, parameters: Parameters, batch: PosedBatch) -> dict[str, float]:
    """Mean number of pixels per Gaussian and image: inside the support, and computed (rectangles, whole vectors)."""
    inside, computed = [], []
    for rotation, shift in zip(batch.views, batch.shifts_px, strict=True):
        seen, covariances, _ = view(geometry_of(parameters), rotation, shift, case.box)
        reach = DEFAULT_CUT * torch.diagonal(covariances, dim1=1, dim2=2).sqrt()
        columns, rows = (torch.floor(seen + reach) - torch.ceil(seen - reach) + 1).unbind(1)
        inside.append(math.pi * DEFAULT_CUT**2 * torch.linalg.det(covariances).sqrt().mean())
        computed.append((LANES * torch.ceil(columns / LANES) * rows).mean())
    return {"pixels_inside": float(np.mean(inside)), "pixels_computed": float(np.mean(computed))}


def measure_peaks(_: Case) -> dict[str, object]:
    """What the machine can do."""
    return {"gflops": multiply_add_gflops(), "gb_per_s": triad_gb_per_s()}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Relative L2 distance."""
    return float((found.detach() - expected).norm() / expected.norm())


def measure_plain(case: Case) -> dict[str, object]:
    """Times of plain torch for one image, and proof that both compute the same."""
    case = replace(case, batch=1, repeats=min(case.repeats, 3))
    parameters, batch = make_parameters(case), make_batch(case)
    geometry, pose = geometry_of(parameters), (batch.views[0], batch.shifts_px[0], case.box)

    def there_and_back(project: Callable[..., Tensor], n: int) -> None:
        a, b, c, d = (g[:n].detach().requires_grad_() for g in geometry)
        project((a, b, c, d), *pose).backward(batch.images.images[0])  # type: ignore[no-untyped-call]

    def plain_step() -> list[Tensor]:
        return plain_slopes(parameters.tensors(), batch.images, batch.views, batch.shifts_px)

    image = ops.project(*geometry, batch.views, batch.shifts_px, case.box)[0]
    errors = [relative_error(plain_project(geometry, *pose), image)]
    errors += [
        relative_error(a, b) for a, b in zip(plain_step(), batch_gradient(parameters, batch, 1.0)[0], strict=True)
    ]
    if not max(errors) < TOLERANCE:
        raise SystemExit(f"{case}: plain torch and GEM differ by {max(errors):.2g}: one of them is wrong.")
    return {
        "plain_project": fastest(lambda: plain_project(geometry, *pose), case),
        "plain_projection": fastest(lambda: there_and_back(plain_project, case.n), case),
        "plain_step": fastest(plain_step, case),
        "dense_projection_ms": fastest(lambda: there_and_back(dense_project, N_DENSE), case)[0] * case.n / N_DENSE,
        "error": max(errors),
    }


def in_own_process(what: str, case: Case, n_threads: int) -> dict[str, object]:
    """Run one measurement in a fresh process; GEM's without spinning threads of OpenMP, torch's with its defaults."""
    environment = os.environ | ({"OMP_WAIT_POLICY": "PASSIVE"} if what == "engine" else {})
    command = [sys.executable, __file__, "--child", what, "--case", json.dumps(asdict(case))]
    done = subprocess.run(
        [*command, "--threads", str(n_threads)], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


def main() -> None:
    """Parse the command line, measure, print a Markdown page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="a tiny case, to see that everything runs")
    parser.add_argument("--child", choices=("engine", "plain", "peaks"), help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n_threads = threads.configure(arguments.threads)
    if arguments.child:
        case = Case(**json.loads(arguments.case))
        print(
            json.dumps(
                {"engine": measure_engine, "plain": measure_plain, "peaks": measure_peaks}[arguments.child](case)
            )
        )
        return
    cases = QUICK if arguments.quick else CASES
    peaks = in_own_process("peaks", cases[0], n_threads)
    rows = [
        asdict(case) | in_own_process("engine", case, n_threads) | in_own_process("plain", case, n_threads)
        for case in cases
    ]
    print(report(rows, peaks, n_threads))


if __name__ == "__main__":
    main()
