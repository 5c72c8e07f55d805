"""Logging of the two processes: lines for people, or one JSON object a line for machines (docs/json.md).

Both go to standard output. Standard error has the one line that says why a process failed, and nothing else.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

_NAME: Final = "veilsum"
_TEXT: Final = "%(asctime)s %(message)s"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class JsonLines(logging.Formatter):
    """time (UTC), level, logger, message; and what an event adds: event, round."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "event": getattr(record, "event", None),
            "round": getattr(record, "fl_round", None),
        }
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(form: LogFormat) -> logging.Logger:
    """The logger of a process's events. All of the project's write to standard output.

    Once in a process, by a command.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if form is LogFormat.JSON else logging.Formatter(_TEXT, "%H:%M:%S"))
    logger = logging.getLogger(_NAME)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.getChild("party").setLevel(logging.ERROR)  # all that it would say comes as an event
    return logger.getChild("process")


def tell(logger: logging.Logger, event: str, fl_round: int | None, text: str, *, level: int = logging.INFO) -> None:
    """One event. fl_round: the training round that it belongs to, or None."""
    fields: dict[str, Any] = {"event": event, "fl_round": fl_round}
    logger.log(level, "%s", text, extra=fields)
