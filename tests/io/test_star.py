"""STAR files against the starfile package, and the words of the errors."""

from pathlib import Path

import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from gemmap.errors import FormatError, InputError
from gemmap.io.star import read_star, write_star


def star(folder: Path, text: str) -> Path:
    file = folder / "a.star"
    file.write_text(text)
    return file


class TestReading:
    def test_loop_pairs_and_nameless_block(self, tmp_path: Path) -> None:
        file = star(tmp_path, "data_\nloop_\n_a #1\n_b #2\n1 x\n2.5 'y z'\n\ndata_one\n_c 7\n_d \"\"\n")
        tables = read_star(file)
        assert list(tables) == ["", "one"]
        assert tables[""].floats("a").tolist() == [1.0, 2.5]
        assert tables[""].strings("b") == ["x", "y z"]
        assert len(tables["one"]) == 1
        assert (tables["one"].ints("c").tolist(), tables["one"].strings("d")) == ([7], [""])
        assert tables[""].labels == ("a", "b")
        assert "c" in tables["one"]
        assert "c" not in tables[""]

    def test_columns_outlive_the_dictionary(self, tmp_path: Path) -> None:
        table = read_star(star(tmp_path, "data_\nloop_\n_a\n" + "1\n" * 1000))[""]
        assert table.floats("a").sum() == 1000

    def test_whole_numbers_written_as_floats(self, tmp_path: Path) -> None:
        table = read_star(star(tmp_path, "data_\nloop_\n_a\n1\n2.000\n"))[""]
        assert table.ints("a").tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("column", "method", "message"),
        [
            ("1\n?\n", "floats", r"a\.star: a of row 2 is '\?'; expected a number"),
            ("1\n2.5\n", "ints", r"a\.star: a of row 2 is 2\.5; expected a whole number"),
            ("nan\n", "ints", "expected a whole number"),
        ],
    )
    def test_values_that_are_not_numbers(self, tmp_path: Path, column: str, method: str, message: str) -> None:
        table = read_star(star(tmp_path, f"data_\nloop_\n_a\n{column}"))[""]
        with pytest.raises(FormatError, match=message):
            getattr(table, method)("a")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "has no table"),
            ("data_x\n", "has no table"),
            ("hello world\n", "not a valid STAR file"),
            ("data_\nloop_\n_a\n_b\n1 2 3\n", r"not a valid STAR file \(line 5 has 3 of 2 values\)"),
            ("data_x\n_k 1\ndata_\nloop_\n_a #1\n_b #2\n# c\n1 2\n\n3\n4 5\n", r"\(line 10 has 1 of 2 values\)"),
            ("data_\nloop_\n_a\n_b\n'1 2' 3\n4\n", "not a valid STAR file .*line 6 has 1 of 2 values"),
            ("data_\nloop_\n_a\n_b\n'1 2'\n", "not a valid STAR file .*Wrong number of values"),
            ("data_\nloop_\n_a\n1\ndata_\nloop_\n_b\n1\n", "duplicate block name"),
            ("data_\nloop_\n_a\n_a\n1 2\n", "duplicate tag"),
        ],
    )
    def test_text_that_is_no_star_file(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(FormatError, match=message) as caught:
            read_star(star(tmp_path, text))
        assert "\n" not in str(caught.value)

    def test_binary_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.star").write_bytes(bytes(range(256)) * 8)
        with pytest.raises(FormatError, match="not a valid STAR file"):
            read_star(tmp_path / "a.star")

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.star", tmp_path):
            with pytest.raises(InputError, match="is not a file"):
                read_star(path)


class TestWriting:
    def test_starfile_reads_what_we_write(self, tmp_path: Path) -> None:
        columns = {"rlnName": ["a b", "c", ""], "rlnX": np.array([1.5, -2e-9, 1e12]), "rlnN": np.array([1, 2, 3])}
        write_star(
            tmp_path / "a.star", {"optics": {"k": ["x", "y"]}, "particles": columns}, ["one", "two"], "version 1"
        )
        got = starfile.read(tmp_path / "a.star")["particles"]
        assert got["rlnX"].tolist() == [1.5, -2e-9, 1e12]
        assert got["rlnN"].tolist() == [1, 2, 3]
        assert got["rlnName"].tolist() == ["a b", "c", ""]
        text = (tmp_path / "a.star").read_text()
        assert text.startswith("# one\n# two\n")
        assert text.count("# version 1\n\ndata_") == 2

    @given(
        st.lists(
            st.tuples(
                st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12).filter(
                    lambda t: not ("'" in t and '"' in t)
                ),
                st.floats(allow_nan=False, allow_infinity=False, width=32),
            ),
            min_size=1,
            max_size=20,
        )
    )
    def test_what_is_written_is_read(
        self, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]
    ) -> None:
        file = tmp_path_factory.mktemp("star") / "a.star"
        names, numbers = [list(column) for column in zip(*rows, strict=True)]
        write_star(file, {"x": {"name": names, "number": np.array(numbers)}})
        table = read_star(file)["x"]
        assert table.strings("name") == names
        np.testing.assert_allclose(table.floats("number"), numbers, rtol=1e-9)

    def test_columns_of_different_length(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="shorter"):
            write_star(tmp_path / "a.star", {"x": {"a": ["1", "2"], "b": ["1"]}})
        assert not list(tmp_path.iterdir())


REAL = [
    "relion/relion31.star",
    "relion/relion31.v2.star",
    "relion/relion31.6opticsgroups.star",
    "relion/relion5.star",
    "relion/FinalRefinement-OriginalParticles-PfCRT.star",
    "relion/empiar_10076_7.star",
    "relion/toy.star",
    "relion/relion_proj_batch_pfac2.star",
    "tilt/sta_testing_bin8.star",
    "malformed/M_particles_sub10.star",
    "malformed/loop_double_quote.star",
    "malformed/loop_single_quote.star",
    "malformed/one_loop.star",
    "malformed/postprocess.star",
    "malformed/rln3.1_data_style.star",
    "malformed/run_it025_optimiser_3D.star",
    "malformed/run_it025_sampling_3D.star",
    "malformed/single_line_middle_of_multiblock.star",
    "malformed/two_single_line_loop_blocks.star",
]


@pytest.mark.parametrize("name", REAL)
def test_real_file_reads_as_starfile_reads_it(shared_data: Path, name: str) -> None:
    ours = read_star(shared_data / name)
    theirs = starfile.read(shared_data / name, always_dict=True, parse_as_string=[])
    assert set(ours) == set(theirs)
    for block, columns in theirs.items():
        assert set(ours[block].labels) == set(columns)
        for label in columns:
            wanted = [columns[label]] if isinstance(columns, dict) else list(columns[label])
            if all(isinstance(value, str) for value in wanted):
                assert ours[block].strings(label) == wanted
            elif not any(isinstance(value, str) or np.isnan(value) for value in wanted):  # NaN: empty text there
                np.testing.assert_allclose(ours[block].floats(label), np.array(wanted, float))


def test_empty_loop(shared_data: Path) -> None:
    assert len(read_star(shared_data / "malformed" / "empty_loop.star")[""]) == 0
