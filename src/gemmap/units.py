"""Unit conversions at the edges of the program. Inside, lengths are ångström, angles radians, memory bytes."""

import math
import re

from gemmap.errors import InputError

#: One millimetre in ångström (spherical aberration is given in mm).
ANGSTROM_PER_MM = 1e7


def electron_wavelength_a(voltage_kv: float) -> float:
    """Relativistic electron wavelength in Å for an accelerating voltage in kV.

    Uses RELION's constants (``src/ctf.cpp``): 12.2643247 / sqrt(V (1 + 0.978466e-6 V)) with V in volts.

    Raises
    ------
    InputError
        If the voltage is not between 10 and 3000 kV; microscopes run at 80 to 300 kV.
    """
    if not 10.0 <= voltage_kv <= 3000.0:
        raise InputError(f"Voltage is {voltage_kv:g} kV; expected 10 to 3000 kV: check the file's voltage column.")
    volts = voltage_kv * 1e3
    return 12.2643247 / math.sqrt(volts * (1.0 + 0.978466e-6 * volts))


def parse_memory(text: str) -> int:
    """Return the bytes of an amount such as ``8GB``, ``8 GiB`` or ``500MB``; a bare number is in GB.

    Raises
    ------
    InputError
        If it is something else, or nothing.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGT])(i?))?B?\s*", text, re.IGNORECASE)
    if match is None:
        raise InputError(f"The memory is {text!r}; expected an amount such as 8GB.")
    number, unit, binary = match.groups()
    power = " KMGT".index(unit.upper()) if unit else 3
    n_bytes = int(float(number) * (1024 if binary else 1000) ** power)
    if n_bytes == 0:
        raise InputError(f"The memory is {text!r}; expected more than nothing, such as 8GB.")
    return n_bytes


def memory_text(n_bytes: int) -> str:
    """Return an amount of memory as `parse_memory` reads it: in GB (10^9 bytes), and below one in MB, kB or bytes."""
    for unit, size, digits in (("GB", 10**9, 1), ("MB", 10**6, 0), ("kB", 10**3, 0)):
        if n_bytes >= size:
            return f"{n_bytes / size:.{digits}f} {unit}"
    return f"{n_bytes} bytes"
