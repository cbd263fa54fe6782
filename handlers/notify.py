"""Beside the chain: tell people. Each fact is a file in `reports/notices`; put your chat or mail here."""

from handlers.app import app
from handlers.events import Declined, Deployed, DriftDetected
from handlers.registry import short
from triggers import Context, RunFailed, anything_but


# Not its own failures: a full disk would make it fail about failing.
@app.on(RunFailed, where={"route": anything_but("notify_failure")}, writes={"reports"}, name="notify_failure")
def notify_failure(event: RunFailed, ctx: Context) -> None:
    """A run lies in the dead letters: a file was rejected, or a step failed for good."""
    _note(ctx, f"FAILED {event.route}: {event.error}: {event.message}")


@app.on(DriftDetected, writes={"reports"})
def notify_drift(event: DriftDetected, ctx: Context) -> None:
    """The data has moved."""
    _note(ctx, "DRIFT " + ", ".join(f"{name} PSI {value:.2f}" for name, value in event.psi.items()))


@app.on(Deployed, writes={"reports"})
def notify_deployed(event: Deployed, ctx: Context) -> None:
    """Another model serves."""
    _note(ctx, f"DEPLOYED {short(event.model)} (AUC {event.auc:.4f}) after {short(event.previous)}")


@app.on(Declined, writes={"reports"})
def notify_declined(event: Declined, ctx: Context) -> None:
    """A challenger was not good enough."""
    _note(ctx, f"DECLINED {short(event.model)}: {event.reason}")


def _note(ctx: Context, text: str) -> None:
    time = ctx.envelope.time
    with ctx.place("reports").output(f"notices/{time:%Y-%m-%dT%H%M%S}-{ctx.effect_key}.txt") as file:
        file.write(f"{time:%Y-%m-%d %H:%M:%S} {' '.join(text.split())}\n".encode())
