import numpy as np
import pytest
from io_project import PIXEL_A, Project

from gemmap.io.cs import read_cs
from gemmap.io.cs_write import write_cs
from gemmap.io.pixel_override import override_notes
from gemmap.io.relion import read_relion
from gemmap.io.relion_write import write_star31


@pytest.mark.parametrize(
    ("given", "in_file", "noted"),
    [
        (1.019, [1.0, 1.0], False),
        (1.021, [1.0, 1.0], True),
        (0.97, [1.0], True),
        (1.0, [1.0, 1.5], True),
        (1.0, [np.nan, 0.0, -1.0], False),
        (1.0, [], False),
    ],
)
def test_only_what_cannot_be_a_calibration_is_noted(given: float, in_file: list[float], noted: bool) -> None:
    assert bool(override_notes(given, np.array(in_file))) == noted


def test_both_readers_say_it(project: Project) -> None:
    write_star31(project.folder / "a.star", project.table)
    write_cs(project.folder / "a.cs", project.table)
    for read, name in ((read_relion, "a.star"), (read_cs, "a.cs")):
        assert read(project.folder / name, pixel_size_a=1.01 * PIXEL_A)[1] == ()
        (note,) = read(project.folder / name, pixel_size_a=2.5)[1]
        assert "2.5 Å, is 2 times the file's 1.25 Å" in note
        assert "give --target-pixel-size or --box" in note
