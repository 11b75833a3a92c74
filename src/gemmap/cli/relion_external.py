"""``gemmap relion-external``: a reconstruction as an External job of RELION."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gemmap.cli import panels, passed_on
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError

EXAMPLE = examples(
    ("A job filled in, to load in RELION's window", "gemmap relion-external --template > gem_job.star"),
    (
        "As RELION runs it",
        "gemmap relion-external --o External/job012/ \\\n    --in_parts Refine3D/job010/run_data.star --j 8",
    ),
    then="In RELION: job type External; External executable: gemmap relion-external; Input particles: the data.star "
    "of a refinement; options of gemmap reconstruct as parameters, without the dashes.",
)
_USED = panels.MOST_USED


def _unused(name: str) -> Any:
    """An option that RELION gives where its user filled in more than this needs."""
    return typer.Option(name, metavar="FILE", help="Not used, and not there by default.", rich_help_panel=panels.FILES)


@reports_errors
def relion_external(
    ctx: typer.Context,
    job_folder: Annotated[
        str | None,
        typer.Option(
            "--o", metavar="FOLDER/", help="Folder of the job; needed.", show_default=False, rich_help_panel=_USED
        ),
    ] = None,
    particles: Annotated[
        str | None,
        typer.Option(
            "--in_parts",
            metavar="FILE",
            help="Particles, with angles; needed.",
            show_default=False,
            rich_help_panel=_USED,
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--in_mask",
            metavar="FILE",
            help="As --mask of gemmap reconstruct; none by default.",
            rich_help_panel=_USED,
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            "--j",
            metavar="N",
            help="Threads; by default all cores. A parameter 'threads' wins.",
            rich_help_panel=_USED,
        ),
    ] = None,
    template: Annotated[
        bool,
        typer.Option(
            "--template",
            help="Print a job.star with the External executable filled in, and stop.",
            rich_help_panel=_USED,
        ),
    ] = False,
    reference: Annotated[str | None, _unused("--in_3dref")] = None,
    movies: Annotated[str | None, _unused("--in_movies")] = None,
    micrographs: Annotated[str | None, _unused("--in_mics")] = None,
    coordinates: Annotated[str | None, _unused("--in_coords")] = None,
    pipeline_control: Annotated[
        str | None,
        typer.Option(
            "--pipeline_control",
            "--pipeline-control",
            metavar="FOLDER/",
            help="Not used, and not there by default: RELION adds it to every command that contains 'relion_'.",
            rich_help_panel=panels.FILES,
        ),
    ] = None,
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

    from gemmap.io.relion_job import RelionJob

    job = RelionJob(job_folder)
    with job.run():
        # Here, so that RELION is told of libraries that do not load, and of an abort while they do.
        from gemmap.api.relion_external import reconstruct_in_job
        from gemmap.api.run import summarise
        from gemmap.cli.screen import Screen
        from gemmap.report.summary import summary_lines

        others = {
            "--in_3dref": reference,
            "--in_movies": movies,
            "--in_mics": micrographs,
            "--in_coords": coordinates,
        }
        if particles is None:
            raise InputError("The job has no particles; choose Input particles: the data.star of a refinement.")
        given = passed_on.values_of(ctx.args, "RELION passes on")
        verbose, quiet = given.pop("verbose", False), given.pop("quiet", False)
        if mask is not None and "mask" in given:
            raise InputError("A mask is given twice, as Input mask and as a parameter; leave one out.")
        defaults = {"particles": particles, "threads": threads, "mask": mask}
        options = passed_on.options_of(
            {name: value for name, value in defaults.items() if value is not None} | given, "The External job"
        )
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
