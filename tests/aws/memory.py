"""Table, bus, queue and scheduler in memory, as far as a function uses them, and a way to be killed at any call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

Item = dict[str, dict[str, Any]]


class Killed(BaseException):
    """The process ends here: nothing that comes after it happens."""


class Refused(Exception):
    """What botocore raises where a condition does not hold."""

    def __init__(self, code: str, item: Item | None = None) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "Item": item or {}}


class Table:
    """DynamoDB, one table: conditions and updates as expressions say them, in the words that run records use."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.page = 1000
        """How many items an answer holds at most: DynamoDB gives no more than 1 MB in one."""

    def record(self, run: str | None = None) -> dict[str, Any]:
        """Return the record of a run, of the only one if it is not named, as plain values."""
        found = {key[0]: item for key, item in self.items.items() if key[1] == "run"}
        assert run or len(found) == 1, f"there are {len(found)} runs"
        return plain(found[run] if run else next(iter(found.values())))

    def records(self) -> list[dict[str, Any]]:
        return [plain(item) for key, item in self.items.items() if key[1] == "run"]

    def put_item(self, *, TableName: str, Item: Item) -> dict[str, Any]:
        self.items[_key(Item)] = Item
        return {}

    def query(
        self, *, ExpressionAttributeValues: Item, ExclusiveStartKey: Item | None = None, **_: Any
    ) -> dict[str, Any]:
        run, part = ExpressionAttributeValues[":run"]["S"], ExpressionAttributeValues[":part"]["S"]
        after = _key(ExclusiveStartKey) if ExclusiveStartKey else ("", "")
        keys = sorted(key for key in self.items if key[0] == run and key[1].startswith(part) and key > after)
        found = [self.items[key] for key in keys[: self.page]]
        more = (
            {"LastEvaluatedKey": {name: found[-1][name] for name in ("run", "part")}} if len(keys) > self.page else {}
        )
        return {"Items": found, **more}

    def update_item(
        self,
        *,
        Key: Item,
        UpdateExpression: str,
        ConditionExpression: str,
        ExpressionAttributeNames: dict[str, str],
        ExpressionAttributeValues: Item,
        ReturnValues: str,
        **more: Any,
    ) -> dict[str, Any]:
        said = set(re.findall(r"[#:]\w+", f"{UpdateExpression} {ConditionExpression}"))
        given = {*ExpressionAttributeNames, *ExpressionAttributeValues}
        assert said == given, f"DynamoDB refuses names and values that are missing or not used: {said ^ given}"
        old = self.items.get(_key(Key), {})
        if not _holds(ConditionExpression, old, ExpressionAttributeValues):
            raise Refused("ConditionalCheckFailedException", old)
        new: dict[str, Any] = {**Key, **old}
        sets, _, removes = UpdateExpression.removeprefix("SET ").partition(" REMOVE ")
        for name, text in re.findall(r"#(\w+) = (if_not_exists\([^)]*\)(?: \+ :\w+)?|:\w+)", sets):
            new[name] = _value(text, old, ExpressionAttributeValues)
        for name in re.findall(r"#(\w+)", removes):
            new.pop(name, None)
        new = {name: _normal(one) for name, one in new.items()}
        self.items[_key(Key)] = new
        return {"Attributes": {} if ReturnValues == "NONE" else new}


def plain(item: Item) -> dict[str, Any]:
    """Return an item's values without their types."""
    return {name: float(value["N"]) if "N" in value else next(iter(value.values())) for name, value in item.items()}


def _key(item: Item) -> tuple[str, str]:
    return item["run"]["S"], item["part"]["S"]


def _normal(value: dict[str, Any]) -> dict[str, Any]:
    """Return a number as DynamoDB gives it back: without the zeros at its end."""
    return {"N": f"{Decimal(value['N']).normalize():f}"} if "N" in value else value


def _value(text: str, old: Item, values: Item) -> dict[str, Any]:
    found = re.fullmatch(r"if_not_exists\(#(\w+), (:\w+)\)(?: \+ (:\w+))?", text)
    if not found:
        return values[text]
    base = old.get(found[1], values[found[2]])
    return {"N": str(Decimal(base["N"]) + Decimal(values[found[3]]["N"]))} if found[3] else base


def _holds(condition: str, old: Item, values: Item) -> bool:
    def scalar(item: dict[str, Any] | None) -> Any:
        return None if item is None else float(item["N"]) if "N" in item else next(iter(item.values()))

    def compared(match: re.Match[str]) -> str:
        left, right = scalar(old.get(match[1])), scalar(values[match[3]])
        return (
            str(
                left is not None
                and {"=": left == right, "<>": left != right, "<": left < right, "<=": left <= right}[match[2]]
            )
            if (type(left) is type(right))
            else "False"
        )

    text = re.sub(r"attribute_not_exists\(#(\w+)\)", lambda match: str(match[1] not in old), condition)
    text = re.sub(r"#(\w+) (=|<>|<=|<) (:\w+)", compared, text)
    words = text.replace("AND", "and").replace("OR", "or")
    assert not set(re.findall(r"\w+", words)) - {"True", "False", "and", "or"}, words
    return bool(eval(words))  # of our own condition


class EventBus:
    """EventBridge: what was put on it, and what it fails to take."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []
        self.failing: list[int] = []
        """For each call to come, how many of its first entries fail."""
        self.calls: list[int] = []

    def put_events(self, *, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.calls.append(len(Entries))
        failed = self.failing.pop(0) if self.failing else 0
        self.entries.extend(Entries[failed:])
        said = {"ErrorCode": "ThrottlingException", "ErrorMessage": "too fast"}
        return {"FailedEntryCount": failed, "Entries": [said] * failed + [{"EventId": "1"}] * (len(Entries) - failed)}


class Queue:
    """SQS: for how long messages were hidden."""

    class meta:
        endpoint_url = "https://sqs.test"

    def __init__(self) -> None:
        self.hidden: dict[str, int] = {}
        self.urls: list[str] = []

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.urls.append(QueueUrl)
        self.hidden |= {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in Entries}
        return {}


class Scheduler:
    """EventBridge Scheduler: the schedules, by name."""

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}

    def create_schedule(self, **asked: Any) -> dict[str, Any]:
        if asked["Name"] in self.schedules:
            raise Refused("ConflictException")
        self.schedules[asked["Name"]] = asked
        return {}


class Mortal:
    """A client whose process is killed at the n-th call of all: before it is carried out, or after."""

    def __init__(self, client: Any, life: Life) -> None:
        self._client = client
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found) or isinstance(found, type):
            return found

        def called(**arguments: Any) -> Any:
            with self._life.call(name):
                return found(**arguments)

        return called


class Life:
    """The calls that a process makes before it is killed; no end if no number is given."""

    def __init__(self, calls: int | None = None, *, after: bool = False) -> None:
        self.left = calls
        self.after = after
        self.made: Counter[str] = Counter()

    def call(self, name: str) -> Any:
        return _Step(self, name)


class _Step:
    def __init__(self, life: Life, name: str) -> None:
        self.life, self.name = life, name
        self.last = False

    def __enter__(self) -> None:
        self.life.made[self.name] += 1
        if self.life.left is None:
            return
        self.life.left -= 1
        self.last = self.life.left == 0
        if self.life.left < 0 or (self.last and not self.life.after):
            raise Killed

    def __exit__(self, *_: object) -> None:
        if self.last and self.life.after:
            raise Killed


def lives(most: int) -> Iterator[Life]:
    """Yield lives that end before or after each of the first calls."""
    for calls in range(1, most + 1):
        for after in (False, True):
            yield Life(calls, after=after)
