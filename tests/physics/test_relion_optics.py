"""Aberrations, magnification and pixel sizes as RELION 3.1.3 understands them.

``relion_project`` puts defocus, B-factor and even Zernikes into projections, at M k, but neither odd aberrations nor
the magnification of the projection itself; ``relion_reconstruct`` undoes those. So the former's images are compared
with ours, and the latter's maps, made of our images, with the density they show.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from gemmap.geometry.rotations import from_relion_euler
from gemmap.particles.optics import image_model
from gemmap.particles.table import OpticsGroup, ParticleTable
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import image_coefficients, odd_turns, transfer
from gemmap.physics.zernike import odd_from_beam_tilt

pytestmark = pytest.mark.peer

D, PIXEL_SIZE_A, SIGMA_PX = 48, 1.5, 1.2
PLAIN = OpticsGroup("plain", PIXEL_SIZE_A)
ODD = (2.0, -1.5, 30.0, -20.0, 40.0, 25.0)
EVEN = (0.3, 8.0, -6.0, 5.0, 60.0, 30.0, -40.0, 20.0, 50.0)
MATRIX = (1.04, 0.07, -0.05, 0.97)
TRANSPOSED = (1.04, -0.05, 0.07, 0.97)
KY, KX = np.fft.fftfreq(D, 1 / D)[:, None], np.arange(D // 2 + 1)


@dataclass
class Case:
    """n views of 25 round Gaussians, in RELION's terms, and their transforms in closed form."""

    n: int
    bfactor_a2: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        direction = self.rng.normal(size=(25, 3))
        radius = 11 * self.rng.random((25, 1)) ** (1 / 3)
        self.centres = radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        self.masses = self.rng.uniform(5, 15, 25)
        self.angles_deg = np.stack([self.rng.uniform(low, 180, self.n) for low in (-180, 0, -180)], 1)
        self.shifts_a = self.rng.uniform(-4, 4, (self.n, 2))
        self.defocus_a = self.rng.uniform(8e3, 1.5e4, self.n)

    @cached_property
    def density(self) -> np.ndarray:
        x = np.arange(D) - D // 2
        gx, gy, gz = (np.exp(-0.5 * ((x - self.centres[:, [axis]]) / SIGMA_PX) ** 2) for axis in range(3))
        norm = (2 * np.pi * SIGMA_PX**2) ** -1.5
        return norm * np.einsum("j,jz,jy,jx->zyx", self.masses, gz, gy, gx)

    @property
    def ctf(self) -> CtfParameters:
        one = np.ones(self.n)
        return CtfParameters(
            self.defocus_a, self.defocus_a - 800, one * np.radians(35), 300 * one, 2.7 * one, 0.1 * one, 0 * one,
            self.bfactor_a2 * one, one,
        )  # fmt: skip

    def model(self, group: OpticsGroup, ctf_matrix: Sequence[float] | None = None) -> np.ndarray:
        """Transforms of the images of a group, as we model them; ``ctf_matrix`` is that of the CTF alone."""
        one, zero = np.ones(self.n), np.zeros(self.n, int)
        table = ParticleTable(
            from_relion_euler(*self.angles_deg.T), self.shifts_a, self.ctf, one, zero, (group,), zero, zero,
            np.arange(self.n), ("x.mrcs",), one, map_pixel_size_a=PIXEL_SIZE_A,
        )  # fmt: skip
        model = image_model(table, D * PIXEL_SIZE_A)
        coefficients = torch.from_numpy(model.coefficients)
        if ctf_matrix is not None:
            matrix = tuple(ctf_matrix)
            coefficients = torch.from_numpy(
                image_coefficients(self.ctf, self.n, D * PIXEL_SIZE_A, magnification=matrix)  # type: ignore[arg-type]
            )
        factor = (transfer(coefficients, D) * torch.exp(2j * torch.pi * odd_turns(coefficients, D))).numpy()
        out = []
        for i, view in enumerate(model.views):
            at = np.stack(np.broadcast_arrays(KX, KY), -1) @ view[:2] / D
            wave = (self.masses * np.exp(-2j * np.pi * (at @ self.centres.T))).sum(-1)
            wave *= np.exp(-2 * np.pi**2 * SIGMA_PX**2 * (at**2).sum(-1))
            turns = KX * model.shifts[i, 0] + KY * model.shifts[i, 1]
            out.append(model.scales[i] * wave * factor[i] * np.exp(2j * np.pi * turns))
        return np.array(out)

    def write_star(self, folder: Path, optics: dict[str, object]) -> None:
        known = {
            "rlnOpticsGroupName": "one", "rlnOpticsGroup": 1, "rlnVoltage": 300, "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1, "rlnImagePixelSize": PIXEL_SIZE_A, "rlnImageSize": D,
            "rlnImageDimensionality": 2,
        } | optics  # fmt: skip
        columns = [
            "rlnImageName", "rlnOpticsGroup", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst",
            "rlnOriginYAngst", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfBfactor",
        ]  # fmt: skip
        rows = [
            [f"{i + 1:06d}@x.mrcs", 1, *self.angles_deg[i], *self.shifts_a[i], u, u - 800, 35, self.bfactor_a2]
            for i, u in enumerate(self.defocus_a)
        ]
        tables = (("optics", list(known), [list(known.values())]), ("particles", columns, rows))
        text = "".join(
            f"# version 30001\n\ndata_{name}\n\nloop_\n"
            + "".join(f"_{column} #{number + 1}\n" for number, column in enumerate(labels))
            + "".join(" ".join(map(str, row)) + "\n" for row in values)
            + "\n"
            for name, labels, values in tables
        )
        (folder / "p.star").write_text(text)


def relion(folder: Path, command: str) -> None:
    program, *arguments = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True, timeout=120)


def bracketed(coefficients: Sequence[float]) -> str:
    return "[" + ",".join(map(str, coefficients)) + "]"


def matrix(m: Sequence[float]) -> dict[str, object]:
    return dict(zip(("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11"), m, strict=True))


def projected(case: Case, folder: Path, optics: dict[str, object]) -> np.ndarray:
    with mrcfile.new(folder / "map.mrc") as mrc:
        mrc.set_data(case.density.astype(np.float32))
        mrc.voxel_size = PIXEL_SIZE_A
    case.write_star(folder, optics)
    relion(folder, f"relion_project --i map.mrc --o out --ang p.star --ctf --pad 3 --angpix {PIXEL_SIZE_A}")
    with mrcfile.open(folder / "out.mrcs") as mrc:
        return np.fft.rfft2(np.fft.ifftshift(mrc.data.astype(float), axes=(1, 2)))


def correlations(images: np.ndarray, model: np.ndarray) -> np.ndarray:
    weight = ((KX**2 + KY**2 < (0.46 * D) ** 2) & (KX**2 + KY**2 > 0)) * np.where(KX == 0, 1, 2)
    power = [(weight * abs(a) ** 2).sum((1, 2)) for a in (images, model)]
    return np.asarray((weight * (images * model.conj()).real).sum((1, 2)) / np.sqrt(power[0] * power[1]))


def test_relion_projects_even_aberrations_and_bfactors(tmp_path: Path) -> None:
    case = Case(12, bfactor_a2=60.0)
    images = projected(case, tmp_path, {"rlnEvenZernike": bracketed(EVEN)})
    right = OpticsGroup("right", PIXEL_SIZE_A, even_zernike=EVEN)
    reversed_ = OpticsGroup("reversed", PIXEL_SIZE_A, even_zernike=tuple(-e for e in EVEN))
    assert correlations(images, case.model(right)).min() > 0.9999
    assert correlations(images, case.model(reversed_)).max() < 0.5
    sharpened = Case(12, bfactor_a2=-60.0)
    assert np.median(correlations(images, sharpened.model(right))) < 0.99


def test_relion_evaluates_the_ctf_at_m_k(tmp_path: Path) -> None:
    case = Case(12)
    images = projected(case, tmp_path, matrix(MATRIX))
    assert correlations(images, case.model(PLAIN, MATRIX)).min() > 0.9999
    inverse = np.linalg.inv(np.reshape(MATRIX, (2, 2))).ravel()
    # The transpose would not show: without astigmatism a CTF depends on |M k| only.
    for wrong in (inverse, (1, 0, 0, 1)):
        assert np.median(correlations(images, case.model(PLAIN, wrong))) < 0.97


def reconstructed(folder: Path, group: OpticsGroup, optics: dict[str, object], multiplied: bool = False) -> float:
    """Mean FSC of RELION's map of our images with the density, shells 2 to 19."""
    case = Case(500)
    fourier = case.model(group)
    if multiplied:
        fourier = fourier * transfer(torch.from_numpy(image_coefficients(case.ctf, 500, D * PIXEL_SIZE_A)), D).numpy()
    images = np.fft.fftshift(np.fft.irfft2(fourier, s=(D, D)), axes=(1, 2))
    with mrcfile.new(folder / "x.mrcs", overwrite=True) as mrc:
        mrc.set_data(images.astype(np.float32))
        mrc.set_image_stack()
    case.write_star(folder, optics)
    relion(folder, f"relion_reconstruct --i p.star --o r.mrc --ctf --angpix {PIXEL_SIZE_A}")
    with mrcfile.open(folder / "r.mrc") as mrc:
        a, b = np.fft.fftn(mrc.data.astype(float)), np.fft.fftn(case.density)
    k = np.fft.fftfreq(D, 1 / D)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()
    cross, power, truth = (np.bincount(shell, v.ravel())[2:20] for v in ((a * b.conj()).real, abs(a) ** 2, abs(b) ** 2))
    return float((cross / np.sqrt(power * truth)).mean())


TILT = odd_from_beam_tilt(6.0, -4.0, 2.7, 300.0)


@pytest.mark.parametrize(
    ("group", "right", "wrong"),
    [
        (
            OpticsGroup("odd", PIXEL_SIZE_A, odd_zernike=ODD),
            {"rlnOddZernike": bracketed(ODD)},
            {"rlnOddZernike": bracketed([-c for c in ODD])},
        ),
        (
            OpticsGroup("tilted", PIXEL_SIZE_A, odd_zernike=TILT),
            {"rlnBeamTiltX": 6.0, "rlnBeamTiltY": -4.0},
            {"rlnBeamTiltX": -6.0, "rlnBeamTiltY": 4.0},
        ),
        (OpticsGroup("stretched", PIXEL_SIZE_A, magnification=MATRIX), matrix(MATRIX), matrix(TRANSPOSED)),
        (OpticsGroup("larger", 1.8), {"rlnImagePixelSize": 1.8}, {}),
        (OpticsGroup("smaller", 1.3), {"rlnImagePixelSize": 1.3}, {}),
        (
            OpticsGroup("both", PIXEL_SIZE_A, None, ODD, EVEN, MATRIX),
            {"rlnOddZernike": bracketed(ODD), "rlnEvenZernike": bracketed(EVEN), **matrix(MATRIX)},
            {"rlnOddZernike": bracketed(ODD), "rlnEvenZernike": bracketed(EVEN)},
        ),
    ],
    ids=lambda value: value.name if isinstance(value, OpticsGroup) else "",
)
def test_relion_reconstructs_what_we_model(
    tmp_path: Path, group: OpticsGroup, right: dict[str, object], wrong: dict[str, object]
) -> None:
    assert reconstructed(tmp_path, group, right) > 0.998
    assert reconstructed(tmp_path, group, wrong) < 0.95


def test_relion_takes_images_that_were_multiplied_as_we_do(tmp_path: Path) -> None:
    flag = {"rlnCtfDataAreCtfPremultiplied": 1}
    assert reconstructed(tmp_path, PLAIN, flag, multiplied=True) > 0.998
    assert reconstructed(tmp_path, PLAIN, {}, multiplied=True) < 0.9
