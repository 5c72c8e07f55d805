"""Fuzzing by coverage, with atheris: what reaches a new line, or a line more often, is changed further."""

import sys
from pathlib import Path
from random import Random
from typing import Any

import atheris
from fuzz_findings import Findings
from fuzz_target import Target
from fuzz_targets import find

PACKAGES = ["mpc", "protocols", "net", "fl_integration", "simulations", "veilsum"]
_SLOWEST = 20  # seconds that one input may take
_OURS = 3  # of so many mutations one knows the structure; the others are libFuzzer's own
_LARGEST = 4096


def run(name: str, work: Path, findings: Findings, limit: str) -> None:
    """Does not return: libFuzzer ends the process. work: keeps the inputs that reached something new."""
    with atheris.instrument_imports(include=PACKAGES, enable_loader_override=False):
        target = find(name)
    seeds = list(target.seeds())
    arguments = [
        sys.argv[0], str(_folder(work / "corpus" / name)), str(_written(work / "seeds" / name, seeds)),
        "-seed=1", "-print_final_stats=1", f"-timeout={_SLOWEST}", "-rss_limit_mb=4096", limit,
        f"-max_len={max(_LARGEST, *map(len, seeds))}", f"-artifact_prefix={_folder(findings.folder)}/",
        *([f"-dict={_dictionary(work / 'words' / name, target)}"] if target.words else []),
    ]  # fmt: skip
    mutator: dict[str, Any] = {"custom_mutator": _mutator(target)} if target.mutate else {}
    atheris.Setup(arguments, findings.watched(target.one_input), **mutator)
    atheris.Fuzz()


def _mutator(target: Target) -> Any:
    chance, mutate = Random(1), target.mutate
    assert mutate is not None

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % _OURS:
            return bytes(atheris.Mutate(data, max_size))
        return mutate(bytes(data), chance)[:max_size]

    return mutator


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _written(folder: Path, inputs: list[bytes]) -> Path:
    for place, data in enumerate(inputs):
        (_folder(folder) / f"{place:04}").write_bytes(data)
    return folder


def _dictionary(path: Path, target: Target) -> Path:
    """As libFuzzer reads it; it takes words of up to 64 bytes."""
    _folder(path.parent)
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word[:64]) + '"' for word in target.words]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path
