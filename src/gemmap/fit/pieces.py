"""Values of a reconstruction as pieces that a keeper can keep, and back, bit by bit."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import numpy as np
import torch
from torch import Tensor

from gemmap._types import Float, Volume
from gemmap.fit.adam import Adam
from gemmap.fit.aggregate import Accumulator
from gemmap.fit.agreement import Agreement, HeldOutAgreement
from gemmap.fit.choice import Choice, Gain, Settings
from gemmap.fit.keeper import Piece
from gemmap.fit.parameters import Parameters
from gemmap.fit.records import FitResult, StepRecord
from gemmap.fit.training import MeanLoss, State
from gemmap.fit.voxels import VoxelSettings
from gemmap.gaussians.model import Gaussians
from gemmap.particles.dead_images import DeadImages

_AGREEMENT_KINDS = ("held_out", "fitted")


def accumulator_to_piece(accumulator: Accumulator, done: int, begin: int = 0) -> Piece:
    """Return the sums so far, not copied; ``done`` particles of the half, from ``begin`` on, were read for them."""
    values = {"n_particles": accumulator.n_particles, "begin": begin, "done": done}
    return {"sums": torch.from_numpy(accumulator.sums)}, values


def is_of_share(piece: Piece, begin: int, count: int) -> bool:
    """Whether sums are of the first particles of a share: other processes of a run have others, so may those before."""
    return bool(piece[1]["begin"] == begin and piece[1]["done"] <= count)


def accumulator_from_piece(piece: Piece, into: Accumulator) -> int:
    """Replace the sums of an accumulator; return how many particles of the half were read for them."""
    tensors, values = piece
    into.sums = tensors["sums"].numpy()
    into.n_particles = int(values["n_particles"])
    return int(values["done"])


def dead_to_piece(dead: DeadImages) -> Piece:
    """Return the rows of dead images."""
    return {"rows": torch.from_numpy(dead.rows)}, {}


def dead_from_piece(piece: Piece) -> list[int]:
    """Return the rows that `dead_to_piece` took."""
    return [int(row) for row in piece[0]["rows"]]


def choice_to_piece(choice: Choice) -> Piece:
    """Return what trials decided."""
    tensors = {
        "gains": _float64([(gain.value, gain.error) for gain in choice.gains]),
        "trial": _tensor(choice.trial),
        "error": _tensor(choice.error),
        "score": _float64([choice.score]),
        "scores": _float64(choice.scores).reshape(-1, 2),
    }
    for kind in _AGREEMENT_KINDS:
        for name, one in getattr(choice.agreement, kind).items():
            tensors[f"{kind}_{name}"] = _float64([*map(list, (one.product, one.power, one.n_values))])
            tensors[f"{kind}_{name}_particles"] = torch.tensor(one.n_particles)
    return tensors, asdict(choice.settings)


def choice_from_piece(piece: Piece) -> Choice:
    """Return the choice that `choice_to_piece` took apart."""
    tensors, values = piece
    return Choice(
        settings=Settings(**{**values, "voxels": VoxelSettings(**values["voxels"])}),
        gains=tuple(Gain(float(value), float(error)) for value, error in tensors["gains"]),
        trial=tensors["trial"].numpy(),
        error=tensors["error"].numpy(),
        score=float(tensors["score"]),
        agreement=HeldOutAgreement(
            **{
                kind: {name: _agreement(tensors, f"{kind}_{name}") for name in ("map", "backprojection")}
                for kind in _AGREEMENT_KINDS
            }
        ),
        scores=tuple((int(step), float(score)) for step, score in tensors["scores"]),
    )


def _agreement(tensors: Mapping[str, Tensor], name: str) -> Agreement:
    product, power, n_values = tensors[name].numpy()
    return Agreement(product, power, n_values, int(tensors[f"{name}_particles"]))


def fit_to_piece(result: FitResult) -> Piece:
    """Return a fit."""
    tensors = {
        "map": _tensor(result.map),
        "backprojection": _tensor(result.backprojection),
        "voxels": _tensor(result.voxels),
        **{f.name: getattr(result.gaussians, f.name) for f in fields(Gaussians)},
        "steps": _float64([(s.step, s.loss, s.seconds, s.n_gaussians) for s in result.steps]),
    }
    values = {
        "stopped_because": result.stopped_because,
        "seed": result.seed,
        "n_particles": result.n_particles,
        "details": dict(result.details),
        "symmetry": result.symmetry,
    }
    return tensors, values


def fit_from_piece(piece: Piece) -> FitResult:
    """Return the fit that `fit_to_piece` took apart."""
    tensors, values = piece
    return FitResult(
        map=tensors["map"].numpy(),
        backprojection=tensors["backprojection"].numpy(),
        voxels=tensors["voxels"].numpy(),
        gaussians=Gaussians(**{f.name: tensors[f.name] for f in fields(Gaussians)}),
        steps=_steps(tensors["steps"]),
        stopped_because=values["stopped_because"],
        seed=values["seed"],
        n_particles=values["n_particles"],
        details=values["details"],
        symmetry=values["symmetry"],
    )


def training_to_piece(state: State, records: Sequence[StepRecord]) -> Piece:
    """Return where a training is, and the way there."""
    tensors = {
        **{f.name: getattr(state.parameters, f.name) for f in fields(Parameters)},
        **{f"first_moment{i}": m for i, m in enumerate(state.adam.first)},
        **{f"second_moment{i}": v for i, v in enumerate(state.adam.second)},
        "pull": state.pull,
        "losses": _float64([(loss.mean, loss.spread, loss.n_images) for loss in (state.first, state.loss)]),
        "steps": _float64([(s.step, s.loss, s.seconds, s.n_gaussians) for s in records]),
    }
    values = {
        "number": state.number,
        "adam_steps": state.adam.steps,
        "relative_epsilon": state.adam.relative_epsilon,
    }
    return tensors, values


def training_from_piece(piece: Piece, device: torch.device) -> tuple[State, list[StepRecord]]:
    """Return the training that `training_to_piece` took apart."""
    tensors = {name: tensor.to(device) for name, tensor in piece[0].items()}
    first, last = (MeanLoss(float(mean), float(spread), int(n)) for mean, spread, n in tensors["losses"])
    places = range(len(fields(Parameters)))
    adam = Adam(
        [tensors[f"first_moment{i}"] for i in places],
        [tensors[f"second_moment{i}"] for i in places],
        piece[1]["adam_steps"],
        piece[1]["relative_epsilon"],
    )
    state = State(
        number=piece[1]["number"],
        parameters=Parameters(**{f.name: tensors[f.name] for f in fields(Parameters)}),
        adam=adam,
        pull=tensors["pull"],
        first=first,
        loss=last,
    )
    return state, [*_steps(tensors["steps"])]


def map_to_piece(volume: Volume) -> Piece:
    """Return a map."""
    return {"map": _tensor(volume)}, {}


def map_from_piece(piece: Piece) -> Volume:
    """Return the map that `map_to_piece` was given."""
    return piece[0]["map"].numpy()


def _steps(rows: Tensor) -> tuple[StepRecord, ...]:
    return tuple(StepRecord(int(step), float(loss), float(s), int(n)) for step, loss, s, n in rows)


def _tensor(array: Float[np.ndarray, "..."]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _float64(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)
