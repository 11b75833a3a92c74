"""What is fuzzed: the readers, given bytes. They return, or raise one of our errors with one sentence.

Seeds are made here, so that the corpus holds no file of another program.
"""

import io
import json
import os
import pickle
import struct
import warnings
from pathlib import Path

import numpy as np

from gemmap.errors import GemError
from gemmap.io.formats import read_particles
from gemmap.io.mrc import read_map

BOX, N = 16, 3
_LABELS = [
    "rlnImageName", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnDefocusU",
    "rlnDefocusV", "rlnDefocusAngle", "rlnRandomSubset", "rlnOpticsGroup", "rlnCtfBfactor", "rlnMicrographName",
]  # fmt: skip
_OPTICS = {
    "rlnOpticsGroup": "1", "rlnOpticsGroupName": "a", "rlnVoltage": "300.0", "rlnSphericalAberration": "2.7",
    "rlnAmplitudeContrast": "0.1", "rlnImagePixelSize": "1.5", "rlnImageSize": str(BOX), "rlnBeamTiltX": "0.1",
    "rlnOddZernike": "[0,0.1,-2]", "rlnMagMat00": "1.0",
}  # fmt: skip


def header(**changes: int) -> bytes:
    """A header of ``N`` float32 images."""
    numbers = {"nx": BOX, "ny": BOX, "nz": N, "mode": 2, **changes}
    raw = bytearray(struct.pack("<10i", *(numbers[k] for k in ("nx", "ny", "nz", "mode")), 0, 0, 0, BOX, BOX, BOX))
    raw += struct.pack("<6f3i", 24.0, 24.0, 24.0, 90.0, 90.0, 90.0, 1, 2, 3)
    raw = raw.ljust(1024, b"\0")
    raw[208:216] = b"MAP \x44\x44\0\0"
    return bytes(raw)


def _star_seed() -> bytes:
    optics = "".join(f"_{label}\n" for label in _OPTICS) + " ".join(_OPTICS.values())
    rows = [f"{i + 1:06d}@s.mrcs {i}.5 20 30 0.5 -1 1e4 9e3 45 {1 + i % 2} 1 0.0 mic.mrc" for i in range(N)]
    particles = "".join(f"_{label} #{i}\n" for i, label in enumerate(_LABELS, 1)) + "\n".join(rows)
    return f"# version 30001\n\ndata_optics\n\nloop_\n{optics}\n\ndata_particles\n\nloop_\n{particles}\n".encode()


def _star30_seed() -> bytes:
    labels = "rlnImageName rlnAngleRot rlnAngleTilt rlnAnglePsi rlnMagnification rlnDetectorPixelSize rlnDefocusU"
    labels += " rlnVoltage rlnSphericalAberration rlnAmplitudeContrast rlnOriginX rlnOriginY"
    rows = [f"{i + 1}@s.mrcs 1 2 3 10000 1.5 1e4 300 2.7 .1 0 0" for i in range(N)]
    return ("data_\nloop_\n" + "".join(f"_{x}\n" for x in labels.split()) + "\n".join(rows) + "\n").encode()


def _cs_records() -> np.ndarray:
    layout = [
        ("uid", "<u8"), ("blob/path", "S6"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,)), ("blob/psize_A", "<f4"),
        ("blob/sign", "<f4"), ("alignments3D/pose", "<f4", (3,)), ("alignments3D/shift", "<f4", (2,)),
        ("alignments3D/psize_A", "<f4"), ("alignments3D/alpha", "<f4"), ("alignments3D/split", "<u4"),
        ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4"), ("ctf/amp_contrast", "<f4"), ("ctf/df1_A", "<f4"),
        ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4"), ("ctf/tilt_A", "<f4", (2,)), ("ctf/exp_group_id", "<u4"),
    ]  # fmt: skip
    records = np.zeros(N, layout)
    records["uid"], records["blob/idx"], records["blob/path"] = np.arange(N), np.arange(N), b"s.mrcs"
    records["blob/shape"], records["blob/sign"], records["alignments3D/alpha"] = BOX, -1, 1
    records["alignments3D/pose"], records["alignments3D/split"] = 0.3, np.arange(N) % 2
    for name in ("blob/psize_A", "alignments3D/psize_A"):
        records[name] = 1.5
    for name, value in (("accel_kv", 300), ("cs_mm", 2.7), ("amp_contrast", 0.1), ("df1_A", 1e4), ("df2_A", 9e3)):
        records[f"ctf/{name}"] = value
    return records


def _cs_seed() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, _cs_records())
    return buffer.getvalue()


def _csdat_seed() -> bytes:
    """The same in cryoSPARC's compressed layout: a column of literals only, all others as they are."""
    records = _cs_records()
    columns = {name: records[name].copy() for name in records.dtype.names or ()}
    columns["blob/path"] = np.zeros(N, "<u8")
    types = [
        [name, "O" if name == "blob/path" else v.dtype.str, *([v.shape[1:]] * (v.ndim > 1))]
        for name, v in columns.items()
    ]
    head = {"length": N, "dtype": types, "compression": "lz4", "compressed_fields": ["alignments3D/shift"]}
    text = json.dumps(head).encode()
    out = b"\x95CSDAT" + struct.pack("<I", len(text)) + text
    for name, values in columns.items():
        block = values.tobytes()
        if name == "alignments3D/shift":
            block = bytes([0xF0, len(block) - 15]) + block
        out += struct.pack("<I", len(block)) + block
    return out + b"s.mrcs\0"


_CSG = b"""created: 2024-01-01
group: {name: particles, type: particle}
results:
  blob: {metafile: '>good.cs', num_items: 3, type: particle.blob}
  alignments3D: {metafile: '>good.cs', num_items: 3, type: particle.alignments3D}
  ctf: {metafile: '>good.cs', num_items: 3, type: particle.ctf}
version: v4.4
"""


def _poses() -> tuple[np.ndarray, np.ndarray]:
    return np.tile(np.eye(3, dtype=np.float32), (N, 1, 1)), np.full((N, 2), 0.01, np.float32)


def _npz_seed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rot=_poses()[0], trans=_poses()[1])
    return buffer.getvalue()


_CTF = np.tile(np.array([BOX, 1.5, 1e4, 9e3, 45.0, 300.0, 2.7, 0.1, 0.0], np.float32), (N, 1))
#: A few inputs of each target that are as they should be.
SEEDS: dict[str, list[bytes]] = {
    "star": [_star_seed(), _star30_seed()],
    "cs": [_cs_seed(), _csdat_seed()],
    "csg": [_CSG],
    "poses": [pickle.dumps(_poses(), protocol=p) for p in (0, 2, 4, 5)],
    "npz": [_npz_seed()],
    "ctf": [pickle.dumps(_CTF, protocol=4)],
    "ind": [pickle.dumps(np.arange(2)), pickle.dumps([0, 2])],
    "stack": [header() + bytes(4 * N * BOX**2)],
    "map": [header(nz=BOX) + bytes(4 * BOX**3)],
    "txt": [b"s.mrcs\n"],
}
NAMES = {"star": "p.star", "cs": "p.cs", "csg": "p.csg", "poses": "p.pkl", "npz": "p.npz", "ctf": "c.pkl",
         "ind": "i.pkl", "stack": "t.mrcs", "map": "m.mrc", "txt": "p.txt"}  # fmt: skip


def prepare(folder: Path) -> None:
    """Write what the targets need beside their input; the working folder becomes this one."""
    (folder / "s.mrcs").write_bytes(header() + np.arange(N * BOX**2, dtype="<f4").tobytes())
    (folder / "good.cs").write_bytes(_cs_seed())
    (folder / "good.pkl").write_bytes(pickle.dumps(_poses()))
    os.chdir(folder)


def _read(name: str, path: Path) -> None:
    stack, poses = path.parent / "s.mrcs", path.parent / "good.pkl"
    if name == "map":
        read_map(path)
        return
    loaded = {
        "star": lambda: read_particles(path),
        "cs": lambda: read_particles(path),
        "csg": lambda: read_particles(path),
        "poses": lambda: read_particles(stack, poses=path, no_ctf=True, pixel_size_a=1.5),
        "npz": lambda: read_particles(stack, poses=path, no_ctf=True, pixel_size_a=1.5),
        "ctf": lambda: read_particles(stack, poses=poses, ctf=path),
        "ind": lambda: read_particles(stack, poses=poses, ind=path, no_ctf=True, pixel_size_a=1.5),
        "stack": lambda: read_particles(path, poses=poses, no_ctf=True, pixel_size_a=1.5),
        "txt": lambda: read_particles(path, poses=poses, no_ctf=True, pixel_size_a=1.5),
    }[name]()
    images = loaded.stack.read(np.arange(len(loaded.table)))
    assert images.shape == (len(loaded.table), loaded.stack.box_px, loaded.stack.box_px)


def check(name: str, data: bytes, folder: Path) -> str:
    """Give bytes to a reader; return the sentence it refused them with, empty if it did not.

    Raises
    ------
    Exception
        Anything that a user would see as a traceback, a warning among it, or a sentence of more than one line.
    """
    path = folder / NAMES[name]
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _read(name, path)
    except GemError as error:
        # The command line takes line breaks out.
        sentence = " ".join(str(error).split())
        assert sentence.endswith("."), sentence
        assert len(sentence) < len(data) + 2000, sentence[:300]
        return sentence
    return ""
