"""What a queue says of itself: how many messages it has, for how long it hides one, and when it gives one up."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from triggers.aws.messages import LONGEST_HIDDEN
from triggers.aws.refusals import explained, is_denied
from triggers.errors import WiringError

HIDDEN: Final = 6
"""A message that was taken comes back after so many times the function's time: Lambda's advice, "Using Lambda with
Amazon SQS". Less than the function's time itself Lambda refuses."""
RECEIVES: Final = 1_000
"""A message that was received so often is dead. It is the net below the run records, which count attempts themselves,
and the most that SQS counts to: putting a run back takes a receive."""
FEW: Final = 100
"""Receipts; where a queue gives a message up after fewer, it is told: a run that waits or is tried again takes some."""

_COUNTS: Final = [f"ApproximateNumberOfMessages{part}" for part in ("", "NotVisible", "Delayed")]


def messages_in(sqs: Any, url: str) -> int:
    """Return about how many messages a queue has, those counted that are hidden, at work or delayed."""
    with explained(f"queue {url.rsplit('/', 1)[-1]!r}"):
        said = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
    return sum(int(said[name]) for name in _COUNTS)


def hidden_in(sqs: Any, queue: str, url: str | None) -> int | None:
    """Return about how many messages a queue hides, by its name or URL: somebody was given them, or they are delayed.
    None for somebody who may not ask (`sqs:GetQueueAttributes`).
    """
    thing = f"queue {queue!r}"
    found = url or _found(sqs, queue, thing)
    said = None if found is None else said_by(sqs, found, _COUNTS[1:], thing)
    return None if said is None else sum(map(int, said.values()))


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
        if not is_denied(error):
            raise
        return None
    return found


def hidden_for(seconds: int) -> int:
    """Return for how long the queue of a function hides a message, by the function's time; both in seconds."""
    return min(HIDDEN * seconds, LONGEST_HIDDEN)


def check_feed(sqs: Any, queue: str, seconds: int) -> str | None:
    """Look at a queue of the user's own, by name or URL, that is to feed a function which may take so many seconds.

    Return what there is to say of it. Raises `WiringError` with the way out where it is not there, or Lambda would
    refuse it.
    """
    thing = f"queue {queue!r}"
    url = queue if "://" in queue else _found(sqs, queue, thing)
    said = None if url is None else said_by(sqs, url, ["VisibilityTimeout", "RedrivePolicy"], thing)
    if url is None or said is None:
        action = "sqs:GetQueueUrl" if url is None else "sqs:GetQueueAttributes"
        return (
            f"{thing} was not looked at: {action} is denied; Lambda refuses it where it hides messages for less than"
            f" {seconds} s"
        )
    hidden = int(said["VisibilityTimeout"])
    if hidden < seconds:
        way = _setting(url, f"VisibilityTimeout={hidden_for(seconds)}")
        raise WiringError(
            f"{thing} hides a message that was taken for {hidden} s, and the function that it feeds may take {seconds}:"
            f" Lambda refuses that; set it to {HIDDEN} times as long: {way}"
        )
    return _given_up(thing, url, json.loads(said.get("RedrivePolicy", "{}")))


def _found(sqs: Any, queue: str, thing: str) -> str | None:
    """Return a queue's URL; None for somebody who may not ask (`sqs:GetQueueUrl`)."""
    try:
        with explained(thing):
            url: str = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    except WiringError as error:
        if not is_denied(error):
            raise
        return None
    return url


def _given_up(thing: str, url: str, policy: Mapping[str, Any]) -> str | None:
    """Return what to say of a queue that gives messages up early."""
    if not policy or (most := int(policy["maxReceiveCount"])) >= FEW:
        return None
    more = json.dumps({"RedrivePolicy": json.dumps({**policy, "maxReceiveCount": RECEIVES})})
    return (
        f"{thing} gives a message up after {most} receipts, and each attempt, each Later and each time that a function"
        " puts it back is one: its run would wait for ever; the run records count attempts, so set a higher one:"
        f" {_setting(url, more)}"
    )


def _setting(url: str, attributes: str) -> str:
    """Return the command that sets attributes of a queue."""
    return shlex.join(["aws", "sqs", "set-queue-attributes", "--queue-url", url, "--attributes", attributes])


__all__ = ["HIDDEN", "RECEIVES", "check_feed", "hidden_for", "hidden_in", "messages_in", "said_by"]
