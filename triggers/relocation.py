"""What is declared, where it is bound to: a folder or a bucket as either of the two, a queue as another queue."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, unquote

from triggers.errors import WiringError
from triggers.places import BUCKET, Place
from triggers.sources.bucket import Bucket
from triggers.sources.folder import Folder
from triggers.sources.queue import Queue

Movable: TypeAlias = Folder | Bucket | Queue
"""What can be bound to where it is in some place."""


def place_of(declared: Folder | Bucket) -> Place:
    """Return the place that is declared by a folder or a bucket."""
    if isinstance(declared, Folder):
        return Place(declared.path, name=declared.name)
    return Place(f"{BUCKET}{declared.bucket}/{quote(declared.prefix)}", name=declared.name)


def relocated(place: Movable, where: Path | str) -> Movable:
    """Return the same place at a path, at a `file://` URL or at an `s3://` URI; a queue by its name, URL or ARN.

    Raises `WiringError` for anything else.
    """
    return place.bind(str(where)) if isinstance(place, Queue) else _placed(place, where)


def _placed(place: Folder | Bucket, where: Path | str) -> Folder | Bucket:
    scheme, separator, rest = str(where).partition("://")
    if isinstance(where, Path) or not separator or "/" in scheme:
        return _folder(place, Path(where))
    if scheme == "file" and rest.startswith("/"):
        return _folder(place, Path(unquote(rest)))
    if not where.startswith(BUCKET):
        raise WiringError(
            f"{place.name!r} cannot be bound to {where}; bind it to a folder or to a bucket: s3://BUCKET/PREFIX"
        )
    return _bucket(place, where)


def _folder(place: Folder | Bucket, path: Path) -> Folder:
    if isinstance(place, Folder):
        return place.bind(path)
    return Folder(path, name=place.name, ignore=place.ignore, deletions=place.deletions)


def _bucket(place: Folder | Bucket, uri: str) -> Bucket:
    from triggers.aws.clients import require  # loads what only those need who use AWS

    require("boto3")
    if isinstance(place, Bucket):
        return place.bind(uri)
    if place.marker is not None:
        raise WiringError(
            f"{place.name!r} cannot be bound to {uri}: marker={place.marker!r} is for folders, and objects in a bucket"
            " are whole when they appear; leave marker= out, or bind it to a folder"
        )
    return Bucket(uri, name=place.name, ignore=place.ignore, deletions=place.deletions)


__all__ = ["Movable", "place_of", "relocated"]
