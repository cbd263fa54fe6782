"""What a queue says of itself: how many messages it has, for how long it hides one, and when it gives one up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from triggers.aws.refusals import explained
from triggers.errors import WiringError

_COUNTS: Final = [f"ApproximateNumberOfMessages{part}" for part in ("", "NotVisible", "Delayed")]


def held(sqs: Any, url: str) -> int:
    """Return about how many messages a queue has, those counted that are hidden, at work or delayed."""
    said = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
    return sum(int(said[name]) for name in _COUNTS)


def said_by(sqs: Any, url: str, attributes: Sequence[str], thing: str) -> Mapping[str, str] | None:
    """Return attributes of a queue, those that it has; None for somebody who may not ask (`sqs:GetQueueAttributes`).

    Raises `WiringError` for a queue that is not there, about the `thing`, as in `queue 'orders'`.
    """
    try:
        with explained(thing):
            found: Mapping[str, str] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[*attributes]).get(
                "Attributes", {}
            )
    except WiringError as error:
        if "access denied" not in str(error):
            raise
        return None
    return found


__all__ = ["held", "said_by"]
