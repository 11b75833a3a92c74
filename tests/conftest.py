"""Shared fixtures and the switches for slow and peer tests."""

import os
from pathlib import Path

import pytest
import torch
from chromium import NAMES, find_chromium

ROOT = Path(__file__).resolve().parent.parent

# Before triton's kernels are imported: without a GPU they run step by step in Python.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run tests marked slow")
    parser.addoption("--peer", action="store_true", help="run tests that need RELION or cryoDRGN")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in ("slow", "peer"):
            if mark in item.keywords and not config.getoption(f"--{mark}"):
                item.add_marker(pytest.mark.skip(reason=f"needs --{mark}"))
        if "browser" in item.keywords and find_chromium() is None:
            item.add_marker(pytest.mark.skip(reason=f"needs a browser: none of {', '.join(NAMES)} is installed"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real files written by RELION, cryoSPARC and cryoDRGN; tests skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real test files (shared/data) is not here")
    return folder
