"""``gemmap evidence``: tests of a run on its own particles."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

EXAMPLE = examples(
    ("All four tests of a finished run", "gemmap evidence run1"),
    ("Two of them", "gemmap evidence run1 --test noise-substitution,held-out"),
    ("Random phases beyond 8 Å", "gemmap evidence run1 --test noise-substitution --randomise-from 8"),
    then="Look at run1/evidence.png. noise-substitution: random phases beyond a resolution in all particles, "
    "everything fitted anew. held-out: some particles are never fitted, and compared with the map. pure-noise: "
    "the same poses and CTFs without a particle. particle-count: half, a quarter, .. of the particles.",
)


@reports_errors
def evidence(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    tests: Annotated[
        str,
        typer.Option(
            "--test",
            metavar="NAMES",
            help="Some of noise-substitution, held-out, pure-noise, particle-count, with commas; all does all four.",
        ),
    ] = "all",
    hold_out: Annotated[
        float, typer.Option("--hold-out", metavar="PART", help="Fraction of each half, 0 to 1, that is never fitted.")
    ] = 0.05,
    randomise_from_a: Annotated[
        float | None,
        typer.Option(
            "--randomise-from",
            metavar="Å",
            help="Resolution in Å beyond which phases are random; by default where the FSC of back-projections falls "
            "below 0.8.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of phases and noise; the run's own by default.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads to compute with; those of the run by default.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N; the run's own by default.", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.")] = False,
) -> None:
    """Repeat a run on changed particles: noise substitution, held-out particles, pure noise, fewer particles."""
    from gemmap.api.evidence import gather_evidence
    from gemmap.api.run_evidence import run_evidence_lines
    from gemmap.cli.screen import Screen
    from gemmap.evidence.selection import named
    from gemmap.report.summary import label_lines

    names = named(tests)
    screen = Screen(verbose=False, quiet=quiet)
    gather_evidence(
        run,
        names,
        seed=seed,
        hold_out_fraction=hold_out,
        randomise_from_a=randomise_from_a,
        threads=threads,
        device=device,
        progress=screen.progress(),
    )
    screen.result(label_lines([(name, text) for name, text in run_evidence_lines(run) if name in names]))
