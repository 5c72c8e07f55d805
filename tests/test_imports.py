"""The direction of imports: who may use what, read from the sources and from what a fresh interpreter loads."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "mpc": set(),
    "protocols": {"mpc"},
    "net": {"mpc", "protocols"},
    "fl_integration": {"mpc", "protocols"},
    "simulations": {"mpc", "protocols", "fl_integration"},
    "veilsum": {"mpc", "protocols", "net", "fl_integration", "simulations"},
}

# third-party or standard module -> the only places (a package or one file) that import it
LIVES_IN = {
    "cryptography": ("mpc", "net/tls.py", "veilsum/bench/floors.py"),
    "Crypto": ("mpc", "veilsum/bench/sharing.py"),
    "msgpack": ("protocols/wire.py",),
    "trio": ("net",),
    "anyio": ("fl_integration/waiting.py",),
    "sqlite3": ("net/records.py",),
    "filelock": ("net/ledger_file.py",),
    "tomlkit": ("net/config.py", "simulations/scenario.py"),
    "matplotlib": ("simulations/figures.py",),
    "ray": ("simulations/ray_engine.py",),
    "torch": ("fl_integration/torch_models.py", "fl_integration/torch_client.py"),
    "sklearn": ("fl_integration/linear.py", "fl_integration/estimator.py"),
    "nvflare": ("fl_integration/flare",),
    "flwr": ("fl_integration/flower",),
    "mnemonic": ("veilsum/ceremony/words.py",),
    "rich": ("veilsum",),
    "typer": ("veilsum",),
}

# where secrets are made and used, chance and time come in through one door
NO_CLOCK_NO_CHANCE = ("time", "datetime", "random", "secrets", "os.urandom", "numpy.random")
THE_DOOR = "mpc/randomness.py"


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module and every imported name, dotted, wherever in the file it stands; and `os.urandom` and the like."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    aliases = {
        name.asname or name.name: name.name for node in nodes if isinstance(node, ast.Import) for name in node.names
    }
    found = set(aliases.values())
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            found.add(f"{aliases[node.value.id]}.{node.attr}")
    return frozenset(found)


def sources(*packages: str) -> list[tuple[str, frozenset[str]]]:
    """Each file of these packages, with what it imports."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path.relative_to(ROOT).as_posix(), imports(path)) for path in paths]


def uses(module: str, found: frozenset[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in found)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_stands_below_it(package):
    above = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    wrong = [(file, other) for file, found in sources(package) for other in above if uses(other, found)]
    assert not wrong


def test_the_network_knows_no_protocol():
    folders = [f"protocols.{folder.parent.name}" for folder in (ROOT / "protocols").glob("*/__init__.py")]
    assert "protocols.secagg" in folders
    assert not [file for file, found in sources("net") for one in (*folders, "protocols.messages") if uses(one, found)]


@pytest.mark.parametrize("module", LIVES_IN)
def test_a_dependency_is_imported_only_where_it_lives(module):
    places = LIVES_IN[module]
    homes = tuple(place if place.endswith(".py") else f"{place}/" for place in places)
    assert not [file for file, found in sources(*MAY_IMPORT) if uses(module, found) and not file.startswith(homes)]


def test_the_engines_that_are_there_to_lose_are_used_by_the_attacks_alone():
    """They check nothing: nobody else may take one for an engine."""
    users = {file for file, found in sources(*MAY_IMPORT) if uses("simulations.attacks.naive", found)}
    assert users
    assert not [file for file in users if not file.startswith("simulations/attacks/")]
    for file in sorted((ROOT / "simulations/attacks/naive").glob("*.py")):
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        assert "DELIBERATELY INSECURE" in said or file.stem in ("arithmetic", "machine", "messages"), file


@pytest.mark.parametrize("module", NO_CLOCK_NO_CHANCE)
def test_chance_and_time_enter_the_protocols_through_one_door(module):
    assert not [file for file, found in sources("mpc", "protocols") if uses(module, found) and file != THE_DOOR]


@pytest.mark.slow
def test_importing_the_packages_loads_no_learner():
    code = (
        "import pkgutil, sys, mpc, protocols, net, veilsum.cli\n"
        "for top in (mpc, protocols, net):\n"
        "    for module in pkgutil.walk_packages(top.__path__, top.__name__ + '.'):\n"
        "        __import__(module.name)\n"
        "print(*sorted({'torch', 'sklearn', 'pandas'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
