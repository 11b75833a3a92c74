"""Result groups (.csg): files, slots, names."""

from pathlib import Path

import numpy as np
import pytest
from cs_sample import columns, cs
from io_project import assert_same_particles

from gemmap.errors import InputError
from gemmap.io.cs import read_cs

GROUP = """created: 2024-01-01 12:00:00.000000
group:
  description: All particles that were processed, including alignments
  name: particles
  title: All particles
  type: particle
results:
  alignments3D:
    metafile: '>J12_particles.cs'
    num_items: 3
    type: particle.alignments3D
  blob:
    metafile: '>J12_passthrough_particles.cs'
    num_items: 3
    type: particle.blob
  ctf:
    metafile: '>J12_particles.cs'
    num_items: 3
    type: particle.ctf
version: v4.4.1
"""


class TestGroups:
    def write(self, folder: Path, prefix: str = "") -> Path:
        """The particles over two files, each with fields of slots that the group takes from the other."""
        whole = columns()
        main = {k: v for k, v in whole.items() if not k.startswith("blob/")}
        main["blob/psize_A"] = np.full(3, 9.0, "f4")  # the group says that blob stands elsewhere
        cs(folder / f"{prefix}J12_particles.cs", main)
        other = {k: v[[2, 0, 1]] for k, v in whole.items() if k == "uid" or k.startswith("blob/")}
        cs(folder / f"{prefix}J12_passthrough_particles.cs", other | {"ctf/df1_A": np.full(3, 1.0)})
        (folder / "J12_particles.csg").write_text(GROUP)
        return folder / "J12_particles.csg"

    @pytest.mark.parametrize("prefix", ["", "cryosparc_P7_", "cryosparc_P7_J12_"])
    def test_files_and_slots(self, tmp_path: Path, prefix: str) -> None:
        table, notes = read_cs(self.write(tmp_path, prefix))
        wanted, _ = read_cs(cs(tmp_path / "whole.cs", columns()))
        assert_same_particles(table, wanted, rtol=0)
        assert (table.half.tolist(), notes) == (wanted.half.tolist(), ())

    def test_names_relative_to_the_project(self, tmp_path: Path) -> None:
        (tmp_path / "J12").mkdir()
        file = self.write(tmp_path / "J12")
        file.write_text(GROUP.replace("'>J12_", "'J12/J12_"))
        assert len(read_cs(file)[0]) == 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (GROUP.replace("J12_pass", "J13_pass"), "names J13_passthrough_particles.cs, which is not in"),
            (GROUP.replace("type: particle\n", "type: volume\n"), "group of type 'volume'; expected one of particles"),
            (GROUP.replace("metafile", "file"), "names no metafile for its slot 'alignments3D'"),
            (GROUP.split("results:")[0], "has no results; expected a cryoSPARC group"),
            ("results: [", "is not a readable .csg file"),
            ("results: !!python/object/apply:os.system ['true']", "is not a readable .csg file"),
            ("just text", "has no results"),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, message: str) -> None:
        file = self.write(tmp_path)
        file.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            read_cs(file)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            read_cs(tmp_path / "a.csg")
