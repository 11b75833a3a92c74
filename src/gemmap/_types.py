"""Array aliases used in signatures: shapes and axes for the reader, checked by nothing at run time."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

#: Volume in real space, axes (z, y, x).
Volume: TypeAlias = Float[np.ndarray, "d d d"]
#: Stack of images, axes (particle, y, x).
Images: TypeAlias = Float[np.ndarray, "n d d"]
#: Rotations A with p_img = A p_vol, xyz column vectors.
Rotations: TypeAlias = Float[np.ndarray, "n 3 3"]
#: In-plane shifts (x, y) in Å.
Shifts: TypeAlias = Float[np.ndarray, "n 2"]
#: One number per particle.
PerParticle: TypeAlias = Float[np.ndarray, " n"]
#: Curve over Fourier shells 0 .. n-1.
Curve: TypeAlias = Float[np.ndarray, " shells"]

__all__ = ["Bool", "Complex", "Curve", "Float", "Images", "Int", "PerParticle", "Rotations", "Shifts", "Volume"]
