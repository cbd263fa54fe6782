"""What is right at each door, to begin with; and pieces of which something may be wrong."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import Any

_CLOUD: dict[str, Any] = {
    "specversion": "1.0", "id": "7", "source": "shell", "type": "Retrain", "time": "2026-01-31T08:00:00Z",
    "subject": "a", "dataversion": 1, "data": {"model": "m", "rows": 3},
}  # fmt: skip
_LINEAGE = {"root": "e12", "cause": "r7", "depth": 2, "budget": 9}
_RECORD = {
    "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
    "eventTime": "2026-01-31T08:00:00.000Z",
    "s3": {"bucket": {"name": "acme"},
           "object": {"key": "raw/a+b.csv", "size": 3, "eTag": "e", "versionId": "v", "sequencer": "0A"}},
}  # fmt: skip
_BUS = {
    "source": "aws.s3", "detail-type": "Object Deleted", "time": "2026-01-31T08:00:00Z",
    "detail": {"bucket": {"name": "acme"}, "object": {"key": "raw/a.csv", "etag": "e", "sequencer": "0B"},
               "deletion-type": "Delete Marker Created", "reason": "DeleteObject"},
}  # fmt: skip
_QUEUED = {
    "messageId": "m", "receiptHandle": "r", "body": "", "attributes": {"SentTimestamp": "1767225600000"},
    "messageAttributes": {"a": {"stringValue": "1", "dataType": "String"}},
    "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
}  # fmt: skip
_PATTERN = {
    "model": [{"prefix": "ch"}, {"suffix": "n"}, {"anything-but": {"prefix": "x"}}, {"equals-ignore-case": "CHURN"}],
    "rows": [{"numeric": [">", 0, "<=", 100]}, 7], "at": [{"cidr": "10.0.0.0/8"}], "deep": {"er": [{"exists": True}]},
    "$or": [{"model": [{"wildcard": "c*n"}]}, {"tags": [None]}],
}  # fmt: skip
_SWF = "; MaxProcs: 8\n1 0 0 60 2 -1 -1 2 60 -1 1 4 1 7 1 -1 -1 -1\n2 9.5 0 30 -1 -1 -1 1 60 -1 1 4 1 7 1 -1 -1 -1\n"
_PRICES = "moment,price\n2026-03-29T00:00,1.5\n2026-03-29T01:00,2\n2026-03-29T03:00,-0.5\n"


def _text(value: object) -> bytes:
    return json.dumps(value).encode()


def _zip(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.swf", text)
    return file.getvalue()


def _sns(text: str) -> bytes:
    return _text({"Type": "Notification", "TopicArn": "arn:t", "MessageId": "n", "Message": text})


def _records(*records: object) -> dict[str, Any]:
    return {"Records": list(records)}


_MESSAGES = [
    b"hello", _text(_CLOUD), _text({"detail-type": "Retrain", "source": "triggers.churn", "detail": _CLOUD | _LINEAGE}),
    _sns(json.dumps(_CLOUD)),
]  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "cloudevent": [_text(_CLOUD), _text(_CLOUD | _LINEAGE)],
    "batch": [_text(_CLOUD) + b"\n" + _text(_CLOUD | {"id": "8"}) + b"\n", b"\n\n"],
    "payload": [b'{"model": "m", "rows": 3}'],
    "request": [b'\0{"runs": [1, 2]}', b'\2{"events": [3], "route": "train"}', b'\3{"schedule": "nightly"}',
                b'\5{"routes": [], "by": "me"}', b'\7{"schedule": "n", "instants": [1.5], "again": true}'],
    "pattern": [_text(_PATTERN), b'{"model": ["churn"]}'],
    "event_of_pattern": [_text({"model": "churn", "rows": 3, "at": "10.1.2.3"})],
    "crontab": [b"*/15 0-6 1,15 JAN-MAR MON", b"0 12 ? * 6#3 2026", b"0 0 LW * ? *", b"@daily"],
    "window": [b"Mon-Fri 22:00-06:00 Europe/Berlin", b"08:00-20:00; Sat,Sun 00:00-24:00 UTC except 2026-12-25 and SAT"],
    "prices": [_PRICES.encode(), b"1767225600,1\n1767229200,2\n"],
    "log": [b"\0" + _SWF.encode(), b"\1" + gzip.compress(_SWF.encode()), b"\2" + _zip(_SWF)],
    "object_notice": [_text(_records(_RECORD)), _text(_BUS), _sns(json.dumps(_records(_RECORD))),
                      _text({"Service": "Amazon S3", "Event": "s3:TestEvent"})],
    "message": [*_MESSAGES],
    "invocation": [
        *(_text(_records({**_QUEUED, "body": text.decode()})) for text in _MESSAGES),
        _text(_records({**_QUEUED, "body": json.dumps(_records(_RECORD)), "eventSourceARN": "arn:aws:sqs:x:1:q.fifo"})),
        _text(_records(_RECORD)), _text(_BUS), _text(_CLOUD),
        _text(_records({"EventSource": "aws:sns", "Sns": {"MessageId": "n", "TopicArn": "arn:t", "Message": "hello"}})),
    ],
    "metadata": [b"root e1\ncause r2\ndepth 3\nbudget 4\neffect 0a1b-r2"],
    "file_name": [b"2026/a.csv", b"\xff\n.csv"],
}  # fmt: skip

PIECES = [
    b"", b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b"\r", b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800",
    b"null", b"true", b"NaN", b"Infinity", b"1e999", b"-1e999", b"1" * 5000, b"0.1", b"-1", b"9223372036854775808",
    b"[" * 300, b'{"a":' * 300, b"a" * 5000, "ÿ".encode() * 400, "\u2028".encode(), b"\xf0\x9f\x98\x80",
    b'"1.0"', b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"2026-02-30", b"00:00-00:00", b"24:00",
    b"s3:TestEvent", b"aws:s3", b"aws:sqs", b"aws:sns", b"Notification", b"..", b"%2e%2e%2f", b"%", b"+", b"/",
    b"1/0", b"*/0", b"0#0", b"L-99", b"?", b"-", b"Europe/Nowhere", b"nan", b"inf", b"1_000", "٣".encode(), b" ",
]  # fmt: skip
"""What has brought readers down, ours and others'."""

FOUND: dict[str, list[bytes]] = {
    "cloudevent": [_text(_CLOUD | {"specversion": "1" * 5000}), _text(_CLOUD | {"time": "2" * 5000}),
                   _text(_CLOUD | _LINEAGE | {"root": "e" + "1" * 5000})],
    "pattern": [b'{"half \\ud800": [{"equals": 1}]}'],
    "prices": [b"17672251767229200,2\n600,1\n1767229200,2\n", b"moment,price\n2026-01-01,1" + b"a" * 5000,
               b"moment,price\n2026-01-01," + b"1" * 140_000],
    "log": [b"\0" + _SWF.replace(" 60 ", " nan ", 1).encode(), b"\0" + _SWF.replace(" 2 ", " inf ", 1).encode(),
            b"\1" + gzip.compress(_SWF.encode())[:-9], b"\1" + gzip.compress(b";" * 10_000_000),
            b"\2" + _zip(_SWF)[:-30], b"\2" + _zip(_SWF).replace(b"\x07\0\0\0", b"\0\0\0\0")],
    "invocation": [_text(_records({**_QUEUED, "attributes": "2026"})),
                   _text(_records({**_QUEUED, "attributes": {"ApproximateReceiveCount": "many"}})),
                   _text(_records({"EventSource": "aws:sns", "Sns": "hello"}))],
}  # fmt: skip
"""What has brought a door down, or made it say too much."""
