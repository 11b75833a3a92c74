"""FSC of a map to the known truth: numpy only, shares nothing with the package under test.

Usage: ``python benchmarks/score.py TRUTH MASK MAP [MAP ...]``.
"""

import argparse
from pathlib import Path

import numpy as np

EDGE_FRACTION = 57 / 64  # shells above are left out of the mean: RELION's maps fade there


def shell_index(box_px: int) -> np.ndarray:
    """Shell round(|k|) of every coefficient of a cubic real FFT, as RELION counts shells; shape (n, n, n // 2 + 1)."""
    k = np.fft.fftfreq(box_px, 1 / box_px)
    radius2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.fft.rfftfreq(box_px, 1 / box_px)[None, None, :] ** 2
    shells: np.ndarray = np.rint(np.sqrt(radius2)).astype(np.int64)
    return shells


def truth_fsc(volume: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """FSC of two cubic maps in shells 0 .. N//2; with ``mask``, both maps are multiplied by it first.

    A shell where either map is empty scores 0.
    """
    if volume.shape != truth.shape or (mask is not None and mask.shape != truth.shape):
        shapes = [None if m is None else m.shape for m in (volume, truth, mask)]
        raise ValueError(f"map, truth and mask have shapes {shapes}; expected one shape.")
    box_px = truth.shape[0]
    window = 1.0 if mask is None else mask.astype(np.float64)
    a = np.fft.rfftn(volume.astype(np.float64) * window)
    b = np.fft.rfftn(truth.astype(np.float64) * window)
    # The half-plane holds every coefficient once, but for kx = 0 (and kx = N/2) where +k and -k are both present.
    weight = np.full(a.shape[-1], 2.0)
    weight[0] = 1.0
    if box_px % 2 == 0:
        weight[-1] = 1.0
    shells = shell_index(box_px).ravel()

    def total(values: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.bincount(shells, (values * weight).ravel())[: box_px // 2 + 1]
        return sums

    product = total((a * b.conj()).real)
    power = total(np.abs(a) ** 2) * total(np.abs(b) ** 2)
    curve: np.ndarray = np.divide(product, np.sqrt(power), out=np.zeros_like(product), where=power > 0)
    return curve


def mean_fsc(curve: np.ndarray) -> float:
    """Mean over shells 1 .. 57/64 of N/2 (1 .. 57 for a box of 128)."""
    return float(np.mean(curve[1 : last_shell(curve) + 1]))


def last_shell(curve: np.ndarray) -> int:
    """Highest shell that counts."""
    return int((len(curve) - 1) * EDGE_FRACTION)


def resolution_a(curve: np.ndarray, pixel_size_a: float, threshold: float = 0.5) -> float:
    """Resolution where the curve first falls below the threshold, interpolated between shells; Nyquist if never."""
    box_a = 2 * (len(curve) - 1) * pixel_size_a
    for shell in range(1, len(curve)):
        if curve[shell] < threshold:
            if shell == 1:
                return box_a
            above, below = curve[shell - 1], curve[shell]
            return float(box_a / (shell - 1 + (above - threshold) / (above - below)))
    return 2 * pixel_size_a


def score(volume: np.ndarray, truth: np.ndarray, mask: np.ndarray, pixel_size_a: float) -> dict[str, float]:
    """Mean truth-FSC and resolution at truth-FSC 0.5, unmasked and masked."""
    plain, masked = truth_fsc(volume, truth), truth_fsc(volume, truth, mask)
    return {
        "mean_fsc": mean_fsc(plain),
        "resolution_a": resolution_a(plain, pixel_size_a),
        "mean_fsc_masked": mean_fsc(masked),
        "resolution_masked_a": resolution_a(masked, pixel_size_a),
    }


def main() -> None:
    from truth_maps import read_map, read_pixel_size_a

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("maps", type=Path, nargs="+")
    parser.add_argument("--curves", action="store_true", help="also print the masked and unmasked FSC per shell")
    arguments = parser.parse_args()
    truth, mask = read_map(arguments.truth), read_map(arguments.mask)
    pixel_size_a = read_pixel_size_a(arguments.truth)
    for path in arguments.maps:
        volume = read_map(path)
        print(path, " ".join(f"{name}={value:.4f}" for name, value in score(volume, truth, mask, pixel_size_a).items()))
        if arguments.curves:
            pairs = zip(truth_fsc(volume, truth), truth_fsc(volume, truth, mask), strict=True)
            for shell, (plain, masked) in enumerate(pairs):
                print(f"  {shell:4d} {plain:8.4f} {masked:8.4f}")


if __name__ == "__main__":
    main()
