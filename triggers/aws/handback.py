"""How what is not finished comes again: by the visibility of its message, or by a one-time schedule.

SQS hides a message for 12 hours at most. A run that waits longer, or whose event was pushed and is in no queue, is sent
to its route's queue when it is due. A message of an ordered queue is never sent, as it would lose its place: it is
hidden, and hidden again, until then.
"""

# without annotations as text, each of which a named tuple would compile

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from triggers.aws import names, wire
from triggers.aws.arrivals import Arrival
from triggers.aws.messages import LONGEST_HIDDEN
from triggers.aws.records import Standing
from triggers.aws.refusals import explained
from triggers.events import moment
from triggers.lineage import EventRow
from triggers.routing import Route

WINDOW = 300
"""Seconds that a mapping may hold a message for its batch, at most, before the function is called."""
AT_ONCE = 10
"""Messages to one call."""
SOONEST = 10.0
"""Seconds until a one-time schedule is due at least, so that it is made before: nobody says what becomes of one whose
moment is past. Scheduler fires within a minute of it."""
LARGEST = 256 * 1024
"""Bytes that a schedule can send."""

log = logging.getLogger("triggers.function")


class Deployment(NamedTuple):
    """Where an app is deployed. `role` is the one by which schedules send to its queues; none are made without."""

    app: str
    partition: str = "aws"
    region: str = ""
    account: str = ""
    role: str | None = None

    @classmethod
    def of(cls, app: str, function: str, role: str | None) -> "Deployment":
        """Return where a function's ARN says that it is."""
        parts = [*function.split(":"), "", "", "", "", ""]
        return cls(app, parts[1] or "aws", parts[3], parts[4], role)

    @property
    def journal(self) -> str:
        """Return what names this deployment in the idempotency keys of its runs."""
        return "-".join(part for part in (self.app, self.account, self.region) if part)

    def queue(self, name: str) -> str:
        """Return the ARN of a queue."""
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{name}"


class HandBack:
    """Sees to it that what is left comes again. `sqs` and `scheduler` give clients, which are made when needed."""

    def __init__(self, sqs: Callable[[], Any], scheduler: Callable[[], Any], deployment: Deployment) -> None:
        self._sqs = sqs
        self._scheduler = scheduler
        self._deployment = deployment

    def sent(self, arrival: Arrival, event: EventRow, route: Route, standing: Standing, now: float) -> bool:
        """Have a waiting run's event sent to its route's queue when it is due; say whether it is.

        It is not where its message can wait that long itself or must keep its place, where the route's queue is
        ordered, in which it would lose its place, or where it is too large for a schedule.
        """
        can_wait = arrival.item and (arrival.group is not None or standing.until - now <= LONGEST_HIDDEN - WINDOW)
        text = wire.write(event)
        if can_wait or route.serial or self._deployment.role is None or len(text.encode()) > LARGEST:
            return False
        due = moment(math.ceil(max(standing.until, now + SOONEST)))
        asked = {
            "Name": f"r{standing.run}-{standing.start}",
            "GroupName": names.schedules(self._deployment.app),
            "ScheduleExpression": f"at({due:%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self._deployment.queue(names.queue_of(self._deployment.app, route)),
                "RoleArn": self._deployment.role,
                "Input": text,
                "DeadLetterConfig": {"Arn": self._deployment.queue(names.undelivered(self._deployment.app))},
            },
        }
        try:
            self._scheduler().create_schedule(**asked)
        except Exception as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") != "ConflictException":
                with explained(f"schedule group {asked['GroupName']!r}"):
                    raise
            # it is there: made by one who was killed before the message was acknowledged
        log.info("r%d is sent to its queue again at %s", standing.run, due.isoformat(), extra={"route": route.name})
        return True

    def hide(self, left: Sequence[tuple[Arrival, float]], begun: float, now: float) -> None:
        """Hide the messages of a queue until the moments given. One that cannot be comes when its queue says so."""
        longest = LONGEST_HIDDEN - WINDOW - (now - begun)
        for queue in dict.fromkeys(arrival.queue for arrival, _ in left):
            entries = [
                {
                    "Id": str(number),
                    "ReceiptHandle": arrival.handle,
                    "VisibilityTimeout": math.ceil(min(max(until - now, 0), longest)),
                }
                for number, (arrival, until) in enumerate(left)
                if arrival.queue == queue
            ]
            for first in range(0, len(entries), AT_ONCE):
                self._hide(queue, entries[first : first + AT_ONCE])

    def _hide(self, queue: str, entries: Sequence[dict[str, Any]]) -> None:
        account, name = queue.split(":")[-2:]
        try:
            client = self._sqs()
            url = f"{client.meta.endpoint_url.rstrip('/')}/{account}/{name}"
            with explained(f"queue {name!r}"):
                answer = client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
            failed = answer.get("Failed", ())
        except Exception as error:
            failed = [{"Message": str(error)}]
        if failed:
            said = failed[0].get("Message") or failed[0].get("Code")
            log.warning("queue %r: %d messages come again only when it says so: %s", name, len(failed), said)


__all__ = ["WINDOW", "Deployment", "HandBack"]
