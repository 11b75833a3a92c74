"""``gemmap relion-external``: a reconstruction as an External job of RELION."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from gemmap.cli.errors import reports_errors
from gemmap.cli.reconstruct import reconstruct
from gemmap.errors import InputError

if TYPE_CHECKING:
    from gemmap.api.options import ReconstructionOptions

EXAMPLE = (
    "[bold]In RELION:[/bold] job type External; External executable: gemmap relion-external; Input particles: "
    "Refine3D/job010/run_data.star; Param1 label: sym, value: D2\n\n"
    "[bold]Filled in:[/bold] gemmap relion-external --template > gem_job.star\n\n"
    "[bold]As RELION runs it:[/bold] gemmap relion-external --o External/job012/ --in_parts "
    "Refine3D/job010/run_data.star --j 8"
)
#: RELION passes on parameters that no option here names; they are read as options of ``reconstruct``.
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
#: Of the words that cannot be read as options; typer has it under this name only.
_UsageError = cast(type[Exception], typer.BadParameter.__base__)


@reports_errors
def relion_external(
    ctx: typer.Context,
    job_folder: Annotated[
        str | None, typer.Option("--o", metavar="FOLDER/", help="Folder of the job.", show_default=False)
    ] = None,
    particles: Annotated[
        str | None, typer.Option("--in_parts", metavar="FILE", help="Particles, with angles.", show_default=False)
    ] = None,
    mask: Annotated[
        str | None, typer.Option("--in_mask", metavar="FILE", help="As --mask of gemmap reconstruct.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--in_3dref", metavar="FILE", help="Not used.")] = None,
    movies: Annotated[str | None, typer.Option("--in_movies", metavar="FILE", help="Not used.")] = None,
    micrographs: Annotated[str | None, typer.Option("--in_mics", metavar="FILE", help="Not used.")] = None,
    coordinates: Annotated[str | None, typer.Option("--in_coords", metavar="FILE", help="Not used.")] = None,
    threads: Annotated[
        str | None, typer.Option("--j", metavar="N", help="Threads; a parameter 'threads' wins.")
    ] = None,
    pipeline_control: Annotated[
        str | None,
        typer.Option(
            "--pipeline_control",
            "--pipeline-control",
            metavar="FOLDER/",
            help="Not used: RELION adds it to every command that contains 'relion_'.",
        ),
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print a job.star with the External executable filled in, and stop.")
    ] = False,
) -> None:
    """Reconstruct as an External job of RELION, which calls this command.

    Every other option is one of gemmap reconstruct: in RELION, a parameter with the option's name as its label, without
    the dashes.
    """
    if template:
        from gemmap.io.relion_job import job_star

        typer.echo(job_star(_own_program()), nl=False)
        return
    if job_folder is None:
        raise InputError("No folder of the job was given; give --o External/job012/, as RELION does.")

    from gemmap.api.relion_external import reconstruct_in_job
    from gemmap.api.run import summarise
    from gemmap.cli.screen import Screen
    from gemmap.io.relion_job import RelionJob
    from gemmap.report.summary import summary_lines

    job = RelionJob(job_folder)
    with job.run():
        others = {
            "--in_3dref": reference,
            "--in_movies": movies,
            "--in_mics": micrographs,
            "--in_coords": coordinates,
        }
        if particles is None:
            raise InputError("The job has no particles; choose Input particles: the data.star of a refinement.")
        given = _reconstruct_values(ctx.args)
        verbose, quiet = given.pop("verbose", False), given.pop("quiet", False)
        if mask is not None and "mask" in given:
            raise InputError("A mask is given twice, as Input mask and as a parameter; leave one out.")
        defaults = {"particles": particles, "threads": threads, "mask": mask}
        options = _options({name: value for name, value in defaults.items() if value is not None} | given)
        screen = Screen(verbose, quiet)
        screen.say(*(f"{name} {file} is not used." for name, file in others.items() if file is not None))
        result = reconstruct_in_job(
            job,
            options,
            screen.progress(),
            lambda plan: screen.plan(plan.lines(), asdict(plan.options)),
            ["gemmap", *sys.argv[1:]],
        )
        screen.result(summary_lines(summarise(result)))


def _own_program() -> str:
    """Return where this program is: RELION is often started without its folder in the PATH."""
    script = Path(sys.executable).with_name("gemmap")
    return str(script) if script.is_file() else "gemmap"


def _reconstruct_values(words: Sequence[str]) -> dict[str, Any]:
    """Return options of ``reconstruct`` by name, without those that the job decides.

    Raises
    ------
    InputError
        If there is no such option, its value is wrong, or it is the job's to decide.
    """
    from gemmap.api.options import ReconstructionOptions

    reader = typer.Typer()
    reader.command()(reconstruct)
    command = typer.main.get_command(reader)
    # Its first argument, so that a stray word is one too many and not taken for the particles.
    try:
        ctx = command.make_context("relion-external", ["particles", *words])
    except _UsageError as error:
        reason = cast(Any, error).format_message().rstrip(".")
        raise InputError(
            f"RELION passes on {shlex.join(words)}, which is wrong: {reason}; correct the parameters of the job, which "
            "are options of gemmap reconstruct."
        ) from error
    explicit = {}
    for name, value in ctx.params.items():
        source = ctx.get_parameter_source(name)
        if name != "particles" and source is not None and source.name == "COMMANDLINE":
            explicit[name] = value
    allowed = {"config", "verbose", "quiet", *(field.name for field in fields(ReconstructionOptions))}
    refused = [name for name in explicit if name not in allowed]
    if refused:
        raise InputError(f"--{refused[0].replace('_', '-')} is for RELION to decide, not a parameter; leave it out.")
    return explicit


def _options(given: dict[str, Any]) -> "ReconstructionOptions":
    """Return options from those that are given, and from a ``config.yaml`` if one is among them."""
    from gemmap.api.options import ReconstructionOptions, read_config

    config = given.pop("config", None)
    before = {} if config is None else read_config(config)
    return ReconstructionOptions.from_values({**before, **given}, "The External job")
