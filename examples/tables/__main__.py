"""Prints the tables into docs/tables.md.

    python -m examples.tables                     # all of them, minutes
    python -m examples.tables --only a_expansion

Needs python-flint (`pip install 'veilsum[dev]'`).
"""

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from examples.tables import (
    a_expansion,
    b_server,
    c_graph,
    e_lightsecagg,
    f_waiting,
    i_static_updates,
    l_malicious_server,
)
from examples.tables.printing import Table

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def server() -> list[Table]:
    return [b_server.counts_table(), b_server.measured_table([b_server.measure(n) for n in (100, 500)])]


def lying_server() -> list[Table]:
    found = [row for n in l_malicious_server.FULL for row in l_malicious_server.rows(n)]
    return [l_malicious_server.table(found)]


TABLES: dict[str, Callable[[], list[Table]]] = {
    "a_expansion": lambda: [a_expansion.table()],
    "b_server": server,
    "c_graph": lambda: [c_graph.table()],
    "e_lightsecagg": lambda: [e_lightsecagg.table()],
    "f_waiting": lambda: [f_waiting.table()],
    "i_static_updates": lambda: [i_static_updates.table()],
    "l_malicious_server": lying_server,
}


def printed(tables: Iterable[Table]) -> str:
    return "\n\n".join(map(str, tables))


def write(page: Path, name: str, tables: Iterable[Table]) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(_place(name).sub(lambda found: found[1] + printed(tables) + found[3], text), encoding="utf-8")


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the tables into docs/tables.md.")
    parser.add_argument("--only", action="append", choices=list(TABLES), help="this one; may be given again")
    for name in parser.parse_args().only or TABLES:
        write(PAGE, name, TABLES[name]())
        print(name)


if __name__ == "__main__":
    main()
