"""Where a deployment goes: the account and region that botocore finds, and the buckets there, by a client of S3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from triggers.aws.clients import client
from triggers.aws.refusals import explained
from triggers.errors import WiringError

_PUBLIC: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@dataclass(frozen=True, slots=True)
class Account:
    """An account by its number, in a region."""

    number: str
    region: str

    @classmethod
    def here(cls, region: str) -> Account:
        """Return the account of the credentials that botocore finds. Raises `WiringError` where it finds none."""
        with explained("your account"):
            return cls(client("sts").get_caller_identity()["Account"], region)

    def __str__(self) -> str:
        return f"account {self.number}, {self.region}"


class CodeBucket:
    """The bucket that has the zips of functions and the templates, under names that hold the digest of the content.

    It is the one named, which must be there, else one of ours for the account and region, which is made when something
    is first put there. Nothing in it is ever changed, so that it needs no versions.
    """

    def __init__(self, account: Account, s3: Any, name: str | None = None) -> None:
        self.ours = name is None
        self.name = name or f"triggers-code-{account.number}-{account.region}"
        self._account = account
        self._s3 = s3
        self._owner = {"ExpectedBucketOwner": account.number} if self.ours else {}
        self._there = False
        self._open = False
        """Whether it is ours and there, but maybe not closed to the public."""

    def check(self) -> None:
        """Raise `WiringError` where the bucket cannot be used; one of ours need not be there yet."""
        try:
            region = region_of(self.name, self._s3, self._owner)
            self._there = True
            self._open = self.ours and self._is_empty()
        except WiringError as error:
            if self.ours and _status(error) == 404:
                return
            if self.ours and _status(error) == 403:
                raise WiringError(
                    f"bucket {self.name!r}, where code would be kept, is another account's, or this identity may not"
                    " s3:ListBucket on it; name a bucket of yours by --code-bucket"
                ) from error
            raise
        if region != self._account.region:
            raise WiringError(
                f"the code bucket {self.name!r} is in {region}, and functions in {self._account.region} take their code"
                " from there; name another one by --code-bucket"
            )

    def put(self, key: str, data: bytes) -> bool:
        """Have an object there, in a bucket that was checked; return whether it had to be sent."""
        with explained(f"code bucket {self.name!r}"):
            if not self._there:
                self._make()
            if self._open:
                self._close()
            elif self._has(key):
                return False
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            self._s3.put_object(Bucket=self.name, Key=key, Body=data, ChecksumSHA256=digest, **self._owner)
        return True

    def url(self, key: str) -> str:
        """Return where CloudFormation finds an object."""
        china = ".cn" if self._account.region.startswith("cn-") else ""
        return f"https://s3.{self._account.region}.amazonaws.com{china}/{self.name}/{key}"

    def _make(self) -> None:
        """Make the bucket. S3 encrypts what is put into it."""
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": self._account.region}}
        self._s3.create_bucket(Bucket=self.name, **({} if self._account.region == "us-east-1" else elsewhere))
        self._there = self._open = True

    def _close(self) -> None:
        """Close the bucket to the public."""
        closed = dict.fromkeys(_PUBLIC, True)
        self._s3.put_public_access_block(Bucket=self.name, PublicAccessBlockConfiguration=closed, **self._owner)
        self._open = False

    def _is_empty(self) -> bool:
        """Say whether nothing lies in it, as where who made it was ended before it was closed."""
        with explained(f"code bucket {self.name!r}"):
            return not self._s3.list_objects_v2(Bucket=self.name, MaxKeys=1, **self._owner).get("KeyCount")

    def _has(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self.name, Key=key, **self._owner)
        except self._s3.exceptions.ClientError as error:
            if _status_of(error.response) == 404:
                return False
            raise
        return True


class DataBucket:
    """A bucket with an app's objects, which must tell EventBridge what becomes of them. It belongs to the account."""

    def __init__(self, account: Account, s3: Any, name: str) -> None:
        self.name = name
        self._account = account
        self._thing = f"bucket {name!r} of account {account.number}"
        self._owner = {"ExpectedBucketOwner": account.number}
        self._s3 = s3

    def tells(self) -> bool:
        """Say whether it tells EventBridge already. Raises `WiringError` where its objects cannot be heard of."""
        region = region_of(self.name, self._s3, self._owner, self._thing)
        if region != self._account.region:
            raise WiringError(
                f"bucket {self.name!r} is in {region} and tells EventBridge there, and the app would be in"
                f" {self._account.region}; set AWS_REGION={region}, or bind the place to a bucket of the app's region"
            )
        return "EventBridgeConfiguration" in self._notifications()

    def tell(self) -> bool:
        """Have it tell EventBridge beside whomever it tells already; return whether that was new."""
        found = self._notifications()
        if "EventBridgeConfiguration" in found:
            return False
        with explained(self._thing):
            self._s3.put_bucket_notification_configuration(
                Bucket=self.name,
                NotificationConfiguration={**found, "EventBridgeConfiguration": {}},
                SkipDestinationValidation=True,  # the others were there before us
                **self._owner,
            )
        return True

    def _notifications(self) -> Mapping[str, Any]:
        with explained(self._thing):
            found = self._s3.get_bucket_notification_configuration(Bucket=self.name, **self._owner)
        return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def region_of(bucket: str, s3: Any, owner: Mapping[str, str], thing: str | None = None) -> str:
    """Return the region that a bucket is in. Raises `WiringError` where it is not there, or not the owner's."""
    with explained(thing or f"bucket {bucket!r}"):
        reply = s3.head_bucket(Bucket=bucket, **owner)
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    return str(headers.get("x-amz-bucket-region") or s3.meta.region_name)


def _status(error: WiringError) -> int | None:
    return _status_of(getattr(error.__cause__, "response", {}))


def _status_of(response: Mapping[str, Any]) -> int | None:
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


__all__ = ["Account", "CodeBucket", "DataBucket"]
