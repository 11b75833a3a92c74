"""The record of a run: everything needed to judge it and to repeat it, as job.json, config.yaml and README.txt."""

import importlib.metadata
import json
import math
import os
import platform
import re
import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml

from gemmap.io.atomic import atomic_path
from gemmap.validate.resolution import Resolution

#: Libraries whose versions can change a result or a running time.
_LIBRARIES = ("numpy", "scipy", "torch", "numba", "triton", "mrcfile", "gemmi", "safetensors", "matplotlib")

#: Files of a run folder, in the order of a reader's interest.
RUN_FILES: Mapping[str, str] = {
    "report.html": "report of the run for a browser: curves, slices, the map in 3-D, the record",
    "run_class001.mrc": "final map from all particles (float32, particle positive)",
    "run_class001_sharpened.mrc": "final map weighted by the cross-FSC, sharpened, cut at its resolution",
    "run_half1_class001_unfil.mrc": "map of half-set 1, unfiltered and unmasked, for deposition and PostProcess",
    "run_half2_class001_unfil.mrc": "map of half-set 2, likewise; nothing was shared between the two fits",
    "backprojection.mrc": "Wiener back-projection of all particles: the baseline",
    "backprojection_half1.mrc": "Wiener back-projection of half-set 1",
    "backprojection_half2.mrc": "Wiener back-projection of half-set 2",
    "voxels.mrc": "non-negative voxels fitted to all particles: the second baseline",
    "voxels_half1.mrc": "non-negative voxels fitted to half-set 1",
    "voxels_half2.mrc": "non-negative voxels fitted to half-set 2",
    "mask.mrc": "soft mask of the masked curves, 0 (solvent) to 1 (particle)",
    "gaussians.safetensors": "the fitted Gaussians of the final map (centres and scales in Å)",
    "gaussians_half1.safetensors": "the fitted Gaussians of half-set 1",
    "gaussians_half2.safetensors": "the fitted Gaussians of half-set 2",
    "aggregate_half1.safetensors": "what the images of half-set 1 say; aggregates of different particles add",
    "aggregate_half2.safetensors": "what the images of half-set 2 say",
    "fsc.csv": "all curves over Fourier shells",
    "fsc.png": "the main curves drawn, with the resolution",
    "fsc.star": "half-map FSC and Guinier plot, as relion_postprocess writes them",
    "fsc.xml": "corrected half-map FSC for deposition at the EMDB",
    "locres.mrc": "local resolution of the half-maps in Å",
    "locres_backprojection.mrc": "local resolution of the back-projections of the same half-sets in Å",
    "locres_filtered.mrc": "final map low-passed at the local resolution of the half-maps",
    "locres.cxc": "ChimeraX: colours the sharpened map by locres.mrc",
    "locres.png": "slices coloured by local resolution, and its histogram",
    "direction.csv": "resolution along 256 directions, of half-maps and back-projections",
    "views.csv": "density of views along 1,000 directions",
    "directions.png": "views and resolution over the half-sphere of directions",
    "slices.png": "central slices of the maps, all with the same grey scale",
    "evidence.png": "tests of the run on changed particles, drawn",
    "evidence.json": "what they found",
    "evidence_noise_substitution.csv": "FSC with noise in the place of signal beyond a resolution",
    "evidence_held_out.csv": "agreement with particles that were never fitted",
    "evidence_pure_noise.csv": "FSC of two reconstructions of noise",
    "evidence_particle_count.csv": "resolution of fewer particles",
    "history.csv": "resolution against the number of particles, one row for every fit of gemmap watch",
    "held_out.csv": "agreement of the trial fits' maps with particles they did and did not see",
    "noise.csv": "noise power spectra over Fourier shells",
    "particles.star": "the particles as used, with their half-sets",
    "job.json": "record of the run: versions, machine, inputs, seeds, timings, results, notes",
    "config.yaml": "every option with the value it had; give it to --config to repeat the run",
    "command.txt": "the command line",
    "run.log": "messages of the run",
}


@dataclass(frozen=True)
class InputFile:
    """A file that is read; size and time of its last change are None if it is not there."""

    path: Path
    size_bytes: int | None
    modified: datetime | None

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the file as it is now."""
        try:
            stat = path.stat()
        except OSError:  # the record of a run that failed because a file is missing names that file
            return cls(path, None, None)
        return cls(path, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


@dataclass(frozen=True)
class RunRecord:
    """A run, from the moment it starts (status "running") to its end.

    Attributes
    ----------
    argv
        Command line.
    config
        Every option with its resolved value.
    seeds
        Seed of each random choice by name.
    inputs
        Files read, as they were when the run started.
    started, stopped
        With a time zone; ``stopped`` is None while running.
    resumed
        When it was taken up again.
    seconds
        Wall time by stage.
    resolutions
        By name; their estimator, mask, threshold and whether they are at Nyquist go with them.
    results
        Further numbers by name.
    notes
        Warnings and choices made for the user, one sentence each.
    """

    argv: Sequence[str]
    config: Mapping[str, Any]
    seeds: Mapping[str, int]
    inputs: Sequence[InputFile]
    started: datetime
    status: Literal["running", "finished", "failed", "interrupted"] = "running"
    stopped: datetime | None = None
    resumed: Sequence[datetime] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    resolutions: Mapping[str, Resolution] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_job(path: Path, record: RunRecord) -> None:
    """Write job.json: the record, and the software, machine and peak memory as they are at this moment.

    Keys are sorted; numbers that are not finite become null.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    content = {
        "argv": record.argv,
        "config": record.config,
        "hardware": describe_hardware(),
        "inputs": record.inputs,
        "notes": record.notes,
        "peak_memory_bytes": peak_memory_bytes(),
        "resolutions": {name: {"text": str(value), **to_plain(value)} for name, value in record.resolutions.items()},
        "results": record.results,
        "resumed": record.resumed,
        "seconds": record.seconds,
        "seeds": record.seeds,
        "software": describe_software(),
        "started": record.started,
        "status": record.status,
        "stopped": record.stopped,
    }
    plain = _null_for_not_finite(to_plain(content))
    text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    _write_text(path, text + "\n")


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write config.yaml in the order of the mapping; ``yaml.safe_load`` gives the same values back."""
    _write_text(path, yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True))


def write_readme(folder: Path, descriptions: Mapping[str, str] = RUN_FILES) -> None:
    """Write README.txt: what each file of the folder is. Files of ``descriptions`` that are not there are left out."""
    present = {name: text for name, text in descriptions.items() if (folder / name).exists()}
    width = max(map(len, present), default=0)
    lines = [f"{name:<{width}}  {text}" for name, text in present.items()]
    head = f"Files written by gemmap {gemmap_version()}, cryo-EM reconstruction with 3D Gaussians."
    _write_text(folder / "README.txt", "\n".join([head, "", *lines]) + "\n")


def describe_hardware() -> dict[str, Any]:
    """Return processor, cores of the machine and cores this process may use, memory, GPUs and operating system."""
    return {
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "gpus": _gpu_names(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": platform.platform(),
    }


def describe_software() -> dict[str, Any]:
    """Return the versions of gemmap (with the commit, run from a checkout), Python and the libraries that matter."""
    libraries = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "gemmap": gemmap_version(),
        "git_commit": git_commit(Path(__file__)),
        "libraries": libraries,
        "python": platform.python_version(),
    }


def gemmap_version() -> str:
    """Return the version of the installed package."""
    return importlib.metadata.version("gemmap")


def git_commit(source: Path) -> str | None:
    """Return the commit of the checkout that tracks the file ``source``, with "-dirty" after it if files were changed.

    None outside a checkout, also where the package is installed inside somebody else's, or if git is not there.
    """
    folder = source.resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", source.name) is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def peak_memory_bytes() -> int:
    """Return the largest resident memory this process has had.

    Where there is /proc, its high-water mark: ``ru_maxrss`` starts at the memory of the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    mark = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return 1024 * (int(mark[1]) if mark else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def to_plain(value: Any) -> Any:
    """Return ``value`` made of dict, list, str, int, float, bool and None only.

    Dataclasses and mappings become dicts; sequences and arrays lists; NumPy scalars Python's; paths and times text;
    members of an enumeration their value.

    Raises
    ------
    TypeError
        For any other type: a record never holds a guess at what an object means.
    """
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, np.ndarray | np.generic):  # before float, which np.float64 claims to be
        return to_plain(value.tolist())
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    raise TypeError(f"cannot record a {type(value).__name__}: {value!r}")


def _null_for_not_finite(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _null_for_not_finite(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_null_for_not_finite(item) for item in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # ARM kernels give no model name


def _gpu_names() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _write_text(path: Path, text: str) -> None:
    # Names that are not UTF-8 hold characters that cannot be encoded; JSON and YAML read their escapes back.
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
