"""Everything that is fuzzed, by name."""

from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module

from fuzz_target import Target

_MODULES = {
    "wire": "fuzz_wire",
    "kept": "fuzz_wire",
    "stream": "fuzz_stream",
    "value": "fuzz_values",
    "file": "fuzz_files",
    "alone": "fuzz_machines",
    "session": "fuzz_machines",
    "connection": "fuzz_connections",
    "conversation": "fuzz_conversations",
}
"""Where a target is, by the first word of its name: a process that fuzzes one loads no more than that takes."""


def find(name: str) -> Target:
    """Raises KeyError where there is none."""
    targets = import_module(_MODULES[name.partition("-")[0]]).TARGETS
    return {target.name: target for target in targets}[name]


def matching(*patterns: str) -> list[Target]:
    """In their order: those of any of these names, in which * stands for anything."""
    return [target for target in _every() if any(fnmatch(target.name, one) for one in patterns)]


def _every() -> Iterator[Target]:
    for module in dict.fromkeys(_MODULES.values()):
        yield from import_module(module).TARGETS
