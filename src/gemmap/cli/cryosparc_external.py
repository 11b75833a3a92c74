"""``gemmap cryosparc-external``: a reconstruction as an External job of cryoSPARC."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import passed_on
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError

EXAMPLE = examples(
    (
        "An External job with the particles of J42",
        "gemmap cryosparc-external --url http://localhost:39000 --project P3 \\\n"
        "    --workspace W1 --job J42 -o gem/J42 --sym D7",
    ),
    then="Its progress and its maps appear in cryoSPARC. Needs cryosparc-tools: pip install 'gemmap\\[cryosparc]', and "
    "once: python -m cryosparc.tools login --url http://localhost:39000",
)


@reports_errors
def cryosparc_external(
    ctx: typer.Context,
    project: Annotated[str, typer.Option(metavar="P3", help="Project.", show_default=False)],
    workspace: Annotated[str, typer.Option(metavar="W1", help="Workspace for the new job.", show_default=False)],
    source: Annotated[
        str, typer.Option("--job", metavar="J42", help="Job with the particles: a refinement.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder for all results; must not exist.", show_default=False
        ),
    ],
    source_output: Annotated[str, typer.Option("--job-output", metavar="NAME", help="Output of that job.")] = (
        "particles"
    ),
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of cryoSPARC; by default CRYOSPARC_BASE_URL.", show_default=False),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the new job.")] = "GEM reconstruction",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results in an existing folder; other files stay.")
    ] = False,
) -> None:
    """Reconstruct as an External job of cryoSPARC.

    Every other option is one of gemmap reconstruct. This was tested without a server.
    """
    from gemmap.api.cryosparc_external import reconstruct_for_cryosparc
    from gemmap.api.options import ReconstructionOptions
    from gemmap.api.run import summarise
    from gemmap.cli.screen import Screen
    from gemmap.io.cryosparc_server import open_job
    from gemmap.io.folders import require_free
    from gemmap.report.summary import summary_lines

    # All that can be wrong here is found before anything is made in cryoSPARC.
    given = passed_on.values_of(ctx.args, "The command has the option")
    screen = Screen(given.pop("verbose", False), given.pop("quiet", False))
    if "passthrough" in given:
        raise InputError("--passthrough has no meaning here: cryoSPARC joins the particles; leave it out.")

    def options(particles: Path, project_folder: Path) -> ReconstructionOptions:
        return passed_on.options_of({"datadir": project_folder, **given, "particles": particles}, "The command")

    options(output / "particles.cs", Path())
    require_free(output, overwrite)
    job = open_job(url, project, workspace, source, source_output, title)
    screen.say(f"Job                {project} {job.uid}")
    result = reconstruct_for_cryosparc(
        job,
        options,
        output,
        screen.progress(),
        lambda plan: screen.plan(plan.lines(), asdict(plan.options)),
        ["gemmap", *sys.argv[1:]],
    )
    screen.result(summary_lines(summarise(result)))
