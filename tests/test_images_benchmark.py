"""The benchmark of the images engine runs, and finds that plain torch computes the same."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "images_engine.py"


@pytest.mark.slow
def test_the_quick_benchmark_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--threads", "1"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| 32 | 200 | 0.5 to 1.2 |")]
    assert len(rows) == 4
    assert float(rows[1][-1].rstrip(" |")) < 1e-3
