"""Dead images in a whole run: left out of both engines, counted, recorded, and the same after a resume."""

import json
from collections.abc import Callable
from pathlib import Path

import fake_fit
import numpy as np
import pytest
from job_records import results_without_times

from gemmap.fit import one_pass
from gemmap.io.relion import read_relion

OPTIONS = ("--max-steps", 2, "--n-gaussians", 100, "--threads", 1, "--checkpoint-interval", 0)
AGGREGATE = (*OPTIONS, "--particle-diameter", 170)
IMAGES = (*AGGREGATE, "--engine", "images", "--epochs", 1)
BOX = 40


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "CHUNK_BYTES", 40 * 4 * BOX**2)
    fake_fit.draw_nothing(monkeypatch)


def kill(particles: Path, images: dict[int, float]) -> None:
    """Set a pixel of images to NaN or infinity, or all pixels to a number."""
    with open(particles.parent / "particles.mrcs", "r+b") as handle:
        for image, value in images.items():
            handle.seek(1024 + 4 * BOX**2 * image)
            n = BOX**2 if np.isfinite(value) else 1
            handle.write(np.full(n, value, "<f4").tobytes())


def without(particles: Path, images: list[int]) -> Path:
    """A STAR file that does not name these images."""
    names = tuple(f"{image + 1:06d}@" for image in images)
    lines = particles.read_text().splitlines()
    path = particles.parent / "fewer.star"
    path.write_text("\n".join(line for line in lines if not line.startswith(names)) + "\n")
    return path


def curves(run: Path) -> np.ndarray:
    return np.genfromtxt(run / "fsc.csv", delimiter=",", names=True)["cross_fsc_map"]


@pytest.mark.parametrize("options", [AGGREGATE, IMAGES, OPTIONS], ids=["aggregate", "images", "diameter found"])
def test_two_in_two_hundred(gemmap: Callable, particles: Path, tmp_path: Path, options: tuple) -> None:
    whole = gemmap("reconstruct", particles, "-o", tmp_path / "whole", *options)
    assert whole.code == 0
    kill(particles, {57: np.nan, 190: 3.5})
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *options)
    assert outcome.code == 0, outcome.err
    assert "198 used, 2 excluded (2 dead images)\n" in outcome.out
    assert "images are dead and left out (particle" in outcome.out
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert job["results"]["dead_images"] == {"58": "000058@particles.mrcs", "191": "000191@particles.mrcs"}
    assert (job["results"]["n_particles"], job["results"]["n_excluded"]) == (198, 2)
    assert sum(job["results"]["fits"][name]["n_particles"] for name in ("half1", "half2")) == 198
    assert job["results"]["fits"]["full"]["n_particles"] == 198
    assert job["results"]["n_half1"] + job["results"]["n_half2"] == 198
    assert "2 of 200 images are dead" in job["notes"][-1]
    used, _ = read_relion(tmp_path / "run" / "particles.star")
    assert sorted({*range(200)} - set(used.index_in_stack.tolist())) == [57, 190]
    # Two particles of 200 change little, whereas one NaN would have spoilt everything.
    assert np.abs(curves(tmp_path / "run") - curves(tmp_path / "whole"))[:8].max() < 0.05


def test_particles_as_used_keep_their_own_size(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    """The run works in another box; its particles.star describes the images on disk, which are as they were."""
    kill(particles, {57: np.nan})
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *AGGREGATE, "--box", 36)
    assert outcome.code == 0, outcome.err
    before, _ = read_relion(particles)
    used, _ = read_relion(tmp_path / "run" / "particles.star")
    assert len(used) == 199
    assert [(g.box_px, g.pixel_size_a) for g in used.optics] == [(g.box_px, g.pixel_size_a) for g in before.optics]
    assert gemmap("check", tmp_path / "run" / "particles.star").code == 0


def test_as_if_they_were_not_there(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    """The back-projection of a half is that of a file without them; noise is measured on all images here."""
    fewer = without(particles, [57, 190])
    assert gemmap("reconstruct", fewer, "-o", tmp_path / "fewer", *AGGREGATE).code == 0
    kill(particles, {57: -np.inf, 190: 0.0})
    assert gemmap("reconstruct", particles, "-o", tmp_path / "run", *AGGREGATE).code == 0
    for half in (1, 2):
        ours, theirs = (
            np.fromfile(tmp_path / name / f"backprojection_half{half}.mrc", "<f4", offset=1024)
            for name in ("run", "fewer")
        )
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("options", [AGGREGATE, IMAGES], ids=["aggregate", "images"])
@pytest.mark.parametrize("n_saves", [2, 4, 9])
def test_resumed(
    gemmap: Callable,
    particles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    options: tuple,
    n_saves: int,
) -> None:
    kill(particles, {57: np.nan, 190: 3.5})
    assert gemmap("reconstruct", particles, "-o", tmp_path / "whole", *options).code == 0
    from gemmap.io.checkpoint import Checkpoint

    keep, left = Checkpoint.keep, [n_saves]

    def stop(self: Checkpoint, *arguments: object) -> None:
        keep(self, *arguments)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "keep", stop)
        assert gemmap("reconstruct", particles, "-o", tmp_path / "run", *options).code == 130
    outcome = gemmap("reconstruct", "--resume", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "198 used, 2 excluded (2 dead images)\n" in outcome.out
    for file in (tmp_path / "whole").glob("*.mrc"):
        assert (tmp_path / "run" / file.name).read_bytes() == file.read_bytes(), file.name
    assert results_without_times(tmp_path / "run") == results_without_times(tmp_path / "whole")
    assert (tmp_path / "run" / "particles.star").read_bytes() == (tmp_path / "whole" / "particles.star").read_bytes()


def test_more_than_one_percent(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    kill(particles, {57: np.nan, 58: 0.0, 190: 3.5})
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *AGGREGATE)
    assert outcome.code == 2
    assert "3 of 200 images, as far as they were read, are dead" in outcome.err
    assert "; particles 58, 59, 191); at most 1 % can be left out: remove these particles or" in outcome.err
    assert outcome.err.count("\n") == 1
    assert json.loads((tmp_path / "run" / "job.json").read_text())["status"] == "failed"
