"""What an app needs of AWS, looked at from here: credentials, a region, its buckets and queues, its run table.

Nothing is changed, and nobody waits for longer than `PATIENCE`: each look is a daemon thread, which ends with the
process where AWS does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from triggers.app import App
from triggers.aws import names
from triggers.aws.attributes import said_by
from triggers.aws.clients import client, region, require
from triggers.aws.refusals import explained
from triggers.clock import SystemClock
from triggers.errors import TriggersError, WiringError
from triggers.events import moment
from triggers.findings import Finding, Verdict
from triggers.journal import views
from triggers.sources.bucket import Bucket
from triggers.sources.queue import Queue

if TYPE_CHECKING:
    from triggers.aws.deployed import Deployed, Overdue

PATIENCE: Final = 10.0
"""Seconds until looks that were begun together are given up."""
MOST: Final = 100
"""As many run records of a state are counted."""
LATE: Final = 2 * 3600.0
"""Seconds that a run may wait after it was due, or its attempt's lease was over, before it is named. Where its message
could not be hidden until then, that comes when its queue says so: after six times the function's time, 90 minutes at
most."""
LOOKED_AT: Final = 10_000
"""As many runs that wait, or run, are looked at, to find the late ones."""
NAMED: Final = 5
"""As many of those are named."""

Look = Callable[[], Finding | str]
"""Looks at one thing. What it returns as text is well; a `TriggersError` is a problem."""


def of_app(app: App) -> list[Finding]:
    """Look at what the sources and outputs of an app need, which has some in AWS."""
    return _looked(dict(_looks(app)))


def of_deployed(app: str) -> list[Finding]:
    """Look at the run table of an app that is deployed."""
    what = f"run table {names.table(app)}"
    return _looked({what: partial(_records, app, what)})


def _looked(looks: Mapping[str, Look]) -> list[Finding]:
    """Look at credentials and region, and where those are well at the rest."""
    found = [*_together({"aws credentials": _credentials, "aws region": _region})]
    if all(one.verdict == Verdict.OK for one in found):
        found += _together(looks)
    return found


def _together(looks: Mapping[str, Look]) -> Iterator[Finding]:
    """Look at several things at once, and yield them in their order."""
    answers: dict[str, Finding | Exception] = {}
    clock = SystemClock()
    threads = [Thread(target=_look, args=(what, look, answers), daemon=True) for what, look in looks.items()]
    until = clock.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - clock.monotonic()))
    silent = f"AWS did not answer within {PATIENCE:g} s; check the network, AWS_ENDPOINT_URL and the proxy"
    for what in looks:
        answer = answers.get(what, Finding(what, Verdict.PROBLEM, silent))
        if isinstance(answer, Exception):
            raise answer
        yield answer


def _look(what: str, look: Look, answers: dict[str, Finding | Exception]) -> None:
    try:
        found = look()
        answers[what] = Finding(what, Verdict.OK, found) if isinstance(found, str) else found
    except TriggersError as error:
        answers[what] = Finding(what, Verdict.PROBLEM, str(error))
    except Exception as error:  # a mistake of ours, which must not die with a thread
        answers[what] = error


# --- who asks ------------------------------------------------------------------------------------


def _credentials() -> str:
    require("boto3")
    from botocore.session import get_session

    with explained("AWS"):
        found = get_session().get_credentials()
    if found is None:
        raise WiringError(
            "none were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a"
            " role"
        )
    return f"found by {found.method}"


def _region() -> str:
    require("boto3")
    with explained("AWS"):
        named = region()
    if named is None:
        raise WiringError("none is named; set AWS_REGION, or `region` in the profile")
    return named


# --- what is asked for ---------------------------------------------------------------------------


def _looks(app: App) -> Iterator[tuple[str, Look]]:
    for name, place in {**app.sources, **app.outputs}.items():
        watched = name in app.sources
        if isinstance(place, Bucket):
            yield f"bucket {name}", partial(_bucket, place, watched=watched)
        if isinstance(place, Bucket) and watched:
            yield f"queue of {name}", partial(_queue_of, app.name, place)
        if isinstance(place, Queue):
            yield f"queue {name}", partial(_queue, place.queue, place.url)


def _bucket(place: Bucket, *, watched: bool) -> str:
    """Say what may be done with a bucket. What is watched must be listed at the start; writing is not tried."""
    s3 = client("s3")
    with explained(f"bucket {place.bucket!r}"):
        s3.list_objects_v2(Bucket=place.bucket, Prefix=place.prefix, MaxKeys=1)
        if watched:
            s3.get_bucket_versioning(Bucket=place.bucket)
    return f"{place.uri} may be listed{'' if watched else '; writing was not tried'}"


def _queue_of(app: str, place: Bucket) -> str:
    """Say whether the queue is there by which a bucket is heard of. One of the template's has no dead letters."""
    if place.queue is None:
        return _queue(names.source_queue(app, place.name), None, counts=False)
    url = place.queue if "://" in place.queue else None
    return _queue(place.queue.rstrip("/").rpartition("/")[2], url)


def _queue(name: str, url: str | None, *, counts: bool = True) -> str:
    """Say whether a queue is there and may be received from.

    To receive is tried with a message that is back at once. Where that might count as a try (`counts`), it is not:
    what is received too often goes to the queue's dead letters.
    """
    sqs, thing = client("sqs"), f"queue {name!r}"
    with explained(thing):
        found = url or sqs.get_queue_url(QueueName=name)["QueueUrl"]
    if counts and (why := _counts(sqs, found, thing)):
        return f"{name} is there; to receive was not tried: {why}"
    with explained(thing):
        sqs.receive_message(QueueUrl=found, MaxNumberOfMessages=1, WaitTimeSeconds=0, VisibilityTimeout=0)
    return f"{name} may be received from"


def _counts(sqs: Any, url: str, thing: str) -> str:
    """Return why a receipt might count, nothing where it does not. Raises for a queue that is not there."""
    said = said_by(sqs, url, ["RedrivePolicy"], thing)
    if said is None:
        return "it would count where the queue has dead letters, and sqs:GetQueueAttributes, which says so, is denied"
    return "it would count, since the queue has dead letters" if said else ""


def _records(app: str, what: str) -> Finding | str:
    """Say whether the run table may be read, and what in it a person should look at."""
    from triggers.aws.deployed import Deployed

    deployed = Deployed(app)
    found = [*_ended(deployed), *_left(deployed), *_interrupted(deployed), *deployed.left_out()]
    if not found:
        return "may be read; nothing is dead or rejected, and nothing waits that was due long ago"
    return Finding(what, Verdict.WARNING, f"may be read; {'; '.join(found)}")


def _ended(deployed: Deployed) -> Iterator[str]:
    with closing(deployed.newest(MOST, {"dead"})) as connection:
        counted = {"dead": len(views.runs(connection)), "rejected": len(deployed.rejections(MOST))}
    many = [f"{number}{' or more' if number == MOST else ''} {word}" for word, number in counted.items() if number]
    if many:
        yield f"{', '.join(many)}: see `triggers dead --aws {deployed.app}`"


def _left(deployed: Deployed) -> Iterator[str]:
    """Tell of runs that nobody may ever be told of again: their record says that they wait, and no message comes.

    So it is where a redrive was killed between the two. One whose message only waits its turn loses nothing by it: what
    comes of a run comes of it once, however many messages there are.
    """
    if late := deployed.overdue(SystemClock().now() - LATE, LOOKED_AT):
        told = _told(late, "delayed and due for long")
        yield f"{told}; where no message of theirs is left, {_again(late, deployed.app)}"


def _interrupted(deployed: Deployed) -> Iterator[str]:
    """Tell of runs whose function was killed amid an attempt, and of which nothing came since: an invocation that waits
    for its answer, which Lambda makes once, has no message that would come again.
    """
    if left := deployed.abandoned(SystemClock().now() - LATE, LOOKED_AT):
        told = _told(left, "interrupted, and left for long")
        yield (
            f"{told}; where no message of theirs is left, their next attempts begin when the same events are invoked"
            f" again, or {_again(left, deployed.app)}"
        )


def _told(runs: Sequence[Overdue], how: str) -> str:
    """Return how many runs there are of a kind, since when, and the first of them."""
    named = ", ".join(f"r{run.number}" for run in runs[:NAMED]) + (" and others" if runs[NAMED:] else "")
    return f"{len(runs)} {how}, since {moment(runs[0].since):%Y-%m-%d %H:%M} UTC or later: {named}"


def _again(runs: Sequence[Overdue], app: str) -> str:
    """Return what sends the events of the first of some runs once more."""
    return f"`triggers dead redrive {' '.join(f'r{run.number}' for run in runs[:NAMED])} --aws {app}` sends it again"


__all__ = ["of_app", "of_deployed"]
