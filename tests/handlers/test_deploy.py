from handlers import sample
from handlers.deploy import deploy
from handlers.evaluate import evaluate
from handlers.events import Approved, Declined, Deployed, DriftDetected
from handlers.train import retrain, train
from tests.handlers.conftest import NOW


def approved_after_drift(lab) -> Approved:
    stored = lab.arrive_all(dict(list(sample.drifted().items())[:1]))[0]
    drift = DriftDetected(partition=stored.partition, as_of=stored.as_of, psi={"mean_radius": 1.7})
    result = evaluate(retrain(drift, lab.context()), lab.context())
    assert isinstance(result, Approved)
    return result


def test_an_approved_model_becomes_champion(lab):
    first = lab.deploy_first()
    assert lab.registry.champion() == first.model
    second = deploy(approved_after_drift(lab), lab.context())
    assert isinstance(second, Deployed)
    assert (second.model, second.previous) == (lab.registry.champion(), first.model)


def test_deploying_twice_leaves_one_entry_and_says_the_same(lab):
    lab.deploy_first()
    approved = approved_after_drift(lab)
    assert deploy(approved, lab.context("run")) == deploy(approved, lab.context("run"))
    assert len(lab.registry.history()) == 2


def test_a_retry_after_a_rollback_by_hand_does_not_undo_it(lab):
    first = lab.deploy_first()
    approved = approved_after_drift(lab)
    deploy(approved, lab.context("run"))
    lab.registry.rollback(at=NOW)
    deploy(approved, lab.context("run"))
    assert lab.registry.champion() == first.model


def test_a_challenger_must_beat_a_champion_that_came_meanwhile(lab):
    lab.deploy_first()
    approved = approved_after_drift(lab)
    stale = approved.model_copy(update={"against": None})
    deployed = deploy(stale, lab.context())  # judged again, against the champion of today, and still better
    assert isinstance(deployed, Deployed)
    again = deploy(stale, lab.context())  # now it is the champion itself, which it does not beat
    assert isinstance(again, Declined)
    assert len(lab.registry.history()) == 2


def test_a_model_that_was_rolled_back_does_not_come_back_by_itself(lab):
    first = lab.deploy_first()
    approved = approved_after_drift(lab)
    deploy(approved, lab.context())
    lab.registry.rollback(at=NOW)
    trained = train(lab.arrive_all(sample.regular())[-1], lab.context())
    assert trained is None or trained.model != approved.model
    result = deploy(approved.model_copy(update={"against": None}), lab.context())
    assert isinstance(result, Declined)
    assert "was rolled back" in result.reason
    assert lab.registry.champion() == first.model
