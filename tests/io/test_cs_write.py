"""Writing .cs files: round trips, and what cannot be said; whole conversions are in tests/api."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from io_project import assert_same_particles, random_table

from gemmap.errors import InputError
from gemmap.io.cs import read_cs
from gemmap.io.cs_write import with_low_orders_moved, write_cs


class TestWriting:
    @pytest.mark.parametrize("n", [1, 2, 11])
    def test_round_trip(self, tmp_path: Path, n: int) -> None:
        table = replace(random_table(n), image_sign=np.where(np.arange(n) % 2, 1.0, -1.0), scale=np.linspace(1, 2, n))
        write_cs(tmp_path / "a.cs", table)
        back, notes = read_cs(tmp_path / "a.cs")
        assert notes == ()
        assert_same_particles(back, table)
        for name in ("half", "image_sign", "optics_group"):
            np.testing.assert_array_equal(getattr(back, name), getattr(table, name))
        np.testing.assert_allclose(back.scale, table.scale, rtol=1e-6)

    def test_without_ctf_or_halves(self, tmp_path: Path) -> None:
        write_cs(tmp_path / "a.cs", replace(random_table(3), ctf=None, half=np.zeros(3, int)))
        names = np.load(tmp_path / "a.cs").dtype.names
        assert not [name for name in names if name.startswith("ctf/") or name.endswith("split")]

    def test_unknown_box(self, tmp_path: Path) -> None:
        table = random_table(3)
        table = replace(table, optics=tuple(replace(g, box_px=None) for g in table.optics))
        with pytest.raises(InputError, match="box of the images"):
            write_cs(tmp_path / "a.cs", table)

    def test_aberrations_of_a_group_with_two_voltages(self, tmp_path: Path) -> None:
        """Its phases are the group's whatever the voltage, whereas lengths in Å depend on the wavelength."""
        table = random_table(6)
        optics = tuple(replace(group, odd_zernike=(2.0, 4.0, 0.3, 1.0, 2.0, 0.2)) for group in table.optics)
        assert table.ctf is not None
        ctf = replace(table.ctf, voltage_kv=np.array([300.0, 200.0, 300.0, 200.0, 200.0, 300.0]))
        table = with_low_orders_moved(replace(table, optics=optics, ctf=ctf))
        write_cs(tmp_path / "a.cs", table)
        back, _ = read_cs(tmp_path / "a.cs", aberrations="model")
        for row in range(6):
            ours, theirs = (t.optics[t.optics_group[row]].odd_zernike for t in (table, back))
            np.testing.assert_allclose(theirs, ours, rtol=1e-5)
