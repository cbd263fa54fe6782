"""Ask parliament about every policy of templates: `python policies.py TEMPLATE...`, which `make templates` does."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VALUES = {"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012"}
ARNS = {
    "AWS::SQS::Queue": "arn:aws:sqs:eu-central-1:123456789012:{}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-central-1:123456789012:table/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Events::Rule": "arn:aws:events:eu-central-1:123456789012:rule/{}",
    "AWS::Batch::JobDefinition": "arn:aws:batch:eu-central-1:123456789012:job-definition/{}:1",
}
KNOWN = ({"action": "batch:SubmitJob", "required_format": "arn:*:batch:*:*:job/*"},)
"""What parliament asks for in vain: a job has no ARN before it is submitted. Batch's own examples name the queue and
the definition."""
JOB_QUEUE = "arn:aws:batch:eu-central-1:123456789012:job-queue/jobs"


def policies(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the policy documents in a part of a template, and where each of them is.

    Those by which a role is taken name no resource, which parliament does not know; the tests look at them.
    """
    if isinstance(value, dict):
        if any("Resource" in statement for statement in value.get("Statement", ())):
            yield place, value
        for key, item in value.items():
            yield from policies(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from policies(item, f"{place}[{number}]")


def resolved(value: Any, resources: dict[str, Any]) -> Any:
    """Return a part of a template with what CloudFormation puts in for references."""
    match value:
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([\w:]+)\}", lambda found: VALUES[found[1]], text).replace("${!", "${")
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name} if name in resources:
            return ARNS[resources[name]["Type"]].format(name)
        case {"Ref": name}:
            return VALUES.get(name, JOB_QUEUE)
        case dict():
            return {key: resolved(item, resources) for key, item in value.items()}
        case list():
            return [resolved(item, resources) for item in value]
    return value


def main(files: list[str]) -> int:
    """Print what is found, and return 1 where anything is."""
    from parliament import analyze_policy_string  # in a virtual environment of its own, see the Makefile

    count = found = 0
    for file in files:
        template = json.loads(Path(file).read_text(encoding="utf-8"))
        for place, policy in policies(template["Resources"]):
            document = json.dumps(resolved(policy, template["Resources"]))
            count += 1
            for finding in analyze_policy_string(document).findings:
                if isinstance(finding.detail, list) and all(one in KNOWN for one in finding.detail):
                    continue
                found += 1
                print(f"{file}: {place}: {finding.issue} {finding.detail} {finding.location}")
    print(f"parliament: {count} policies, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
