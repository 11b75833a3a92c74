"""Words by which a user says what a file leaves open."""

from typing import Literal, TypeAlias

#: CTF B-factors as RELION's formula has them, where negative ones amplify, or all as damping.
BFactorSign: TypeAlias = Literal["file", "damping"]
#: Aberrations and anisotropic magnification in cryoSPARC's fields: refused unless zero, modelled by the convention of
#: ``io.cs_aberrations``, or left out.
CsAberrations: TypeAlias = Literal["refuse", "model", "ignore"]
