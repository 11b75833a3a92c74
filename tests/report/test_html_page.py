"""The report as a file: well formed, alone, small, harmless, and made of whatever is there."""

import base64
import gzip
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import run_folders
from PIL import Image
from run_folders import BOX, MAPS, N_GAUSSIANS, PIXEL_A, job, write_mrc, write_run
from safetensors.numpy import load_file

from gemmap.errors import FormatError, InputError
from gemmap.report.html.page import write_report

VOID = {"br", "col", "hr", "img", "input", "link", "meta"}
ALL_PLOTS = {
    "plot-fsc", "plot-noise", "plot-guinier", "plot-defocus", "plot-scale", "plot-loss", "plot-score",
    "plot-gaussians", "plot-time",
}  # fmt: skip


class Page(HTMLParser):
    """Elements, text and attributes of a page; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len({name for name, _ in attrs}) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def data_of(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="report-data">(.*?)</script>', html)[1])


def unpacked(packed: dict) -> np.ndarray:
    raw = gzip.decompress(base64.b64decode(packed["gzip"]))
    return np.frombuffer(raw, np.dtype(packed["dtype"])).reshape(packed["shape"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("html") / "run1")


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_it_is_well_formed(page: Page) -> None:
    ids = page.ids()
    assert len(set(ids)) == len(ids)
    targets = [attributes["href"][1:] for tag, attributes in page.elements if tag == "a"]
    assert set(targets) <= set(ids)
    assert len(targets) == 14
    for tag, attributes in page.elements:
        assert tag != "img" or attributes["alt"]


def test_nothing_is_loaded(page: Page, html: str) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name in ("src", "srcset", "action", "data", "poster"):
            assert str(attributes.get(name, "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith("#")
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    # The browser is told to refuse it, too.
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:")


def test_every_plot_has_its_data(page: Page, html: str) -> None:
    drawn = {attributes["id"] for _, attributes in page.elements if attributes.get("class") == "plot"}
    assert drawn == ALL_PLOTS
    data = data_of(html)
    assert set(data) == ALL_PLOTS | {"scene-view"}
    fsc = {series["name"]: series for series in data["plot-fsc"]["series"]}
    curve = fsc["Final map with the truth, estimated (cross-FSC)"]
    assert curve["x"] == pytest.approx(np.arange(17) / (BOX * PIXEL_A), abs=1e-5)
    assert curve["y"] == pytest.approx(np.exp(-np.arange(17) / 4), abs=1e-5)
    assert fsc["a_new_curve"]["shown"] is False
    assert data["plot-fsc"]["marker"] == {"x": 1 / 10.5, "y": 0.5, "label": "10.50 Å"}
    assert sum(data["plot-defocus"]["counts"]) == 40
    assert [s["y"] for s in data["plot-loss"]["series"]] == [[0, -10, -20, -30]] * 3
    assert data["plot-score"]["series"][1]["y"] == [0.1, 0.15]
    line = data["plot-guinier"]["series"][2]
    assert line["y"] == pytest.approx([-5 - 30 * x for x in line["x"]])
    assert max(data["plot-guinier"]["series"][0]["x"]) == pytest.approx(0.014)  # -99 stands for nothing


def test_words_say_what_the_files_say(page: Page) -> None:
    for words in (
        "This is where the estimated correlation of the final map with the noise-free density falls to 0.5, within the "
        "soft mask from the map.",
        "not resolved",
        "40",
        "2: 2 because their images show nothing",
        "2 of 42 images are dead.",
        "000007@a.mrcs",
        "20 + 20, from the file",
        "B-factor of −120 Å²",
        "850 MB peak memory",
        "gemmap reconstruct particles.star -o run1",
        "it was enough",
        "How to cite",
        "A processor, 2 cores usable",
    ):
        assert words in page.text
    assert "Left out" not in page.text


def test_the_scene_holds_maps_and_gaussians(run: Path, html: str) -> None:
    scene = data_of(html)["scene-view"]
    assert [m["name"] for m in scene["maps"]] == ["map", "sharpened", "half1", "half2"]
    of_map = scene["maps"][0]
    values = unpacked(of_map)
    assert values.shape == (26, 26, 26)  # 1.3 diameters of 80 Å, in voxels of 4 Å
    cube = mrcfile.read(run / "run_class001.mrc")[3:29, 3:29, 3:29]
    shown = np.clip(cube, of_map["low"], None)
    assert np.abs(values * of_map["step"] + of_map["low"] - shown).max() <= 0.51 * of_map["step"]
    part = (cube > of_map["first"]).mean()
    assert part == pytest.approx(0.4 * (mrcfile.read(run / "mask.mrc") > 0.5).sum() / 26**3, rel=0.05)
    assert of_map["lowest"] < of_map["first"] < of_map["highest"]

    gaussians = scene["gaussians"]
    assert gaussians["total"] == N_GAUSSIANS
    stored = load_file(run / "gaussians.safetensors")
    order = np.argsort(-stored["masses"])
    numbers = unpacked(gaussians).astype(float)
    for columns, step, name in zip(
        (slice(0, 3), slice(3, 6), slice(6, 10)), gaussians["steps"], ("centres_a", "scales_a", "quaternions"),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(numbers[:, columns] * step, stored[name][order], atol=0.51 * step)

    local = scene["local"]
    resolution = unpacked(local) / 255.0 * (local["highA"] - local["lowA"]) + local["lowA"]
    middle = round(-local["first"] / local["voxel"])
    assert resolution[middle, middle, middle] == pytest.approx(local["lowA"], abs=0.05)
    inside = mrcfile.read(run / "locres.mrc")[mrcfile.read(run / "mask.mrc") > 0.5]
    assert [local["lowA"], local["highA"]] == pytest.approx(np.percentile(inside, (2, 98)))


def test_the_image_of_a_slice_is_the_map(run: Path, page: Page) -> None:
    """Central xy slice of the final map: y upwards, brightest at the centre, longest along x."""
    (source,) = (a["src"] for t, a in page.elements if t == "img" and a["alt"] == "Final map, plane xy")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))), float)
    assert image.shape == (26, 26)
    expected = mrcfile.read(run / "run_class001.mrc")[16, 3:29, 3:29][::-1]
    assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("removed", "left_out"),
    [
        (["fsc.csv"], "plot-fsc"),
        (["noise.csv"], "noise"),
        (["fsc.star"], "guinier"),
        (["particles.star"], "optics"),
        (["particles.star", "direction.csv"], "views"),
        (["gaussians.safetensors"], "scene-count"),
        (["locres.mrc"], "scene-legend"),
        (["mask.mrc"], "nothing-but-the-mask"),
        ([f"{name}.mrc" for name in MAPS], "scene"),
    ],
)
def test_missing_files_are_left_out_and_said(tmp_path: Path, removed: list[str], left_out: str) -> None:
    folder = write_run(tmp_path / "run1")
    for name in removed:
        (folder / name).unlink()
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert left_out not in page.ids()
    if removed not in (["mask.mrc"], ["fsc.csv"]):
        assert re.search(r"is missing|No map of the run is there", page.text)


def test_a_record_alone_makes_a_page(tmp_path: Path) -> None:
    """A run that failed at its start."""
    folder = tmp_path / "run1"
    folder.mkdir()
    (folder / "job.json").write_text('{"status": "failed", "notes": ["InputError: nothing is there."]}')
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert 'its status is "failed"' in page.text
    assert "InputError: nothing is there." in page.text
    assert page.text.count("is missing") >= 4


def test_damaged_files_are_sentences(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run1")
    (folder / "run_class001.mrc").write_bytes(b"nothing")
    (folder / "fsc.csv").write_text("shell,a\n1,x\n")
    (folder / "gaussians.safetensors").write_bytes(b"\0" * 30)
    (folder / "particles.star").write_text("data_\n")
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "fsc.csv is not a table of numbers" in page.text
    assert page.text.count("run_class001.mrc") >= 1
    assert "Left out" in page.text


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028"


def test_text_of_files_is_harmless(tmp_path: Path) -> None:
    record = job()
    record["results"]["dead_images"] = {"7": f"1@{EVIL}"}
    record["results"]["fits"]["full"]["stopped_because"] = EVIL
    record["resolutions"]["map"]["mask"] = EVIL
    record |= {"notes": [EVIL], "argv": [EVIL], "inputs": [{"path": EVIL, "size_bytes": 1, "modified": EVIL}]}
    record["config"][EVIL] = EVIL
    record["software"]["libraries"][EVIL] = EVIL
    record["hardware"]["cpu"] = EVIL
    record["seconds"][EVIL] = 1.0
    folder = write_run(tmp_path / "<b>run", **record)
    for name in ("run.log", "command.txt"):
        (folder / name).write_text(EVIL)
    fsc = (folder / "fsc.csv").read_text().replace("a_new_curve", EVIL.replace('"', "").replace("\u2028", ""))
    (folder / "fsc.csv").write_text(fsc)
    particles = (folder / "particles.star").read_text().replace(" group1 ", " <script>alert(3)</script> ")
    (folder / "particles.star").write_text(particles)
    html = write_report(folder).read_text(encoding="utf-8")
    page = Page(html)
    names = [tag for tag, _ in page.elements]
    clean = Page(write_report(write_run(tmp_path / "clean")).read_text(encoding="utf-8"))
    assert names.count("script") == [tag for tag, _ in clean.elements].count("script")
    assert names.count("b") == [tag for tag, _ in clean.elements].count("b")
    assert not [a for _, a in page.elements if "onerror" in a or a.get("src") == "x"]
    assert "<script>alert(3)</script>" in page.text  # as words
    assert "<b>run" in page.text
    assert any("</script>" in series["name"] for series in data_of(html)["plot-fsc"]["series"])


def test_numbers_that_are_null_do_not_stop_it(tmp_path: Path) -> None:
    record = job()
    record["results"] |= {"pixel_size_a": None, "particle_diameter_a": None, "images_per_second": None, "fits": None}
    record["resolutions"]["map"] |= {"value_a": None}
    record |= {"peak_memory_bytes": None, "seconds": {"reading": None, "total": None}}
    page = Page(write_report(write_run(tmp_path / "run1", **record)).read_text(encoding="utf-8"))
    assert "From the first shell on" in page.text


def test_a_large_run_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of pure noise, which nothing compresses, at 112 px, and more Gaussians than are shown."""
    folder = write_run(tmp_path / "run1")
    for i, name in enumerate((*MAPS, "locres")):
        noise = np.random.default_rng(i).standard_normal((112,) * 3, dtype=np.float32)
        write_mrc(folder / f"{name}.mrc", noise if name != "locres" else 5 + np.abs(noise))
    (folder / "mask.mrc").unlink()
    monkeypatch.setattr("run_folders.N_GAUSSIANS", 30_000)
    run_folders.write_gaussians(folder / "gaussians.safetensors")
    record = json.loads((folder / "job.json").read_text())
    record["results"]["particle_diameter_a"] = 112 * PIXEL_A
    (folder / "job.json").write_text(json.dumps(record))
    path = write_report(folder)
    assert 4_000_000 < path.stat().st_size < 8_000_000
    scene = data_of(path.read_text(encoding="utf-8"))["scene-view"]
    assert scene["maps"][0]["shape"] == [96] * 3
    assert scene["gaussians"]["shape"] == [20_000, 10]
    assert scene["voxel"] == pytest.approx(112 * PIXEL_A / 96)


def test_the_same_run_gives_the_same_page(run: Path, tmp_path: Path) -> None:
    first, second = (write_report(run, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


@pytest.mark.parametrize("content", ["", "{", "[]", '{"notes": []}'])
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(FormatError, match="is not the record of a run; give the folder that reconstruct -o made"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no folder of a run: there is no job\.json in it"):
        write_report(tmp_path)


def test_the_vendored_library_is_the_one_recorded() -> None:
    vendor = files("gemmap.report.html") / "vendor"
    readme = (vendor / "README.md").read_text(encoding="utf-8")
    library = (vendor / "three.min.js").read_bytes()
    assert f"`{hashlib.sha256(library).hexdigest()}`" in readme
    # The licence goes with every copy.
    licence = (vendor / "three.LICENSE.txt").read_text(encoding="utf-8")
    assert licence.strip().replace("©", "(c)") in library.decode()
    assert b"</script" not in library
    assert b"<!--" not in library


def test_the_growth_of_a_watched_folder_is_drawn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run1")
    assert "plot-growth" not in write_report(folder).read_text()
    head = "unix_time_s,n_particles,resolution_a,half_maps_masked_a,fit_s"
    (folder / "history.csv").write_text(f"{head}\n1700000000,100,inf,20.5,3.0\n1700000100,250,12.25,11,3.5\n")
    html = write_report(folder).read_text()
    page, drawn = Page(html), data_of(html)["plot-growth"]
    assert "growth" in page.ids()
    assert "2 fits as particles came in" in page.text
    assert [(s["x"], s["y"]) for s in drawn["series"]] == [([100, 250], [None, 12.25]), ([100, 250], [20.5, 11])]
