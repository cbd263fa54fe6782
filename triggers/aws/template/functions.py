"""Functions: which routes share one, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from triggers.aws import names
from triggers.aws.template import permissions
from triggers.aws.template.fit import USUAL, Size
from triggers.aws.template.permissions import Reach
from triggers.aws.template.references import Json, Resources, arn_of, from_account, logical, ref
from triggers.routing import Route

HANDLER: Final = "triggers.aws.serverless.handler"

_RETENTIONS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Days for which CloudWatch keeps logs."""


@dataclass(frozen=True, slots=True)
class Code:
    """How a function's code is packed. Where the zip or the image lies, the template's parameters say."""

    python: str = "3.13"
    architecture: str = "x86_64"
    image: bool = False

    def parameters(self) -> Json:
        """Return the parameters that say where the code is."""
        if self.image:
            return {"ImageUri": {"Type": "String", "Description": "The image in ECR, with its digest or tag"}}
        return {
            "CodeBucket": {"Type": "String", "Description": "The bucket that the zip of `triggers package` lies in"},
            "CodeKey": {"Type": "String", "Description": "The zip's key; another one for another content"},
        }

    def properties(self) -> Json:
        """Return what a function has of it."""
        if self.image:
            return {"PackageType": "Image", "Code": {"ImageUri": ref("ImageUri")}, **self._runs_on()}
        code = {"S3Bucket": ref("CodeBucket"), "S3Key": ref("CodeKey")}
        return {"Runtime": f"python{self.python}", "Handler": HANDLER, "Code": code, **self._runs_on()}

    def _runs_on(self) -> Json:
        return {"Architectures": [self.architecture]}


@dataclass(frozen=True, slots=True)
class Group:
    """Routes that share a function. It is called as the first of them is."""

    routes: tuple[Route, ...]
    size: Size
    reach: Reach
    sources: tuple[str, ...] = ()
    """Queues of the user's own that feed it, by the names of their sources."""

    @property
    def name(self) -> str:
        """Return the name of the group."""
        return self.routes[0].name


def grouped(
    fits: Mapping[Route, Size], reaches: Mapping[Route, Reach], sources: Mapping[str, Sequence[Route]]
) -> list[Group]:
    """Return the groups of the routes: all that one source feeds, and of the others those with equal size and reach."""
    sets = _joined([{route for route in fed if route in fits} for fed in sources.values()])
    equal: dict[tuple[Size, Reach], set[Route]] = {}
    for route in fits:
        if not any(route in one for one in sets):
            equal.setdefault((fits[route], reaches[route]), set()).add(route)
    ordered = [tuple(route for route in fits if route in one) for one in (*sets, *equal.values())]
    place = {route: number for number, route in enumerate(fits)}
    return [_group(one, fits, reaches, sources) for one in sorted(ordered, key=lambda one: place[one[0]])]


def _joined(sets: Iterable[set[Route]]) -> list[set[Route]]:
    """Return sets of which no two have a route in common."""
    found: list[set[Route]] = []
    for one in filter(None, sets):
        found = [*(other for other in found if not other & one), one.union(*(o for o in found if o & one))]
    return found


def _group(
    routes: tuple[Route, ...],
    fits: Mapping[Route, Size],
    reaches: Mapping[Route, Reach],
    sources: Mapping[str, Sequence[Route]],
) -> Group:
    sizes = [fits[route] for route in routes]
    size = Size(
        memory=max(size.memory for size in sizes),
        timeout=max(size.timeout for size in sizes),
        storage=max(size.storage for size in sizes),
        batch=min(size.batch for size in sizes),
    )
    reach = reaches[routes[0]]
    for route in routes[1:]:
        reach |= reaches[route]
    return Group(routes, size, reach, tuple(name for name, fed in sources.items() if set(fed) & set(routes)))


def function(app: str, group: Group, code: Code, environment: Mapping[str, object], retention: float) -> Resources:
    """Return a function and its log group. `retention` is in days."""
    name = names.function(app, group.name)
    logs = logical(group.name, "Logs")
    properties: Json = {
        "FunctionName": name,
        "Description": f"Runs {', '.join(route.name for route in group.routes)}"[:256],
        **code.properties(),
        "Role": arn_of(logical(group.name, "Role")),
        "MemorySize": group.size.memory,
        "Timeout": group.size.timeout,
    }
    if group.size.storage > USUAL:
        properties["EphemeralStorage"] = {"Size": group.size.storage}
    properties["LoggingConfig"] = {"LogFormat": "JSON", "LogGroup": ref(logs)}
    routes = ",".join(route.name for route in group.routes)
    properties["Environment"] = {"Variables": {names.ROUTES: routes, **environment}}
    return {
        logical(group.name, "Function"): {"Type": "AWS::Lambda::Function", "Properties": properties},
        logs: log_group(f"/aws/lambda/{name}", retention),
    }


def role(app: str, group: Group, queues: Sequence[Json]) -> Resources:
    """Return the role of a group's function."""
    delays = not all(route.serial for route in group.routes)  # what is in order is never sent again: it keeps its place
    log = permissions.logging(f"/aws/lambda/{names.function(app, group.name)}")
    allowed = [log, *permissions.statements(app, queues, group.reach, delays=delays)]
    return {logical(group.name, "Role"): permissions.role("lambda.amazonaws.com", from_account(), allowed)}


def log_group(name: str, retention: float) -> Json:
    """Return a log group that keeps what is logged for so many days, or the next longer time there is."""
    kept = next((days for days in _RETENTIONS if days >= retention), _RETENTIONS[-1])
    return {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {"LogGroupName": name, "RetentionInDays": kept},
    }
