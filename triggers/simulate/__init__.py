"""What-if: a workload on a machine in virtual time, under any policy, by the code that the dispatcher decides with."""

from __future__ import annotations

from triggers.prediction.forecast import Prediction
from triggers.simulate.figures import Figures, figures
from triggers.simulate.machine import Machine, Rules, simulate
from triggers.simulate.predictors import LastTwo, Learned, Perfect, Predictor, Quantiles, by_route
from triggers.simulate.workload import Job, JobError, shaken

__all__ = [
    "Figures",
    "Job",
    "JobError",
    "LastTwo",
    "Learned",
    "Machine",
    "Perfect",
    "Prediction",
    "Predictor",
    "Quantiles",
    "Rules",
    "by_route",
    "figures",
    "shaken",
    "simulate",
]
