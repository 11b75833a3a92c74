"""The page on EMPIAR's sets: its figures follow from each other, its commands run on files of the same layout."""

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import gemmap
from gemmap.fit.memory import plan_memory
from gemmap.io.star import read_star
from test_docs import ROOT, blocks, commands

PAGE = ROOT / "docs" / "howto" / "empiar.md"
BOX, PIXEL_SIZE_A, N = 32, 7.0, 300
CTF = ["DefocusU", "DefocusV", "DefocusAngle", "Voltage", "SphericalAberration", "AmplitudeContrast"]
PIXEL = ["Magnification", "DetectorPixelSize"]
POSE = ["AngleRot", "AngleTilt", "AnglePsi", "OriginX", "OriginY"]
CS_FILES = {
    "10028": "cryosparc_P11_J4_003_particles.cs",
    "10049": "cryosparc_P53_J26_006_particles.cs",
    "10076": "cryosparc_P4_J33_004_particles.cs",
}


def rows(first_cell: str) -> list[list[str]]:
    """Rows of the page's tables with this first cell, without it."""
    table = [line.strip("| \n").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if "| " in line]
    return [row[1:] for row in table if row[0].strip() == first_cell]


def numbers(cells: list[str]) -> list[float]:
    return [float(match[0].replace(",", "")) for cell in cells if (match := re.search(r"[\d,]+\.?\d*", cell))]


def test_nyquist_and_disk_follow_from_box_pixel_and_number() -> None:
    (shapes,), (nyquist,), (images,), (disk,) = (
        rows(name) for name in ("box, pixel", "Nyquist", "images", "images on disk")
    )
    boxes, pixels = zip(*(map(float, re.findall(r"[\d.]+", cell)[:2]) for cell in shapes), strict=True)
    assert numbers(nyquist) == pytest.approx([2 * p for p in pixels], abs=0.006)
    gib = [n * b * b * 4 / 2**30 for n, b in zip(numbers(images[:3]), boxes, strict=False)]
    assert [gib[0], gib[2]] == pytest.approx([numbers(disk)[0], numbers(disk)[2]], abs=1)
    assert gib[1] * 2**30 / 1e9 == pytest.approx(numbers(disk)[1], abs=0.5)


@pytest.mark.parametrize("box", [192, 256, 320, 360])
def test_memory_is_that_of_the_plan(box: int) -> None:
    ((memory, folder),) = rows(f"{box} px")
    assert numbers([memory])[0] == pytest.approx(plan_memory(box, 100_000).total_bytes / 1e9, abs=0.06)
    assert numbers([folder])[0] == pytest.approx(10 * 4 * box**3 / 1e9, abs=0.06)


def stack(path: Path, images: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:  # without a pixel size, as many stacks are
        file.set_data(images)


def old_star(path: Path, simulated: Path, names: list[str], labels: list[str], head: str) -> None:
    """A file as RELION 1 wrote them: one table, no half-sets."""
    (table,) = read_star(simulated / "particles_relion30.star").values()
    columns = [names, *(table.strings(f"rln{label}") for label in labels)]
    header = "".join(f"_rln{label} #{i} \n" for i, label in enumerate(["ImageName", *labels], 1))
    lines = (" ".join(cells) + " \n" for cells in zip(*columns, strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"\n{head}\n\nloop_ \n{header}{''.join(lines)} \n", encoding="utf-8")


def cryosparc_v2(path: Path, simulated: Path, stack_name: str) -> None:
    """Particles of a refinement in cryoSPARC 2, with the fields and the sign that cryoDRGN's tutorial shows."""
    ours = np.load(simulated / "particles.cs")
    kept = [name for name in ours.dtype.names if name not in ("blob/path", "ctf/exp_group_id", "ctf/bfactor")]
    layout = [("blob/path", "S60"), ("ctf/type", "S9"), *((n, ours.dtype[n].base, ours.dtype[n].shape) for n in kept)]
    records = np.zeros(len(ours), layout)
    for name in kept:
        records[name] = ours[name]
    records["blob/path"], records["ctf/type"], records["blob/sign"] = stack_name.encode(), b"imported", 1.0
    with path.open("wb") as file:
        np.save(file, records)


def lay_out(folder: Path) -> None:
    """One simulated set, written as each of the four is found on the servers."""
    sim = folder / "sim"
    config = gemmap.SimulationConfig(box_px=BOX, pixel_size_a=PIXEL_SIZE_A, n_particles=N, snr=0.1)
    gemmap.write_simulation(sim, gemmap.simulate_particles(gemmap.embedded_structure(), config))
    images, half = mrcfile.read(sim / "particles.mrcs"), N // 2
    parts = slice(0, half), slice(half, N)

    particles = folder / "10028/data/Particles"
    names = []
    for name, part in zip(("MRC_0601", "MRC_1901"), parts, strict=True):
        stack(particles / name / "001_particles_shiny_nb50_new.mrcs", images[part])
        names += [f"{i:06d}@Particles/{name}/001_particles_shiny_nb50_new.mrcs" for i in range(1, half + 1)]
    old_star(particles / "shiny_2sets.star", sim, names, [*CTF, *PIXEL], "data_")

    names = []
    for name, part in zip(("ragSEC_150309.mrcs", "ragSEC_150311.mrcs"), parts, strict=True):
        stack(folder / "10049/data" / name, images[part])
        names += [f"{i:06d}@{name}" for i in range(1, half + 1)]
    old_star(folder / "10049/data/allimg.star", sim, names, [*CTF, *PIXEL], "data_")

    stack(folder / "10076/data/L17Combine_weight_local.mrc", -images)
    names = [f"{i}@L17Combine_weight_local.mrcs" for i in range(1, N + 1)]
    old_star(folder / "10076/data/Parameters.star", sim, names, [*CTF, *PIXEL], "data_")

    stack(folder / "10005/particles/tv1_f03-16.mrcs", images)
    names = [f"{i:06d}@particles/tv1_f03-16.mrcs" for i in range(1, N + 1)]
    old_star(folder / "10005/tv1_relion_data.star", sim, names, [*POSE, *CTF, *PIXEL], "data_images")

    kept = np.delete(np.arange(N), np.arange(0, N, 10))
    for number, cs_name in CS_FILES.items():
        inputs = folder / f"cryodrgn_empiar/empiar{number}/inputs"
        inputs.mkdir(parents=True)
        for name in ("poses.pkl", "ctf.pkl"):
            shutil.copy(sim / name, inputs)
        (inputs / "filtered.ind.pkl").write_bytes(pickle.dumps(kept, protocol=2))
        cryosparc_v2(inputs / cs_name, sim, "J3/imported/L17Combine_weight_local.mrcs")

    small = np.fft.fftshift(np.fft.fft2(images), axes=(1, 2))[:, 4:-4, 4:-4]  # cropped as cryodrgn downsample does
    small = np.fft.ifft2(np.fft.ifftshift(small, axes=(1, 2))).real.astype("f4")
    for i, part in enumerate(parts):
        stack(folder / f"particles.256.{i}.mrcs", small[part])
    (folder / "particles.256.txt").write_text("particles.256.0.mrcs\nparticles.256.1.mrcs\n", encoding="utf-8")


def expand(run: Path, output: Path, order: int) -> None:
    """What relion_particle_symmetry_expand does for Cn: every particle with rot + 360/n k."""
    lines = (run / "particles.star").read_text(encoding="utf-8").splitlines()
    rot = next(int(line.split("#")[1]) for line in lines if line.startswith("_rlnAngleRot")) - 1
    expanded = []
    for line in lines:
        cells = line.split()
        for k in range(order if "@" in line else 1):
            turned = [*cells[:rot], f"{float(cells[rot]) + 360 / order * k:.6f}", *cells[rot + 1 :]] if k else cells
            expanded.append(" ".join(turned))
    output.write_text("\n".join(expanded) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_the_commands_run_on_files_of_the_same_layout(tmp_path: Path) -> None:
    """In order, in a folder with the layout of the page; where another program stands between, its result is made."""
    lay_out(tmp_path)
    printed: dict[str, str] = {}
    for words in commands(PAGE):
        if "expanded.star" in words:
            expand(tmp_path / "gem/10005_c1", tmp_path / "expanded.star", order=4)
        if "--invert" in words and not (tmp_path / "10076/data/L17Combine_weight_local.mrcs").exists():
            (tmp_path / "10076/data/L17Combine_weight_local.mrc").rename(
                tmp_path / "10076/data/L17Combine_weight_local.mrcs"
            )
        call = [sys.executable, "-m", "gemmap", *words]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (words, done.stderr)
        key = words[words.index("-o") + 1]
        printed[key] = printed.get(key, "") + done.stdout + done.stderr
    assert set(printed) == {f"gem/{name}" for name in (
        "10028", "10049", "10076", "10076_halves", "10005_c1", "10005", "10028_256"
    )}  # fmt: skip
    drawn = {key for key, text in printed.items() if "drawn at random" in text}
    assert drawn == {"gem/10028", "gem/10049", "gem/10076", "gem/10005_c1", "gem/10028_256"}
    used = {key: int(re.findall(r"([\d,]+) used", text)[0].replace(",", "")) for key, text in printed.items()}
    kept = N - N // 10
    assert used == {
        "gem/10028": kept, "gem/10049": N, "gem/10076": kept, "gem/10076_halves": kept,
        "gem/10005_c1": N, "gem/10005": 4 * N, "gem/10028_256": kept,
    }  # fmt: skip
    small, small_pixel_size_a = gemmap.read_map(tmp_path / "gem/10028_256/run_class001.mrc")
    assert (len(small), small_pixel_size_a) == (BOX - 8, pytest.approx(PIXEL_SIZE_A * BOX / (BOX - 8)))

    dark = next(words for words in commands(PAGE) if "--invert" in words)
    call = [sys.executable, "-m", "gemmap", *(word for word in dark if word != "--invert"), "--overwrite"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "--invert" in done.stderr

    shutil.copy(tmp_path / "gem/10028/run_class001.mrc", tmp_path / "aligned.mrc")
    shutil.copy(tmp_path / "sim/truth.mrc", tmp_path / "published.mrc")
    (code,) = blocks(PAGE, "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "FSC with the published map 0.5, its mask" in done.stdout
