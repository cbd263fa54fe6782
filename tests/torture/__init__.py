"""Faults that are as real as this machine allows: a few of each in every run of the suite, many in `make torture`."""

import os

TIMES = int(os.environ.get("TRIGGERS_TORTURE", "1"))
"""How many times as much is done as in a run of the default suite."""

FEW = max(1, TIMES // 5)
"""The same of what takes a second or more each time."""
