"""Every option of a reconstruction, as one value that goes to a file and comes back."""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from gemmap.api.reading import ReadingOptions, require_choices
from gemmap.errors import InputError, reason_of
from gemmap.evidence.selection import named
from gemmap.fit.config import FitConfig, Shape
from gemmap.fit.schedule import Loss, Schedule, Start
from gemmap.io.opening import read_text
from gemmap.units import parse_memory

#: Distance in Å of the windows of local resolution; `gemmap.validate.local_resolution.SAMPLING_A`, which takes SciPy.
SAMPLING_A = 25.0

Engine = Literal["aggregate", "images"]
#: Options of the images engine; they have no meaning for the other.
IMAGES_OPTIONS = ("epochs", "batch_size", "loss", "start", "rate")
#: What options may be that are one of a few words.
CHOICES = {"engine": get_args(Engine), "loss": get_args(Loss), "start": get_args(Start), "shape": get_args(Shape)}


@dataclass(frozen=True)
class ReconstructionOptions(ReadingOptions):
    """Options of :func:`gemmap.reconstruct`, which describes them; paths are absolute.

    ``particles`` is None for particles given as arrays.
    """

    flip_hand: bool = False
    phase_flipped: bool = False
    premultiplied: bool = False
    box_px: int | None = None
    target_pixel_size_a: float | None = None
    max_resolution_a: float | None = None
    normalise: bool = False
    window: bool = False
    particle_diameter_a: float | None = None
    n_gaussians: int | None = None
    mask: Path | None = None
    sym: str = FitConfig.symmetry
    engine: Engine = "aggregate"
    epochs: int | None = None
    batch_size: int = Schedule.batch_size
    loss: Loss = Schedule.loss
    start: Start = Schedule.start
    rate: float = Schedule.rate
    shape: Shape = FitConfig.shape
    max_steps: int = FitConfig.max_steps
    local_resolution: bool = True
    local_sampling_a: float = SAMPLING_A
    check: bool = True
    seed: int = FitConfig.seed
    threads: int | None = None
    device: str = "auto"
    memory: str | None = None
    gpu_memory: str | None = None
    save_aggregates: bool = False
    evidence: str | None = None
    checkpoint_interval_s: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # Its name as RELION writes it, or a refusal.
        group = FitConfig(symmetry=self.sym).group
        object.__setattr__(self, "sym", group.name)
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}; expected 0 or more.")
        _ = self.memory_bytes, self.gpu_memory_bytes
        if not 0.0 < self.local_sampling_a < math.inf:
            raise InputError(
                f"The windows of local resolution are {self.local_sampling_a:g} Å apart; expected more than 0."
            )
        if not 0.0 <= self.checkpoint_interval_s < math.inf:
            raise InputError(f"The checkpoint interval is {self.checkpoint_interval_s:g} s; expected 0 or more.")
        require_choices(self, CHOICES)
        if self.evidence is not None:
            object.__setattr__(self, "evidence", ",".join(named(self.evidence)))
        if self.phase_flipped and self.premultiplied:
            raise InputError("Images are phase-flipped or premultiplied, not both: give one of the two options.")
        if self.engine == "aggregate":
            others = [f for f in fields(self) if f.name in IMAGES_OPTIONS and getattr(self, f.name) != f.default]
            if others:
                raise InputError(
                    f"{others[0].name} is an option of the images engine; add --engine images or leave it out."
                )
        object.__setattr__(self, "mask", None if self.mask is None else Path(self.mask).absolute())

    @property
    def memory_bytes(self) -> int | None:
        """Most memory to use, None for all that is left."""
        return None if self.memory is None else parse_memory(self.memory)

    @property
    def gpu_memory_bytes(self) -> int | None:
        """Most memory of the GPU to use, None for all that is left."""
        return None if self.gpu_memory is None else parse_memory(self.gpu_memory)

    def fit_config(self, device: str) -> FitConfig:
        """Return the options of the fit, on a device that exists."""
        return FitConfig(
            particle_diameter_a=self.particle_diameter_a,
            n_gaussians=self.n_gaussians,
            max_steps=self.max_steps,
            seed=self.seed,
            device=device,
            shape=self.shape,
            normalise=self.normalise,
            window=self.window,
            schedule=self._schedule() if self.engine == "images" else None,
            symmetry=self.sym,
        )

    def _schedule(self) -> Schedule:
        return Schedule(self.epochs, self.batch_size, self.loss, self.start, self.rate)

    @property
    def input_files(self) -> tuple[Path, ...]:
        """Files named by the options, without the image stacks that those files name."""
        return (*super().input_files, *(() if self.mask is None else (self.mask,)))

    @classmethod
    def from_values(cls, given: Mapping[str, Any], source: str) -> Self:
        """Return options from plain values, such as those of a file; the rest keep their defaults.

        Raises
        ------
        InputError
            Naming ``source`` and the first value that is unknown, missing or of the wrong type.
        """
        from pydantic import TypeAdapter, ValidationError

        known = [f.name for f in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InputError(f"{source} has an option {unknown[0]!r}; expected some of {', '.join(known)}.")
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in given]
        if missing:
            raise InputError(f"{source} does not say {missing[0]!r}; expected it.")
        try:
            return TypeAdapter(cls).validate_python(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"{source}: option {first['loc'][0]} is {reprlib.repr(first['input'])}, but "
                f"{first['msg'][0].lower()}{first['msg'][1:]}; correct it."
            ) from error


def read_config(path: Path) -> dict[str, Any]:
    """Read the options in a ``config.yaml``; names and types are checked when they are used.

    Raises
    ------
    InputError
        If the file cannot be read or is not a list of ``name: value``.
    """
    import yaml

    text = read_text(path, "the config.yaml of a run")
    try:
        content = yaml.safe_load(text)
    except (RecursionError, yaml.YAMLError) as error:
        reason = reason_of(error)
        raise InputError(f"{path} is not a YAML file ({reason}); give the config.yaml of a run.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no options; expected lines such as 'seed: 0', as a run's config.yaml has them.")
    return {str(name): value for name, value in content.items()}
