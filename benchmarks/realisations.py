"""Further realisations of a particle set: other views out of the same noise-free stack, and new noise.

A program that chooses its settings by noisy scores is judged by more than one draw.
"""

import json
from pathlib import Path

import numpy as np
from peers import pixel_size_of, star_rows
from truth_maps import read_map, write_map


def realise(star: Path, seed: int, folder: Path) -> Path:
    """Write stack and STAR file of realisation ``seed`` > 0 of the set in ``star`` to ``folder``; return the STAR file.

    Of a STAR file with the first n rows of its set, realisation k has the rows from k n on, cyclically. Poses, CTFs and
    half-sets stay with the images; signal scale (0 for a set of pure noise) and noise level are those of the set.
    """
    snr_stem = "_".join(star.stem.split("_")[:2])
    whole = star.with_name(f"{snr_stem}.star")
    rows, count = star_rows(whole), len(star_rows(star))
    chosen = (seed * count + np.arange(count)) % len(rows)
    scale = json.loads(whole.with_suffix(".json").read_text())["truth_scale_in_images"]
    rng = np.random.default_rng([seed, count, *star.stem.encode()])
    box_px = read_map(star.with_name("truth.mrc")).shape[0]
    images = rng.standard_normal((count, box_px, box_px), dtype=np.float32)
    if scale:
        clean = read_map(star.with_name("clean.mrcs"))
        for image, row in zip(images, chosen, strict=True):
            image += np.float32(scale) * clean[row]
    folder.mkdir(parents=True, exist_ok=True)
    stack = folder / "particles.mrcs"
    write_map(stack, images, pixel_size_of(star))
    head = [line for line in whole.read_text().splitlines() if "@" not in line]
    lines = [f"{i + 1:06d}@{stack} {rows[row].split(maxsplit=1)[1]}" for i, row in enumerate(chosen)]
    path = folder / "particles.star"
    path.write_text("\n".join(head).rstrip() + "\n" + "\n".join(lines) + "\n\n")
    return path
