"""Faults by seeds: an app in virtual time that crashes, is told things twice, late and out of order, and goes on."""

from triggers.faults.search import simulate
from triggers.faults.seeds import boundary

__all__ = ["boundary", "simulate"]
