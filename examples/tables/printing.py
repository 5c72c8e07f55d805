"""A table as it is printed, which is as it stands in docs/tables.md."""

from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """title: the paper and what is compared. Every row has as many cells as `head`."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def __str__(self) -> str:
        """Markdown whose columns line up."""
        lines = [self.head, *(tuple(map(_shown, row)) for row in self.rows)]
        widths = [max(2, *map(len, column)) for column in zip(*lines, strict=True)]  # "-:" is the shortest rule
        head, *body = [
            "| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        rule = "| " + " | ".join("-" * (width - 1) + ":" for width in widths) + " |"
        return "\n".join([self.title, "", head, rule, *body])


def _shown(cell: Cell) -> str:
    return cell if isinstance(cell, str) else f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"
