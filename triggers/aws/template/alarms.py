"""Alarms: what somebody should look at. The parameter `AlarmTopicArn` says who is told."""

from __future__ import annotations

from typing import Final

from triggers.aws.template.references import Json, ref

TOPIC: Final = "AlarmTopicArn"
AGE: Final = "OldestMessageSeconds"
TOLD: Final = "SomebodyIsTold"

PARAMETERS: Final[Json] = {
    TOPIC: {
        "Type": "String",
        "Default": "",
        "Description": "The SNS topic that alarms go to; nobody is told without it",
    },
    AGE: {"Type": "Number", "Default": 21_600, "MinValue": 60, "Description": "The age of a message that is an alarm"},
}
CONDITIONS: Final[Json] = {TOLD: {"Fn::Not": [{"Fn::Equals": [ref(TOPIC), ""]}]}}


def of_messages(text: str, queue: str) -> Json:
    """Return the alarm for messages in a queue that should be empty, by its logical name."""
    return _alarm(text, "SQS", "ApproximateNumberOfMessagesVisible", "QueueName", _name_of(queue), 1)


def of_age(text: str, queue: str) -> Json:
    """Return the alarm for a message that nobody has carried out."""
    return _alarm(text, "SQS", "ApproximateAgeOfOldestMessage", "QueueName", _name_of(queue), ref(AGE))


def of_errors(text: str, function: str) -> Json:
    """Return the alarm for a function that ends in an error; what a handler raises is none of its errors."""
    return _alarm(text, "Lambda", "Errors", "FunctionName", ref(function), 1, "Sum")


def _name_of(queue: str) -> Json:
    return {"Fn::GetAtt": [queue, "QueueName"]}


def _alarm(
    text: str, service: str, metric: str, dimension: str, of: Json, threshold: object, statistic: str = "Maximum"
) -> Json:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": text,
            "Namespace": f"AWS/{service}",
            "MetricName": metric,
            "Dimensions": [{"Name": dimension, "Value": of}],
            "Statistic": statistic,
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": threshold,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [{"Fn::If": [TOLD, ref(TOPIC), ref("AWS::NoValue")]}],
        },
    }
