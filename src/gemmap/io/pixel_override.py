"""What a pixel size given by the user means beside that of the files."""

import numpy as np

from gemmap._types import PerParticle

#: A calibration is seldom corrected by more.
_LARGEST_CORRECTION = 0.02


def override_notes(override_a: float, file_sizes_a: PerParticle) -> list[str]:
    """Return a note if a pixel size differs from the files' so much that downsampling may have been meant, else none.

    Sizes that are no positive numbers are taken as not given.
    """
    with np.errstate(invalid="ignore"):
        given = file_sizes_a[np.isfinite(file_sizes_a) & (file_sizes_a > 0)]
    if not len(given) or np.abs(override_a / given - 1.0).max() <= _LARGEST_CORRECTION:
        return []
    farthest = given[np.argmax(np.abs(np.log(override_a / given)))]
    return [
        f"The pixel size given, {override_a:g} Å, is {override_a / farthest:.3g} times the file's {farthest:.6g} Å: it "
        "corrects a wrong calibration, and no image is resampled; to downsample, give --target-pixel-size or --box."
    ]
