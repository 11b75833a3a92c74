"""Large sets: a million rows of metadata, and a long pass over images whose memory must not grow.

``python benchmarks/scale.py FOLDER`` makes the files in FOLDER (0.9 GB, removed at the end but for ``--keep``), reads
the metadata in processes of their own, and inserts 100,000 particles of 256 px: a stack of 2,000 images named fifty
times, since no number in the pass depends on what the images are.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.one_pass import CHUNK_BYTES, aggregate_half
from gemmap.fit.progress import Silent
from gemmap.io.cs_write import write_cs
from gemmap.io.formats import read_particles
from gemmap.io.mrc import write_stack
from gemmap.io.relion_write import write_star31
from gemmap.kernels import threads
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters
from gemmap.report.record import describe_hardware, git_commit

PIXEL_SIZE_A = 1.1
STACK_IMAGES = 2000
#: Columns that a refinement writes and nobody reads: they make the file as long as real ones.
IDLE_COLUMNS = (
    "rlnCoordinateX", "rlnCoordinateY", "rlnCtfMaxResolution", "rlnCtfFigureOfMerit", "rlnGroupNumber",
    "rlnClassNumber", "rlnNormCorrection", "rlnLogLikeliContribution", "rlnMaxValueProbDistribution",
    "rlnNrOfSignificantSamples",
)  # fmt: skip
READ = """
import sys, time
from pathlib import Path
from gemmap.io.cs import read_cs
from gemmap.io.relion import read_relion
from gemmap.report.record import peak_memory_bytes
path = Path(sys.argv[1])
started = peak_memory_bytes()
wall, cpu = time.perf_counter(), time.process_time()
table, _ = (read_cs if path.suffix == ".cs" else read_relion)(path)
import json
print(json.dumps([len(table), time.perf_counter() - wall, time.process_time() - cpu, peak_memory_bytes(), started]))
"""


def make_table(n: int, per_stack: int, n_stacks: int, box_px: int) -> ParticleTable:
    """Random poses and defoci; particles go round the stacks' images."""
    rng = np.random.default_rng(0)
    defocus = rng.uniform(8e3, 2e4, n)
    names = tuple(f"Extract/job012/Movies/FoilHole_{i:07d}_fractions.mrcs" for i in range(n_stacks))
    image = np.arange(n) % (per_stack * n_stacks)
    return ParticleTable(
        rotations=Rotation.random(n, random_state=0).as_matrix(),
        shifts_a=rng.normal(0, 2, (n, 2)),
        ctf=CtfParameters(
            defocus_u_a=defocus,
            defocus_v_a=defocus - rng.uniform(0, 500, n),
            defocus_angle_rad=rng.uniform(-1.5, 1.5, n),
            voltage_kv=np.full(n, 300.0),
            cs_mm=np.full(n, 2.7),
            amplitude_contrast=np.full(n, 0.1),
            phase_shift_rad=np.zeros(n),
            bfactor_a2=np.zeros(n),
            scale=np.ones(n),
        ),
        scale=np.ones(n),
        optics_group=np.zeros(n, np.int64),
        optics=(OpticsGroup("opticsGroup1", PIXEL_SIZE_A, box_px),),
        half=1 + np.arange(n) % 2,
        stack_of=image // per_stack,
        index_in_stack=image % per_stack,
        stacks=names,
        image_sign=np.ones(n),
    )


def add_idle_columns(star: Path) -> None:
    """Append columns to the particle table of a file as our writer makes it."""
    rng = np.random.default_rng(1)
    whole = np.array([label == "rlnClassNumber" for label in IDLE_COLUMNS])
    numbers = np.where(whole, 1.0, rng.uniform(0, 4000, (1000, len(IDLE_COLUMNS))))
    values = [" ".join(f"{x:12.6f}" for x in row) for row in numbers]
    original = star.rename(star.with_suffix(".short"))
    with original.open() as before, star.open("w") as after:
        in_particles, written, row = False, False, 0
        for line in before:
            in_particles |= line.startswith("data_particles")
            if in_particles and "@" in line:
                if not written:
                    after.writelines(f"_{label} #{i}\n" for i, label in enumerate(IDLE_COLUMNS, 100))
                    after.write("_rlnMicrographName #200\n")
                    written = True
                mic = f"MotionCorr/job002/Movies/FoilHole_{row // 200:07d}_fractions.mrc"
                line = f"{line.rstrip()} {values[row % 1000]} {mic}\n"
                row += 1
            after.write(line)
    original.unlink()


def read_million(folder: Path, n: int) -> None:
    table = make_table(n, 200, -(-n // 200), 256)
    star, cs = folder / "million.star", folder / "million.cs"
    write_star31(star, table)
    add_idle_columns(star)
    write_cs(cs, table)
    del table
    print("| file | rows | MB | wall s | CPU s | peak memory, GB |\n| --- | --- | --- | --- | --- | --- |")
    for path, name in ((star, "STAR 3.1"), (cs, ".cs")):
        done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
        rows, wall, cpu, peak, _ = json.loads(done.stdout)
        size = path.stat().st_size / 1e6
        print(f"| {name} | {rows:,} | {size:.0f} | {wall:.1f} | {cpu:.1f} | {peak / 1e9:.2f} |", flush=True)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watch(Silent):
    """Resident memory after every chunk."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = [(0, resident_bytes())]

    def advance(self, done: int, text: str = "") -> None:
        self.samples.append((self.samples[-1][0] + done, resident_bytes()))


def long_pass(folder: Path, n: int, box_px: int, n_threads: int | None) -> None:
    n_threads = threads.configure(n_threads)
    table = make_table(n, STACK_IMAGES, 1, box_px)
    stack = folder / table.stacks[0]
    stack.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    write_stack(
        stack, (rng.normal(size=(box_px, box_px)).astype(np.float32) for _ in range(STACK_IMAGES)), PIXEL_SIZE_A, 12
    )
    star = folder / "many.star"
    write_star31(star, table)
    loaded = read_particles(star)
    watch = Watch()
    noise = np.full((1, box_px), 1.0 / box_px**2)
    wall, cpu = time.perf_counter(), time.process_time()
    split = aggregate_half(
        loaded.table, loaded.stack, np.arange(n), noise, 1, DeadImages(n), watch, RunState(Forgetful(), watch)
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert sum(part.n_particles for part in split.sets()) == n
    samples = np.array(watch.samples[1:])
    tenth = samples[samples[:, 0] >= 0.1 * n]
    print(
        f"\n{n:,} particles of {box_px} px on {n_threads} threads, float16, chunks of {CHUNK_BYTES / 2**20:.0f} MiB: "
        f"{wall:.0f} s, {n / wall:.0f} particles/s, {1e3 * cpu / n:.2f} CPU ms each.\n\n"
        "| part of the pass | resident memory, GB |\n| --- | --- |"
    )
    for part in (0.01, 0.1, 0.25, 0.5, 0.75, 1.0):
        done, resident = samples[np.searchsorted(samples[:, 0], part * n)]
        print(f"| {100 * done / n:.0f} % | {resident / 1e9:.3f} |")
    print(f"\nLargest from a tenth on over that at a tenth: {tenth[:, 1].max() / tenth[0, 1]:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--particles", type=int, default=10**5)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--part", choices=("rows", "pass"), help="only one of the two")
    parser.add_argument("--keep", action="store_true", help="leave the files there")
    args = parser.parse_args()
    machine = describe_hardware()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("gemmap", "numpy", "numba", "gemmi"))
    print(
        f"{machine['cpu']}, {machine['cores_usable']} cores, Python {platform.python_version()}, {versions}; commit "
        f"{(git_commit(Path(__file__)) or 'unknown')[:13]}; other programs ran beside it: load "
        f"{os.getloadavg()[0]:.1f}\n",
        flush=True,
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        if args.part != "pass":
            read_million(args.folder, args.rows)
        if args.part != "rows":
            long_pass(args.folder, args.particles, args.box, args.threads)
    finally:
        if not args.keep:
            names = ("million.star", "million.cs", "many.star", make_table(1, 1, 1, 16).stacks[0])
            for name in names:
                (args.folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
