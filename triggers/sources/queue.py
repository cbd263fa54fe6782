"""A queue of SQS as a source of events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

from triggers.errors import WiringError
from triggers.sources import Delivery, Site

FIFO = ".fifo"
# patterns as text, which is compiled when one is asked for: every app loads this, and few have a queue
_NAME = r"[A-Za-z0-9_-]{1,75}(\.fifo)?|[A-Za-z0-9_-]{76,80}"
_URL = r"https?://[^/]+/.+"
_ARN = r"arn:(?P<partition>aws[a-z-]*):sqs:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):(?P<name>[^:]+)"


class Queue:
    """A queue of SQS, standard or FIFO; every message in it becomes one event.

    A body in the form of CloudEvents, plain or wrapped by SNS or EventBridge, is the typed event that it names, with
    its own source and id. Any other is a `MessageReceived` from this source. Its `attributes` are the message's own,
    binary ones in base64, and what SQS says of it: `AWS.ApproximateReceiveCount`, `AWS.MessageGroupId` and
    `AWS.MessageDeduplicationId`.

    A message is deleted from the queue when its event is in the journal, so that one is lost by neither. Events of one
    group of a FIFO queue are recorded in the group's order; one whose message comes again is known by its identity.
    What claims to be an event and cannot be one is put into the state folder's `rejected/`, beside the reason.

    `queue` is its name in SQS, `name` how routes and bindings call it, the same without `.fifo` if not given. `url` is
    for a queue of another account, which cannot be found by its name. Endpoint, region and credentials are found as
    all tools of AWS find them.
    """

    __slots__ = ("name", "queue", "url")

    def __init__(self, queue: str, *, name: str | None = None, url: str | None = None) -> None:
        if not isinstance(queue, str) or not re.fullmatch(_NAME, queue):
            raise WiringError(
                f"{queue!r} is no name of a queue; write up to 80 letters, digits, - and _, as in Queue('orders'),"
                " with .fifo at the end of an ordered one, and a queue's URL as url="
            )
        self.queue = queue
        self.name = queue.removesuffix(FIFO) if name is None else name
        self.url = url
        if not self.name:
            raise WiringError(f"queue {queue!r}: name='' names no source; leave it out or name one")
        if url is not None and not re.match(_URL, url):
            raise WiringError(f"queue {queue!r}: url={url!r} is no URL of a queue; copy it from `aws sqs list-queues`")

    def __repr__(self) -> str:
        return f"Queue({self.queue!r}, name={self.name!r})"

    def bind(self, where: str) -> Queue:
        """Return the same source with its messages in another queue, by its name, its URL or its ARN.

        Raises `WiringError` for what names no queue, and for one without order in place of one that keeps it.
        """
        url = _url_of(where)
        if url is None and not re.fullmatch(_NAME, where):
            raise WiringError(
                f"queue {self.name!r} cannot be bound to {where}; bind it to another queue, by its name, URL or ARN"
            )
        name = where if url is None else url.rstrip("/").rpartition("/")[2]
        if self.queue.endswith(FIFO) and not name.endswith(FIFO):
            raise WiringError(
                f"queue {self.name!r} cannot be bound to {where}: it keeps the order of its messages, and a queue"
                " without .fifo at the end of its name does not; bind it to an ordered one"
            )
        return Queue(name, name=self.name, url=url)

    def deliveries(self, site: Site) -> AsyncIterator[Sequence[Delivery]]:
        """Yield the events of the messages that wait, then of those that come.

        Raises `WiringError` for a queue that does not exist or may not be read, `TriggersError` for what may pass.
        """
        from triggers.aws.queue import follow  # loads aiobotocore: a queue is declared by every function, too

        return follow(self, site)


def _url_of(where: str) -> str | None:
    """Return the URL of what is named by its URL or ARN, None for anything else."""
    if arn := re.fullmatch(_ARN, where):
        domain = "amazonaws.com.cn" if arn["partition"] == "aws-cn" else "amazonaws.com"
        return f"https://sqs.{arn['region']}.{domain}/{arn['account']}/{arn['name']}"
    return where if re.fullmatch(_URL, where) else None


__all__ = ["FIFO", "Queue"]
