"""An External job on a cryoSPARC server, through Structura's package cryosparc-tools, version 5.

Everything that needs the server is in this module. It has never met one: the tests check its calls against the
signatures of cryosparc-tools, and its data sets are real, but what a server makes of them is not known.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gemmap.errors import GemError, InputError, OutputError, reason_of

#: Name of the job's input and output.
_PARTICLES, _VOLUME = "particles", "volume"
#: Parts of the particles without which nothing can be reconstructed.
_NEEDED = ("blob", "ctf", "alignments3D")


def open_job(
    url: str | None, project: str, workspace: str, source: str, source_output: str, title: str
) -> "CryosparcJob":
    """Make an External job whose input are the particles of another job.

    Parameters
    ----------
    url
        Of the server, as a browser shows it; None for the environment variable ``CRYOSPARC_BASE_URL``.
    project, workspace, source
        Numbers of the project (``P3``), the workspace (``W1``) and the job that has the particles (``J42``).
    source_output
        Output of that job.
    title
        Of the new job.

    Raises
    ------
    InputError
        If cryosparc-tools is not installed, the server does not answer, or there is no such project or job.
    """
    try:
        from cryosparc.tools import CryoSPARC
    except ImportError as error:
        raise InputError("cryosparc-tools is not installed; install gemmap[cryosparc].") from error
    with _told_as(InputError, "cryoSPARC cannot be reached", "log in with python -m cryosparc.tools login"):
        server = CryoSPARC(url) if url is not None else CryoSPARC()
    with _told_as(InputError, f"{project} {source} cannot be opened in cryoSPARC", "correct --project or --job"):
        its_project = server.find_project(project)
        its_source = its_project.find_job(source)
        outputs = its_source.outputs
    kind = outputs[source_output].type if source_output in outputs else None
    if kind != "particle":
        have = ", ".join(name for name, output in outputs.items() if output.type == "particle") or "none"
        raise InputError(f"{source} has no particles {source_output!r}, but {have}; correct --job-output.")
    with _told_as(InputError, f"No job can be made in {project} {workspace}", "correct --workspace"):
        job = its_project.create_external_job(workspace, title)
        job.connect(_PARTICLES, source, source_output, slots=list(_NEEDED))
    return CryosparcJob(its_project, job, _volume_types(outputs))


def _volume_types(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return what the server calls the type of each part of a volume, as far as a refinement's outputs tell."""
    volumes = [output for output in outputs.values() if output.type == "volume"]
    return {result.name: result.dtype for output in volumes for result in output.results}


class CryosparcJob:
    """What a reconstruction wants of an External job; an ``api.cryosparc_external.ExternalJob``.

    Parameters
    ----------
    project, job
        Controllers of cryosparc-tools.
    volume_types
        Type of each part that a volume can have on this server, by the part's name.
    """

    def __init__(self, project: Any, job: Any, volume_types: Mapping[str, str]) -> None:
        self._project, self._job = project, job
        self._volume_types = volume_types
        self.uid: str = job.uid

    @property
    def volume_parts(self) -> tuple[str, ...]:
        """Names of the parts that a volume can have."""
        return tuple(self._volume_types)

    @property
    def project_folder(self) -> Path:
        """Folder of the project, as the server sees it."""
        with _told_as(InputError, "The folder of the project is not known", "give --datadir"):
            return Path(str(self._project.dir))

    def start(self) -> None:
        """Show the job as running."""
        with _told_as(InputError, f"{self.uid} cannot be started", "look at the job in cryoSPARC"):
            self._job.start("running")

    def complete(self) -> None:
        """Show the job as completed."""
        with self._writing():
            self._job.stop()

    def fail(self, reason: str) -> None:
        """Show the job as failed."""
        with self._writing():
            self._job.stop(error=reason)

    def save_particles(self, path: Path) -> None:
        """Write the particles of the input, with all that the job passes through, to a ``.cs`` file."""
        with _told_as(InputError, f"The particles of {self.uid} cannot be loaded", "look at the job in cryoSPARC"):
            particles = self._job.load_input(_PARTICLES)
        with _told_as(OutputError, f"Cannot write {path}", "choose another folder"):
            particles.save(path)

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        with self._writing():
            self._job.log(text)

    def log_figure(self, path: Path, text: str) -> None:
        """Add a figure, a PNG file, to the job's log."""
        # cryosparc-tools leaves open what it opens itself, here and below.
        with self._writing(), open(path, "rb") as picture:
            self._job.log_plot(picture, text, formats=["png"])

    def upload(self, path: Path) -> None:
        """Put a file into the job's folder."""
        with self._writing(), open(path, "rb") as content:
            self._job.upload(path.name, content, overwrite=True)

    def save_volume(self, files: Mapping[str, str], box_px: int, pixel_size_a: float, image: Path | None) -> None:
        """Make uploaded maps the job's output.

        Parameters
        ----------
        files
            Name of an uploaded file by the part of the volume it is, such as ``map_half_A``.
        box_px, pixel_size_a
            Of the maps, the latter in Å.
        image
            Picture of the output, a PNG file.
        """
        with self._writing():
            slots = [{"name": part, "dtype": self._volume_types[part]} for part in files]
            volume = self._job.add_output("volume", _VOLUME, slots=slots, title="Map and half-maps", alloc=1)
            for part, file in files.items():
                volume[f"{part}/path"] = [f"{self.uid}/{file}"]
                volume[f"{part}/shape"] = [(box_px,) * 3]
                volume[f"{part}/psize_A"] = [pixel_size_a]
            self._job.save_output(_VOLUME, volume)
            if image is not None:
                with open(image, "rb") as picture:
                    self._job.set_output_image(_VOLUME, picture)
                with open(image, "rb") as picture:
                    self._job.set_tile_image(picture)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _told_as(OutputError, f"cryoSPARC does not take what {self.uid} has to say", "look at the job there"):
            yield


@contextmanager
def _told_as(kind: type[GemError], what: str, advice: str) -> Iterator[None]:
    """Turn what cryosparc-tools raises, which is of no one class, into one sentence."""
    try:
        yield
    except GemError:
        raise
    except Exception as error:
        raise kind(f"{what} ({reason_of(error)}); {advice}.") from error
