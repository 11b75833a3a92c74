"""The news of a run as a fit tells them, made up: for pages that show a run while it goes on."""

import numpy as np
import torch

from gemmap.fit.moments import Moment
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult, StepRecord
from gemmap.gaussians.model import Gaussians

BOX, CUBE = 32, 24
#: What a page must not take for markup.
MARKUP = "<img src=x onerror='window.broken=1'> & <script>window.broken=1</script>"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def volume(size: int, width: float = 6.0) -> np.ndarray:
    """A smooth body, longest along x and shortest along z."""
    axis = (np.arange(size) - size // 2) / width
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.exp(-(0.5 * x**2 + y**2 + 2.0 * z**2)).astype(np.float32)


def cube(width: float = 6.0) -> torch.Tensor:
    return torch.from_numpy(volume(CUBE, width))


def result(n_steps: int = 3) -> FitResult:
    one = volume(BOX)
    return FitResult(
        map=one,
        backprojection=one,
        voxels=one,
        gaussians=Gaussians(torch.zeros(3, 3), torch.ones(3, 3), torch.eye(4)[:1].repeat(3, 1), torch.ones(3)),
        steps=tuple(StepRecord(i, -1000.0 * i, 0.1 * i, 500) for i in range(n_steps + 1)),
        stopped_because="the score no longer rises",
        seed=1,
        n_particles=10,
    )


def trials(progress: Progress, name: str) -> None:
    with stage(progress, "trial voxels", 4, "iterations"):
        for i in range(1, 5):
            progress.advance(1)
            progress.moment(Moment(f"trials {name}", "voxels", i, lambda i=i: cube(3.0 + i)))
    with stage(progress, "trial Gaussians", 6, "steps"):
        for i in range(7):
            progress.advance(min(i, 1))
            score = None if i % 2 else 0.8 + 0.01 * i
            progress.moment(Moment(f"trials {name}", "Gaussians", i, cube, -900.0 * i, 480, score))


def fit(progress: Progress, name: str) -> None:
    with stage(progress, "Gaussians", 3, "steps"):
        for i in range(4):
            progress.advance(min(i, 1), f"loss {-1000 * i}")
            progress.moment(Moment(f"fit {name}", "Gaussians", i, cube, -1000.0 * i, 500))
    progress.result(name, result())


def half_a_run(progress: Progress) -> None:
    """Half 1 is done, half 2 is being read."""
    progress.note(f"half 1: particle diameter estimated {MARKUP}")
    with stage(progress, "reading and inserting particles of half 1", 5000, "particles"):
        progress.advance(5000)
    trials(progress, "half1")
    fit(progress, "half1")
    progress.start("reading and inserting particles of half 2", 5000, "particles")
    progress.advance(2000)
