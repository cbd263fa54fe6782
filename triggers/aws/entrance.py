"""The way into a route's queue for what people ask for: its rule, which sends everything else, never sees that."""

from __future__ import annotations

from typing import NamedTuple, Self

from triggers.aws import names
from triggers.aws.clients import client
from triggers.aws.refusals import explained
from triggers.errors import TriggersError
from triggers.events import new_id


class Entrance(NamedTuple):
    """A route's queue, the ordered one where it has one; `jobs` is the ARN of what its jobs are submitted to."""

    app: str
    route: str
    url: str
    ordered: bool
    jobs: str | None

    @classmethod
    def of(cls, app: str, route: str) -> Self:
        """Return the way into the queue of a deployed route. Raises `TriggersError` where it has none."""
        with explained(f"the queue of route {route!r}"):
            sqs = client("sqs")
            for ordered in (False, True):
                try:
                    url = sqs.get_queue_url(QueueName=names.queue(app, route, fifo=ordered))["QueueUrl"]
                except sqs.exceptions.QueueDoesNotExist:
                    continue
                jobs = sqs.list_queue_tags(QueueUrl=url).get("Tags", {}).get(names.JOB_QUEUE)
                return cls(app, route, url, ordered, jobs)
        raise TriggersError(f"route {route!r} of app {app!r} has no queue in AWS; is it deployed?")

    def send(self, text: str, otherwise: str = "nothing was sent") -> None:
        """Send an event, and start a job where one takes it. `otherwise` is told where it could not be sent."""
        order = {"MessageGroupId": names.GROUP, "MessageDeduplicationId": new_id()} if self.ordered else {}
        try:
            with explained(f"the queue of route {self.route!r}"):
                client("sqs").send_message(QueueUrl=self.url, MessageBody=text, **order)
        except TriggersError as error:
            raise type(error)(f"{error}; {otherwise}") from error
        if self.jobs:
            self._submit(self.jobs)

    def _submit(self, queue: str) -> None:
        """Start a job of the route, as its rule does with each event: nobody else takes what was sent to its queue."""
        name = names.function(self.app, self.route)
        try:
            with explained(f"Batch job queue {queue!r}"):
                client("batch").submit_job(jobName=name, jobQueue=queue, jobDefinition=name)
        except TriggersError as error:
            way = f"aws batch submit-job --job-name {name} --job-queue {queue} --job-definition {name}"
            said = f"{error}; the event is in the queue of {self.route!r} and waits for a job: {way}"
            raise type(error)(said) from error


__all__ = ["Entrance"]
