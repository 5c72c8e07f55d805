"""A Flower grid in one process: real ClientApps, each message and each node's state through Flower's own bytes.

Every message finds its node as a new process would: nothing is kept but the context, serialised, and the node's files.
"""

from dataclasses import dataclass, field

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import context_from_proto, context_to_proto
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from protocols.errors import WireError
from protocols.messages import CODEC, Abort, Invitation

RECORD = "veilsum"


def wire_messages(content):
    """The protocol's messages in a Flower message; none where it holds something else."""
    try:
        return [CODEC.decode(array.data) for array in content[RECORD].values()]
    except (KeyError, AttributeError, WireError):
        return []


def opened_round(message):
    """The protocol round that a request opens, or None."""
    rounds = [one.round for one in wire_messages(message.content) if not isinstance(one, Abort)]
    return rounds[-1] if rounds else None


def through_bytes(message):
    """As another process gets it, and all the bytes that lie on the way."""
    message.metadata.__dict__["_message_id"] = message.object_id
    objects = get_all_nested_objects(message)
    contents = {name: one.deflate() for name, one in objects.items()}
    again = inflate_object_from_contents(message.object_id, dict(contents))
    again.metadata.__dict__["_message_id"] = message.object_id
    return again, b"".join(bytes(one) for one in contents.values())


@dataclass
class FakeGrid(Grid):
    """apps: node -> its ClientApp. lose: (node, protocol round): killed before it answers; it comes back with the next
    invitation, as it was. late: the same, but its answer is there after all, too late."""

    apps: dict
    lose: set = field(default_factory=set)
    late: set = field(default_factory=set)
    sent: list = field(default_factory=list)  # every request, as its node got it
    answers: list = field(default_factory=list)  # (node, reply, its bytes), or the error's text in place of bytes

    def __post_init__(self):
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1  # Flower's runtime sets these
        self.contexts = {
            node: context_to_proto(Context(1, node, {"partition-id": place}, RecordDict(), {}))
            for place, node in enumerate(self.apps)
        }
        self._replies = {}
        self._gone = set()
        self.pulled_at_once = []
        self.kept = {node: [] for node in self.apps}  # the names of the records in its state, after each message

    def push_messages(self, messages):
        return [self._push(message) for message in messages]

    def _push(self, message):
        arrived, _ = through_bytes(message)
        node, stage = message.metadata.dst_node_id, opened_round(arrived)
        self.sent.append((node, stage, arrived))
        if any(isinstance(one, Invitation) for one in wire_messages(arrived.content)):
            self._gone.discard(node)
        if (node, stage) in self.lose:
            self._gone.add(node)
        if node in self._gone:
            reply = Message(Error(ErrorCode.NODE_UNAVAILABLE, "Node unavailable"), reply_to=arrived)
        else:
            reply = self._run(node, arrived)
        if (node, stage) not in self.late:
            self._replies[arrived.metadata.message_id] = reply
        return arrived.metadata.message_id

    def _run(self, node, message):
        context = context_from_proto(self.contexts[node])
        try:
            reply, data = through_bytes(self.apps[node](message, context))
        except Exception as exc:  # what the runtime does: only the kind and the text leave
            reason = f"{type(exc)}:<'{exc}'>"
            reply, data = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message), reason
        self.contexts[node] = context_to_proto(context)
        self.kept[node].append(set(context.state))
        self.answers.append((node, reply, data))
        return reply

    def state_of(self, node):
        return context_from_proto(self.contexts[node]).state

    def pull_messages(self, message_ids):
        found = [self._replies.pop(one) for one in message_ids if one in self._replies]
        self.pulled_at_once.append(len(found))
        return found

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(list(self.push_messages(messages)))

    def get_node_ids(self):
        return list(self.apps)

    def set_run(self, run):
        raise NotImplementedError

    @property
    def run(self):
        raise NotImplementedError

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        raise NotImplementedError
