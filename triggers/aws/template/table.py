"""The table of run records; `triggers.aws.records` says what is in it."""

from __future__ import annotations

from triggers.aws import names
from triggers.aws.records import INDEXED
from triggers.aws.template.references import Json


def table(app: str) -> Json:
    """Return the table, with its indexes and the attribute by which items expire.

    It goes when the stack goes: a table that stayed would keep the next one from being made.
    """
    attributes = {"run": "S", "part": "S", "root": "S", "state": "S", "changed": "N"}
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "TableName": names.table(app),
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()
            ],
            "KeySchema": _key("run", "part"),
            "GlobalSecondaryIndexes": [_index("by-root", "root"), _index("by-state", "state")],
            "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        },
    }


def _index(name: str, attribute: str) -> Json:
    return {
        "IndexName": name,
        "KeySchema": _key(attribute, "changed"),
        "Projection": {
            "ProjectionType": "INCLUDE",
            "NonKeyAttributes": sorted(set(INDEXED) - {attribute}),
        },
    }


def _key(hashed: str, ranged: str) -> list[Json]:
    return [{"AttributeName": hashed, "KeyType": "HASH"}, {"AttributeName": ranged, "KeyType": "RANGE"}]
