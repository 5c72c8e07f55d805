"""A page whose tables a command writes: what stands between the command's two marks is replaced."""

import os
import platform
from pathlib import Path


class NoSuchPart(ValueError):
    """The page has no such marks."""


def put(page: Path, part: str, text: str) -> None:
    """Raises NoSuchPart."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {part} -->\n")
    _, end, after = rest.partition(f"<!-- end {part} -->")
    if not begin or not end:
        raise NoSuchPart(f"{page}: write <!-- {part} --> and <!-- end {part} --> where the table is to stand")
    page.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
