"""Fuzzes all targets in turn and prints a table. Findings stay in the folder of work, each with its traceback.

Without --guided a generator of a fixed seed changes good inputs; with it atheris does, by what they reach.
"""

import argparse
import logging
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    sys.path[:0] = _paths()
    logging.disable(logging.CRITICAL)  # what is refused is logged, a million times
    asked = _arguments()
    if asked.child is None:
        return _all(asked)
    import fuzz_guided
    from fuzz_findings import Findings

    fuzz_guided.run(asked.child, asked.work, Findings(asked.work / "findings" / asked.child), asked.limit)
    return 0


def _paths() -> list[str]:
    """Where the tests find their helpers: as pytest does."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    return [str(ROOT / folder) for folder in options["pythonpath"]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=["*"], help="names, in which * stands for anything; else all")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--inputs", type=int, help="of all together, each target its share")
    limit.add_argument("--seconds", type=int, default=60, help="of all together, each target the same (60)")
    parser.add_argument("--guided", action="store_true", help="by coverage: needs atheris (pip install '.[fuzz]')")
    parser.add_argument("--work", type=Path, default=ROOT / ".fuzz", help="the folder of work (.fuzz)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--limit", help=argparse.SUPPRESS)
    return parser.parse_args()


def _all(asked: argparse.Namespace) -> int:
    from fuzz_run import HEAD, Limit, Ran, run_guided, run_plain, total
    from fuzz_targets import matching

    chosen, ran = matching(*asked.targets), list[Ran]()
    if any((asked.work / "findings").glob("*/*")):
        sys.stderr.write(
            f"{asked.work / 'findings'} holds what an earlier run found: keep it as tests, and remove it\n"
        )
        return 2
    shares, run = sum(target.share for target in chosen), run_guided if asked.guided else run_plain
    sys.stdout.write(f"{HEAD}\n")
    for target in chosen:
        each = Limit(seconds=max(1, asked.seconds // len(chosen)))
        limit = each if asked.inputs is None else Limit(inputs=-(-asked.inputs * target.share // shares))
        ran.append(run(target, asked.work, limit))
        sys.stdout.write(f"{ran[-1].row}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{total(ran)}\n")
    return 1 if any(one.findings for one in ran) else 0


if __name__ == "__main__":
    sys.exit(main())
