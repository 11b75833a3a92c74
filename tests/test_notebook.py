"""The notebook of the documentation runs from top to bottom in a kernel of its own, and what it finds is right."""

import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"
#: Run after the last cell: what the notebook computed, as plain numbers.
_ASK = (
    "_found = [true.value_a, result.resolution.value_a, float(np.mean(true_curve[1:-2])), "
    "float(np.mean(gemmap.fsc(result.backprojection, simulation.truth, result.mask)[1:-2])), fine.map.shape[0], "
    "len(plt.get_fignums())]\nprint(*_found)"
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::ResourceWarning")
def test_the_notebook_runs_and_its_map_is_better_than_back_projection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "TMPDIR", "JUPYTER_CONFIG_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("OMP_WAIT_POLICY", os.environ.get("OMP_WAIT_POLICY", "PASSIVE"))
    notebook = nbformat.read(NOTEBOOK, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(_ASK))
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    true_a, stated_a, ours, baseline, fine_px, _ = map(float, notebook.cells[-1].outputs[0].text.split())
    assert true_a == pytest.approx(stated_a, rel=0.15)
    assert ours > baseline + 0.02
    assert fine_px == 96
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5


def test_the_stored_notebook_is_one_that_ran_and_is_small() -> None:
    """Whoever opens it without running it sees its pictures."""
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(np.arange(len(code)) + 1)
    assert all("Error" not in output.get("output_type", "") for cell in code for output in cell.outputs)
    assert NOTEBOOK.stat().st_size < 400_000
    assert "/tmp" not in NOTEBOOK.read_text(encoding="utf-8")
