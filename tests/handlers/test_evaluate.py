import json

import pytest

from handlers import sample
from handlers.evaluate import evaluate, gate, judge
from handlers.events import Approved, Declined
from handlers.model import Scores
from handlers.train import train


def scores(auc: float) -> Scores:
    return Scores(auc=auc, accuracy=0.9, log_loss=0.2, rows=50)


@pytest.mark.parametrize(
    ("challenger", "champion", "approved", "reason"),
    [
        (0.95, None, True, "AUC 0.9500, the first champion"),
        (0.89, None, False, "AUC 0.8900 is below the least of 0.9"),
        (0.89, 0.80, False, "AUC 0.8900 is below the least of 0.9"),
        (0.96, 0.95, True, "AUC 0.9600 against 0.9500: +0.0100"),
        (0.952, 0.95, False, "AUC 0.9520 against 0.9500: +0.0020 is less than the margin of 0.005"),
        (0.95, 0.95, False, "AUC 0.9500 against 0.9500: +0.0000 is less than the margin of 0.005"),
        (0.92, 0.95, False, "AUC 0.9200 against 0.9500: -0.0300 is less than the margin of 0.005"),
    ],
)
def test_the_gate_wants_a_good_model_that_beats_the_champion_by_the_margin(challenger, champion, approved, reason):
    verdict = gate(scores(challenger), None if champion is None else scores(champion))
    assert (verdict.approved, verdict.reason) == (approved, reason)


def test_the_first_good_model_is_approved_and_its_report_written(lab):
    event = lab.arrive_all(sample.regular())[-1]
    trained = train(event, lab.context())
    result = evaluate(trained, lab.context())
    assert isinstance(result, Approved)
    assert result.auc > 0.95
    assert result.against is None
    (path,) = (lab.home / "reports" / "evaluations").iterdir()
    report = json.loads(path.read_bytes())
    assert report["approved"] is True
    assert report["challenger"]["auc"] == result.auc
    assert report["champion"] is None


def test_champion_and_challenger_are_scored_on_the_same_rows(lab):
    deployed = lab.deploy_first()
    event = lab.arrive_all(sample.regular())[-1]
    trained = train(event, lab.context())
    verdict = judge(lab.store, lab.registry, trained.model, deployed.model)
    assert verdict.challenger.rows == verdict.champion.rows


def test_a_challenger_like_the_champion_is_declined(lab):
    lab.deploy_first()
    trained = train(lab.arrive_all(sample.regular())[-1], lab.context())
    result = evaluate(trained, lab.context())
    assert isinstance(result, Declined)
    assert "less than the margin" in result.reason


def test_evaluating_twice_says_the_same_and_leaves_one_report(lab):
    trained = train(lab.arrive_all(sample.regular())[-1], lab.context())
    assert evaluate(trained, lab.context("run")) == evaluate(trained, lab.context("run"))
    assert len(list((lab.home / "reports" / "evaluations").iterdir())) == 1


def test_rows_that_came_after_the_training_do_not_change_the_scores(lab):
    stored = lab.arrive_all(dict(list(sample.regular().items())[:3]))[-1]
    trained = train(stored, lab.context())
    before = judge(lab.store, lab.registry, trained.model, None)
    lab.arrive_all(sample.regular() | sample.drifted())
    assert judge(lab.store, lab.registry, trained.model, None) == before
