from pathlib import Path

import pytest
from io_project import Project, write_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project folder with ten particles in three stacks."""
    return write_project(tmp_path)
