"""TOML that people read: values as they stand in it. (Commented files are written as text, so that they stay so.)"""

import json
import re
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(name: str) -> str:
    """In quotes only where it must be."""
    return name if _BARE.fullmatch(name) else literal(name)


def literal(value: Any) -> str:
    """Text, a number or a list of them: JSON's notation, but for one character, is TOML's too."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
