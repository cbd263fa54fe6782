"""Where an app's places are in AWS: a bucket, and the prefix below which everything of the place lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from triggers.app import App
from triggers.aws.template.problems import Problems
from triggers.aws.template.references import Json, s3_arn
from triggers.errors import WiringError, did_you_mean
from triggers.sources.bucket import Bucket
from triggers.sources.folder import Folder

BUCKET: Final = "s3://"
_WILD = re.compile(r"[*?$]")


@dataclass(frozen=True, slots=True)
class Location:
    """A prefix in a bucket. The prefix is empty or ends with `/`."""

    bucket: str
    prefix: str

    @property
    def objects(self) -> Json:
        """Return the ARN of what lies there."""
        return s3_arn(f"{self.bucket}/{self.prefix}*")

    @property
    def uri(self) -> str:
        """Return the place as text, `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{quote(self.prefix)}".rstrip("/")


def location(name: str, uri: str) -> Location:
    """Return where an `s3://` URI points to; `name` is the place's in errors (`WiringError`)."""
    if not uri.startswith(BUCKET):
        raise WiringError(
            f"place {name!r} is bound to {uri!r}, which is no bucket; write --bind {name}=s3://BUCKET/PREFIX"
        )
    bucket = Bucket(uri, name=name)
    if wild := _WILD.search(bucket.prefix):
        raise WiringError(
            f"place {name!r}: the prefix {bucket.prefix!r} holds {wild[0]!r}, which a policy reads as a pattern; choose"
            " another"
        )
    return Location(bucket.bucket, bucket.prefix)


def locate(app: App, binds: Mapping[str, str], problems: Problems) -> dict[str, Location]:
    """Return where the app's places are, by `binds` or by their own `uri`. What is bound nowhere is a problem."""
    places = {**app.sources, **app.outputs}
    for name in sorted(set(binds) - set(places)):
        problems.add(f"--bind {name}=...: app {app.name!r} has no such place{did_you_mean(name, places)}")
    found: dict[str, Location] = {}
    for name, place in places.items():
        uri = binds.get(name) or _own(place)
        if uri is not None:
            with problems.collected():
                found[name] = location(name, uri)
        elif name in app.outputs or isinstance(place, Folder):
            problems.add(
                f"place {name!r} is a folder here and bound to no bucket; add --bind {name}=s3://BUCKET/PREFIX"
            )
    return found


def _own(place: object) -> str | None:
    """Return the URI of a place that is declared in a bucket, or bound to one already."""
    uri = getattr(place, "uri", None)
    return uri if isinstance(uri, str) and uri.startswith(BUCKET) else None
