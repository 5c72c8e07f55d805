"""A node's half: a mod around the app's own functions that lets nothing out but packets of a secure sum."""

import logging
from collections.abc import Callable

from flwr.app import Context, Message, MessageType, RecordDict
from flwr.clientapp.typing import ClientAppCallable, Mod

from fl_integration.asking import Seat, answer
from fl_integration.flower.records import (
    RECORD,
    contribution_of,
    keep_snapshot,
    kept_snapshot,
    pack,
    step_of,
    unpack,
    without_packet,
)
from fl_integration.plan import Plan
from fl_integration.step import Step
from mpc.field import FieldVector

__all__ = ["Context", "Mod", "NodeRefused", "secure_mod"]

log = logging.getLogger("veilsum.flower")

OpenSeat = Callable[[Context], tuple[Seat, Plan]]
"""A node's place and plan, from its own files. Raises in words for people."""


class NodeRefused(Exception):
    """This node sends no answer. Flower sends the text of an exception to the server as it is: it says nothing that
    is not known there. Why is in this node's own log."""


_SEE_LOG = "this node takes no part in the sum: its own log says why"


def secure_mod(open_seat: OpenSeat, weighted_by: str) -> Mod:
    """weighted_by: the metric with the number of examples, as the strategy names it."""

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        category = message.metadata.message_type.split(".")[0]
        if category == MessageType.QUERY and RECORD not in message.content:
            return call_next(message, context)
        if category not in (MessageType.TRAIN, MessageType.EVALUATE) or RECORD not in message.content:
            log.error("refused a plain %s message: this node answers secure sums alone", category)
            raise NodeRefused("this node answers secure sums alone: wrap the strategy with veilsum.flower.secure")
        try:
            packet = _answer(message, context, call_next, *open_seat(context), weighted_by)
        except NodeRefused:
            raise
        except Exception as exc:
            log.error("%s: %s", type(exc).__name__, exc)
            raise NodeRefused(_SEE_LOG) from exc
        return Message(RecordDict({RECORD: pack(packet)}), reply_to=message)

    return mod


def _answer(
    message: Message, context: Context, call_next: ClientAppCallable, seat: Seat, plan: Plan, weighted_by: str
) -> list[bytes]:
    def prepare() -> tuple[Step, FieldVector]:
        message.content = without_packet(message.content)
        step = step_of(message.metadata, message.content, plan, len(seat.consortium.members))
        reply = call_next(message, context)
        if reply.has_error():
            log.error("the app's own function answered with an error: %s", reply.error.reason)
            raise NodeRefused(_SEE_LOG)
        return step, step.encode(contribution_of(step, reply.content, weighted_by), seat.rand)

    given = answer(seat, unpack(message.content), kept_snapshot(context.state), prepare)
    keep_snapshot(context.state, given.snapshot)
    if given.refused:
        log.warning("this node left the session: %s", given.refused)
    return given.packet
