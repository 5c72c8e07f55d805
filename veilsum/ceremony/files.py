"""Files that people made and agreed on are never written over."""

from pathlib import Path

from veilsum.errors import Fault


def require_new(path: Path) -> None:
    """Raises Fault when something is there already, or its folder is not."""
    if path.exists():
        raise Fault(f"{path}: there is a file already: move it away, or name another with --out")
    if not path.absolute().parent.is_dir():
        raise Fault(f"{path}: its folder does not exist: make it first")


def write_new(path: Path, text: str) -> None:
    """Raises Fault when the file is there already or cannot be written."""
    require_new(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise Fault(f"{path}: cannot be written: {exc.strerror}") from exc
