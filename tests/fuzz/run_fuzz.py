"""Fuzz the readers for a time: ``python tests/fuzz/run_fuzz.py --seconds 600``.

Guided by coverage with atheris where it can be imported, by random changes otherwise. An input that ends in anything
but a sentence, takes more than 10 s, or more than 1 GB of memory above that at the start, is written to the folder of
``--found`` (tests/fuzz/corpus by default, whose files the tests replay) and ends the run with exit code 1; with
``--go-on`` the run goes on and collects one input of every kind of failure.
"""

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))

try:
    import atheris
except ImportError:
    atheris = None
    from fuzz_targets import SEEDS, check, prepare
else:
    with atheris.instrument_imports(include=["gemmap.io", "gemmap.particles.table", "zipfile"]):
        from fuzz_targets import SEEDS, check, prepare
from mutations import mutate

CORPUS = Path(__file__).parent / "corpus"
INPUT_S, MEMORY_BYTES = 10, 2**30
#: Inputs that led to a new sentence are changed further.
_POOL = 400


class TooSlow(Exception):
    """An input took too long."""


def too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def limit_memory() -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))


def kind_of(error: BaseException) -> str:
    """Type and place of an exception: one failure, however many inputs lead to it."""
    frame = [f for f in traceback.extract_tb(error.__traceback__) if "gemmap" in f.filename][-1:]
    where = f"{Path(frame[0].filename).stem}-{frame[0].lineno}" if frame else "unknown"
    return f"{type(error).__name__}-{where}"


def shape_of(sentence: str) -> str:
    return "".join(c for c in sentence if not c.isdigit())[:120]


def by_chance(args: argparse.Namespace, folder: Path) -> int:
    rng = random.Random(args.seed)
    pools = {name: list(seeds) for name, seeds in SEEDS.items()}
    for path in CORPUS.iterdir():
        pools[path.name.partition("-")[0]].append(path.read_bytes())
    seen: set[str] = set()
    failures: set[str] = set()
    started, n, slowest = time.monotonic(), 0, 0.0
    while time.monotonic() - started < args.seconds:
        name = rng.choice(sorted(pools))
        data = mutate(rng.choice(pools[name]), rng, rng.choice(pools[name]))
        begun = time.monotonic()
        signal.alarm(INPUT_S)
        try:
            sentence = check(name, data, folder)
        except BaseException as error:
            signal.alarm(0)
            if isinstance(error, KeyboardInterrupt):
                raise
            kind = f"{name}-{kind_of(error)}"
            if kind not in failures:
                failures.add(kind)
                (args.found / kind).write_bytes(data)
                print(f"{kind}: {str(error)[:200]}", flush=True)
            if not args.go_on:
                return 1
            continue
        finally:
            signal.alarm(0)
        n, slowest = n + 1, max(slowest, time.monotonic() - begun)
        key = f"{name}:{shape_of(sentence)}"
        if key not in seen and len(pools[name]) < _POOL:
            seen.add(key)
            pools[name].append(data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n} inputs in {time.monotonic() - started:.0f} s, {len(seen)} different answers, {len(failures)} kinds of "
          f"failure, slowest {slowest:.2f} s, peak memory {peak:.0f} MB")  # fmt: skip
    return 1 if failures else 0


def by_coverage(args: argparse.Namespace, folder: Path) -> None:
    names = sorted(SEEDS)
    queue = folder / "queue"
    queue.mkdir()
    for number, name in enumerate(names):
        known = [path.read_bytes() for path in CORPUS.glob(f"{name}-*")]
        for i, seed in enumerate([*SEEDS[name], *known]):
            (queue / f"{name}{i}").write_bytes(bytes([number]) + seed)

    def one_input(data: bytes) -> None:
        if data:
            check(names[data[0] % len(names)], data[1:], folder)

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3 or not data:
            return bytes(atheris.Mutate(data, most))
        return (data[:1] + mutate(data[1:], rng, data[1:]))[:most]

    options = [sys.argv[0], f"-max_total_time={args.seconds}", f"-timeout={INPUT_S}", "-rss_limit_mb=3000",
               "-max_len=100000", f"-seed={args.seed + 1}", f"-artifact_prefix={args.found}/", "-print_final_stats=1",
               str(queue)]  # fmt: skip
    atheris.Setup(options, one_input, custom_mutator=change)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path, default=CORPUS)
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--by-chance", action="store_true", help="do not use atheris")
    args = parser.parse_args()
    args.found = args.found.absolute()
    args.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        prepare(Path(made))
        if atheris is not None and not args.by_chance:
            by_coverage(args, Path(made))
            return 0
        signal.signal(signal.SIGALRM, too_slow)
        limit_memory()
        return by_chance(args, Path(made))


if __name__ == "__main__":
    sys.exit(main())
