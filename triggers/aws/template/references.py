"""How the parts of a template call one another: logical names, and ARNs of what has a name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Resources: TypeAlias = dict[str, Json]

_PLAIN = re.compile(r"[a-z]+[0-9]*(?:_[a-z]+[0-9]*)*")


def logical(name: str, kind: str) -> str:
    """Return the logical name of a thing of ours: `notify_failure`, `Queue` is `NotifyFailureQueue`.

    Two names never become one: a name that is not written like `notify_failure` ends in a digest of the whole.
    """
    words = re.findall(r"[A-Za-z0-9]+", name)
    written = "".join(word[0].upper() + word[1:] for word in words)
    if not _PLAIN.fullmatch(name):
        written += "X" + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
    return written + kind


def ref(logical_name: str) -> Json:
    """Return a reference to a resource or a parameter."""
    return {"Ref": logical_name}


def arn_of(logical_name: str) -> Json:
    """Return the ARN of a resource of the template."""
    return {"Fn::GetAtt": [logical_name, "Arn"]}


def arn(service: str, resource: str, account: str | None = None) -> Json:
    """Return the ARN of something in the stack's region and account, or in the account named."""
    owner = account or "${AWS::AccountId}"
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:{owner}:{_plain(resource)}"}


def s3_arn(resource: str) -> Json:
    """Return the ARN of a bucket or of the objects in it."""
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{_plain(resource)}"}


def from_account(**like: Any) -> Json:
    """Return the condition that a service acts for this account, and where it is given for this resource."""
    condition: Json = {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}
    if like:
        condition["ArnLike"] = {"aws:SourceArn": like["source"]}
    return condition


def policy(*statements: Mapping[str, Any]) -> Json:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _plain(text: str) -> str:
    """Return text as `Fn::Sub` takes it unchanged."""
    return text.replace("${", "${!")
