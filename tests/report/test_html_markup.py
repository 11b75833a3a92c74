"""Markup made of values: escaping, data in scripts, packed arrays and images."""

import base64
import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gemmap.report.html.markup import Html, image_source, join, json_script, numbers, packed, table, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = tag("b", "a < b & \"c\" 'd'")
    assert tag("p", "<i>", inner, None, 3, class_="x", data_y='"><script>', hidden=True, id=None) == (
        '<p class="x" data-y="&quot;&gt;&lt;script&gt;" hidden>&lt;i&gt;'
        "<b>a &lt; b &amp; &quot;c&quot; &#x27;d&#x27;</b>3</p>"
    )
    assert tag("br") == "<br>"
    assert isinstance(join(["<", Html("<br>")], " "), Html)
    assert join(["<", Html("<br>")], " ") == "&lt; <br>"


def test_characters_that_no_page_holds_are_spelled() -> None:
    assert tag("p", "a\udcffb\x00c\nd\u202ee") == "<p>a\\udcffb\\x00c\nd\\x202ee</p>"


def test_tables_name_their_rows() -> None:
    assert '<th scope="row">&lt;</th><td>1</td>' in table([("<", 1)], ("a", "b"))


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), lambda inner: st.lists(inner)))
def test_data_ends_no_script_and_comes_back(value: object) -> None:
    text = json_script("x", value)
    inner = text.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set(inner) & set("<>&\u2028\u2029")
    assert json.loads(inner) == value


def test_numbers_that_json_has_no_word_for() -> None:
    assert numbers(np.array([1.23456789, np.nan, np.inf, -0.0001234567])) == [1.2346, None, None, -0.00012346]
    with pytest.raises(ValueError, match="JSON compliant"):
        json_script("x", float("nan"))


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1,), (0, 2)])
def test_packed_arrays_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.dtype(dtype).newbyteorder(">"))
    found = packed(array)
    raw = gzip.decompress(base64.b64decode(found["gzip"]))
    np.testing.assert_array_equal(np.frombuffer(raw, f"<{dtype[0]}{array.itemsize}").reshape(found["shape"]), array)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 3)])
def test_images_are_what_a_reader_sees(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)

    def read(source: str) -> Image.Image:
        assert source.startswith("data:image/png;base64,")
        return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))

    np.testing.assert_array_equal(np.asarray(read(image_source(pixels))), pixels)
    palette = np.array([[0, 0, 0, 0], [255, 0, 0, 255], [0, 255, 0, 128], [1, 2, 3, 255]], np.uint8)
    np.testing.assert_array_equal(np.asarray(read(image_source(pixels, palette)).convert("RGBA")), palette[pixels])
