"""What two records of the same run have in common."""

import json
from pathlib import Path
from typing import Any


def results_without_times(run: Path) -> dict[str, Any]:
    """Results of job.json without what the clock says: the rate, and the seconds of the check and of every step."""
    results: dict[str, Any] = json.loads((run / "job.json").read_text())["results"]
    assert results.pop("images_per_second") > 0
    assert results["checks"].pop("seconds") >= 0
    for fit in results["fits"].values():
        for step in fit["steps"]:
            assert step.pop("seconds") >= 0
    return results
