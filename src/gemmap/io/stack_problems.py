"""What can be wrong with an image stack before a pixel is read: every one is found, and one sentence names them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gemmap.errors import FormatError, InputError
from gemmap.io.mrc_header import MrcHeader, read_header

SMALLEST_BOX_PX = 16
_NAMED = 3


@dataclass(frozen=True)
class StackProblem:
    """A stack that cannot be used.

    Attributes
    ----------
    path
        Its file; the name as written where no file was found.
    reason
        The rest of a sentence that begins with the path.
    advice
        What to do, if there is more to say.
    error
        Kind of error to raise.
    """

    path: str
    reason: str
    advice: str = ""
    error: type[InputError] | type[FormatError] = InputError


def header_problem(header: MrcHeader, last_image: int) -> StackProblem | None:
    """What keeps images 0 to ``last_image`` of a stack from being used, None if nothing."""
    path, (n, ny, nx) = str(header.path), header.shape
    if nx != ny:
        return StackProblem(path, f"has images of {nx} x {ny} px; expected square images")
    if header.axes != (1, 2, 3):
        return StackProblem(path, f"has axis order {header.axes}; expected (1, 2, 3) for a stack of images")
    if nx < SMALLEST_BOX_PX:
        return StackProblem(
            path, f"has a box of {nx} px; expected at least {SMALLEST_BOX_PX} px", "extract the particles again"
        )
    if last_image >= n:
        return StackProblem(
            path,
            f"holds {n} images; the particle file asks for image {last_image + 1}",
            "it belongs to another stack or another extraction",
        )
    return None


def read_headers(
    names: Sequence[str], paths: Sequence[Path | None], last_images: Iterable[int]
) -> tuple[list[MrcHeader], list[StackProblem]]:
    """Read the headers of stacks and find everything that is wrong.

    Parameters
    ----------
    names, paths
        Name as written, and file; None where there is none.
    last_images
        Highest 0-based image that is needed of each.

    Returns
    -------
    tuple
        Headers of those that can be used, and the problems of the others, both in the order given.
    """
    headers, problems = [], []
    for name, path, last in zip(names, paths, last_images, strict=True):
        if path is None:
            problems.append(StackProblem(name, "is missing"))
            continue
        try:
            header = read_header(path)
        except (InputError, FormatError) as error:
            reason = str(error).removeprefix(f"{path} ").removesuffix(".")
            problems.append(StackProblem(str(path), reason, error=type(error)))
            continue
        problem = header_problem(header, int(last))
        if problem is None:
            headers.append(header)
        else:
            problems.append(problem)
    return headers, problems


def refuse(problems: Sequence[StackProblem], n_stacks: int) -> None:
    """Raise if there is a problem; the sentence counts all and names the first three.

    Raises
    ------
    FormatError, InputError
        As the first problem says.
    """
    if not problems:
        return
    first = problems[0]
    if len(problems) == 1:
        advice = f": {first.advice}" if first.advice else ""
        raise first.error(f"{first.path} {first.reason}{advice}.")
    named = "; ".join(f"{problem.path} {problem.reason}" for problem in problems[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more, which gemmap check lists" if len(problems) > _NAMED else ""
    raise first.error(f"{len(problems)} of {n_stacks} image stacks cannot be used: {named}{more}.")
