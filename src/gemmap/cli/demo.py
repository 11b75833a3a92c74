"""``gemmap demo``: a reconstruction in a minute or two whose truth is known."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

EXAMPLE = examples(
    ("Simulate, reconstruct, compare with the truth: a minute or two", "gemmap demo -o demo"),
    ("The same in seconds", "gemmap demo -o demo --n-particles 500"),
    then="Read demo/report.md and open demo/run/report.html. Then your own particles: gemmap check particles.star, and "
    "gemmap reconstruct particles.star -o run1.",
)


@reports_errors
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for everything; must not exist.")
    ],
    n_particles: Annotated[int, typer.Option(metavar="N", help="Number of particles to simulate.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything random.")] = 0,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads to compute with; all cores by default.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demonstration; other files stay.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.")] = False,
) -> None:
    """Simulate particles, reconstruct them and compare the result with the truth; needs no data and no network."""
    from gemmap.api.demo import demo_config, run_demo
    from gemmap.api.run import summarise
    from gemmap.cli.screen import Screen
    from gemmap.report.summary import label_lines, summary_lines

    screen = Screen(verbose=False, quiet=quiet)
    demonstration = run_demo(output, demo_config(n_particles, seed), threads, overwrite, screen.progress())
    screen.result(summary_lines(summarise(demonstration.result)))
    screen.result(label_lines([*demonstration.comparison.lines(), ("Comparison", str(output / "report.md"))]))
