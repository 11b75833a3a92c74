"""STAR files of a few particles, and columns put in and taken out of them."""

from pathlib import Path

OPTICS = """data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnImageDimensionality #8
7 seven 300 2.7 0.1 1.25 64 2
3 three 200 2.0 0.07 1.25 64 2
"""
# Rotations of the three rows, by hand: Rz(90)^T, Ry(90)^T, and the identity.
PARTICLES = """data_particles

loop_
_rlnImageName #1
_rlnAngleRot #2
_rlnAngleTilt #3
_rlnAnglePsi #4
_rlnOriginXAngst #5
_rlnOriginYAngst #6
_rlnDefocusU #7
_rlnDefocusV #8
_rlnDefocusAngle #9
_rlnPhaseShift #10
_rlnCtfBfactor #11
_rlnCtfScalefactor #12
_rlnRandomSubset #13
_rlnOpticsGroup #14
000003@Extract/b.mrcs 90 0 0 1.5 -2.5 10000 9000 30 90 40 0.5 1 3
000001@Extract/a.mrcs 0 90 0 0 0 11000 9500 -45 0 0 1 2 7
2@Extract/b.mrcs 0 0 0 -1 2 12000 12000 0 0 0 1 1 3
"""
OLD = """data_

loop_
_rlnImageName #1
_rlnAngleRot #2
_rlnAngleTilt #3
_rlnAnglePsi #4
_rlnOriginX #5
_rlnOriginY #6
_rlnDefocusU #7
_rlnDefocusV #8
_rlnDefocusAngle #9
_rlnVoltage #10
_rlnSphericalAberration #11
_rlnAmplitudeContrast #12
_rlnMagnification #13
_rlnDetectorPixelSize #14
000001@a.mrcs 0 0 0 2 -4 10000 9000 30 300 2.7 0.1 40000 5
000002@a.mrcs 0 0 0 1 3 10000 9000 30 300 2.6 0.1 40000 5
"""


def star(folder: Path, text: str) -> Path:
    file = folder / "run_data.star"
    file.write_text(text)
    return file


def without(text: str, label: str) -> str:
    """The text with one column of its last loop removed."""
    head, _, body = text.rpartition("loop_\n")
    lines = body.splitlines()
    labels = [line.split()[0] for line in lines if line.startswith("_")]
    place = labels.index(f"_{label}")
    rows = [line.split() for line in lines if line and not line.startswith("_")]
    kept = ["_" + name[1:] for i, name in enumerate(labels) if i != place]
    return head + "loop_\n" + "\n".join(kept + [" ".join(r[:place] + r[place + 1 :]) for r in rows]) + "\n"


def with_column(text: str, label: str, values: list[str]) -> str:
    """The text with one more column in its last loop."""
    head, _, body = text.rpartition("loop_\n")
    lines = [line for line in body.splitlines() if line.strip()]
    n = sum(line.startswith("_") for line in lines)
    rows = [f"{line} {value}" for line, value in zip(lines[n:], values, strict=True)]
    return head + "loop_\n" + "\n".join([*lines[:n], f"_{label}", *rows]) + "\n"
