"""External jobs of RELION: the files by which its pipeliner and another program understand each other.

RELION makes the job's folder, starts the program in the project folder, and waits until one of three empty files says
how it ended. A user who aborts the job leaves an empty file for the program to find. After success RELION reads which
files other jobs may take up. Source: what RELION 3.1 does when its pipeliner runs such a job; the names of types in
RELION 4 and later are those of its ``pipeline_jobs.h``.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gemmap.errors import OutputError
from gemmap.io.star import write_star

SUCCESS, FAILURE, ABORTED = "RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE", "RELION_JOB_EXIT_ABORTED"
ABORT_NOW = "RELION_JOB_ABORT_NOW"
OUTPUT_NODES = "RELION_OUTPUT_NODES.star"
_STATES = (SUCCESS, FAILURE, ABORTED, ABORT_NOW)


@dataclass(frozen=True)
class NodeType:
    """What RELION takes a file for: a number in version 3.1, a label since version 4."""

    number: int
    label: str


PARTICLES = NodeType(3, "ParticleGroupMetadata.star.relion")
MAP = NodeType(6, "DensityMap.mrc")
MASK = NodeType(7, "Mask3D.mrc")
HALF_MAP = NodeType(10, "DensityMap.mrc.halfmap")
LOCAL_RESOLUTION = NodeType(12, "Image3D.mrc.localresmap")

#: Files of a run that other jobs can take up.
NODES = {
    "run_class001.mrc": MAP,
    "run_half1_class001_unfil.mrc": HALF_MAP,
    "run_half2_class001_unfil.mrc": HALF_MAP,
    "run_class001_sharpened.mrc": MAP,
    "mask.mrc": MASK,
    "locres.mrc": LOCAL_RESOLUTION,
    "particles.star": PARTICLES,
}

#: Options of RELION's External job, as its versions 3.1 to 5 name them, that a user may want to fill in.
_JOB_OPTIONS = ("in_part", "in_mask", *(f"param{number}_{part}" for number in (1, 2, 3) for part in ("label", "value")))


class RelionJob:
    """The folder of an External job.

    Parameters
    ----------
    name
        As RELION passes it to ``--o``: relative to the project folder, which is the working folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = Path(name)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Tell RELION how the block ends: success, failure, or aborted by a KeyboardInterrupt.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for state in (*_STATES, OUTPUT_NODES):  # of an earlier run
                (self.folder / state).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot write to {self.name}: {error.strerror or error}; correct --o.") from error
        try:
            yield
        except BaseException as error:
            aborted = isinstance(error, KeyboardInterrupt)
            with suppress(OSError):  # must not hide why the run ended
                (self.folder / (ABORTED if aborted else FAILURE)).touch()
                (self.folder / ABORT_NOW).unlink(missing_ok=True)
            raise
        (self.folder / SUCCESS).touch()

    @property
    def abort_asked(self) -> bool:
        """Whether the user aborted the job in RELION."""
        return (self.folder / ABORT_NOW).exists()

    def write_nodes(self) -> None:
        """Tell RELION which of `NODES` are there, in words that every version understands.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        there = {file: kind for file, kind in NODES.items() if (self.folder / file).is_file()}
        columns = {
            "rlnPipeLineNodeName": [f"{self.name.rstrip('/')}/{file}" for file in there],
            "rlnPipeLineNodeType": [str(kind.number) for kind in there.values()],
            "rlnPipeLineNodeTypeLabel": [kind.label for kind in there.values()],
        }
        write_star(self.folder / OUTPUT_NODES, {"output_nodes": columns}, block_comment="version 30001")


def job_star(program: str) -> str:
    """Return a ``job.star`` for RELION 3.1 to 5: an External job that runs a program's ``relion-external``.

    Options that are not in it have RELION's defaults.
    """
    options = {"fn_exe": f"{shlex.quote(program)} relion-external", **dict.fromkeys(_JOB_OPTIONS, ""), "nr_threads": 1}
    # RELION 4 and later read the label of the type, 3.1 its number.
    head = {"JobTypeLabel": "relion.external", "JobType": 99, "JobIsContinue": 0, "JobIsTomo": 0}
    return (
        "# version 30001\n\ndata_job\n\n"
        + "".join(f"_rln{name:<14} {value}\n" for name, value in head.items())
        + "\n# version 30001\n\ndata_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        + "".join(f'{name:<12} "{value}"\n' for name, value in options.items())
        + "\n"
    )
