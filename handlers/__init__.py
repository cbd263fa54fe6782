"""The reference pipeline: files of lab readings in, a model that serves out, and nobody watching.

    ObjectCreated -> process -> FeaturesStored -> train -> Trained -> evaluate -> Approved -> deploy -> Deployed
                        |             |             ^                    |                     |
                     (Reject)      monitor          |                 Declined              Declined
                        |             |             |
                    RunFailed    DriftDetected -> retrain

`notify` leaves a notice of RunFailed, DriftDetected, Deployed and Declined; `report` a summary every morning.

Every step may run twice: features and models are named by their content, files appear whole, and what a step did
is found by its run's key. Every step reads the features as of the time in its event, never "now".
"""

from handlers import deploy, evaluate, monitor, notify, process, report, train
from handlers.app import app

__all__ = ["app", "deploy", "evaluate", "monitor", "notify", "process", "report", "train"]
