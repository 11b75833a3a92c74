import dataclasses
import math

import pytest

from gemmap.errors import InputError
from gemmap.simulate.config import SimulationConfig

NUMBERS = [f.name for f in dataclasses.fields(SimulationConfig) if f.name not in {"noise", "orientation", "optics"}]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e12 * 1e12, "5", True, [1]])
def test_what_is_no_number_in_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*; expected a (whole )?number .*: change it"):
        SimulationConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("box_px", 7, "a whole number from 8 to 4096"),
        ("box_px", 64.0, "a whole number"),
        ("pixel_size_a", 0.0, "above 0 and at most 100"),
        ("n_particles", 0, "from 1"),
        ("snr", 0.0, "above 0"),
        ("solvent_contrast", 1.1, "from 0 to 1"),
        ("micelle_contrast", -1.1, "from -1 to 1"),
        ("voltage_kv", 300_000, "from 10 to 3000"),
        ("amplitude_contrast", 7.0, "from 0 to 1"),
        ("bfactor_a2", -1.0, "from 0"),
        ("seed", -1, "a whole number from 0"),
    ],
)
def test_limits_are_named(name: str, value: object, limits: str) -> None:
    with pytest.raises(InputError, match=rf"{name} is {value!r}; expected .*{limits}"):
        SimulationConfig(**{name: value})


@pytest.mark.parametrize(("name", "choices"), [("noise", "white or coloured"), ("orientation", "uniform or preferred")])
def test_unknown_choice_lists_the_known(name: str, choices: str) -> None:
    with pytest.raises(InputError, match=f"{name} is 'pink'; expected {choices}"):
        SimulationConfig(**{name: "pink"})


def test_defoci_in_order() -> None:
    with pytest.raises(InputError, match=r"defocus_min_a is 20000 and defocus_max_a 10000; .*swap them"):
        SimulationConfig(defocus_min_a=2e4, defocus_max_a=1e4)


@pytest.mark.parametrize("options", [{"orientation": "preferred"}, {"preferred_concentration": 5.0}])
def test_concentration_goes_with_preferred_views(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="concentration, such as 5, with 'preferred' and none with 'uniform'"):
        SimulationConfig(**options)
