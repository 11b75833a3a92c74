"""``gemmap validate``: half-maps of any program, judged."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors

EXAMPLE = (
    "[bold]Example:[/bold] gemmap validate run_half1_class001_unfil.mrc run_half2_class001_unfil.mrc -o validation"
)


@reports_errors
def validate(
    half1: Annotated[Path, typer.Argument(help="Half-map 1, unmasked and unfiltered.")],
    half2: Annotated[Path, typer.Argument(help="Half-map 2.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; must not exist.")],
    mask: Annotated[
        Path | None, typer.Option(metavar="MAP", help="Mask, 0 to 1; made from the maps by default.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="A", help="Voxel size in Å, in place of the header's.")
    ] = None,
    bfactor: Annotated[
        float | None, typer.Option(metavar="A2", help="B-factor in Å^2, negative to sharpen; fitted by default.")
    ] = None,
    guinier_from: Annotated[
        float, typer.Option(metavar="A", help="Coarsest resolution of the B-factor's fit in Å.")
    ] = 10.0,
    local_sampling: Annotated[
        float, typer.Option(metavar="A", help="Distance in Å of the windows of local resolution.")
    ] = 25.0,
    local: Annotated[bool, typer.Option("--local/--no-local", help="Measure the local resolution.")] = True,
    fsc3d: Annotated[bool, typer.Option("--fsc3d", help="Write the 3-D FSC, fsc3d.mrc.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of random phases and of the interval.")] = 0,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads; all cores by default.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier validation; other files stay.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.")] = False,
) -> None:
    """Measure FSC, resolution with its interval, B-factor, local and directional resolution of two half-maps."""
    from gemmap.api.validation import validate as run
    from gemmap.api.validation import validation_lines
    from gemmap.cli.screen import Screen
    from gemmap.report.summary import label_lines
    from gemmap.validate.postprocess import PostprocessOptions

    screen = Screen(verbose=False, quiet=quiet)
    options = PostprocessOptions(bfactor, guinier_from, local_sampling if local else None, seed, fsc3d)
    result = run(
        half1,
        half2,
        output,
        mask=mask,
        pixel_size_a=pixel_size,
        options=options,
        n_threads=threads,
        overwrite=overwrite,
        progress=screen.progress(),
    )
    screen.result(label_lines([*validation_lines(result), ("Results", str(output))]))
