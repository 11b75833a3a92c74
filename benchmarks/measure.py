"""Run a program and measure it; keep results in a CSV table that a rerun updates in place."""

import csv
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Wall-clock and CPU (user + system, all threads) seconds, and the peak resident memory of the process in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run_logged(log: Path, *arguments: object) -> Usage:
    """Run a command on one OpenMP thread with its output in ``log``; a failure stops the script and names the log."""
    command = [str(a) for a in arguments]
    start = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with exit code {process.returncode}: see {log}.")
    return Usage(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)  # ru_maxrss is in KiB on Linux


def update_table(path: Path, row: dict[str, object], keys: tuple[str, ...]) -> None:
    """Add a row to the CSV table, or replace the row with the same keys; floats are written with four digits."""
    text = {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in row.items()}
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [old for old in csv.DictReader(file) if any(old.get(k) != text[k] for k in keys)]
    rows.append(text)
    columns = list(dict.fromkeys(name for r in rows for name in r))
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
