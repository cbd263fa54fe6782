import pytest

from handlers import sample
from handlers.events import DriftDetected
from handlers.features import held_out
from handlers.train import due, finished, retrain, train


@pytest.mark.parametrize(
    ("rows", "trained", "reason", "wait"),
    [
        (149, 0, "", "149 samples so far, the first model needs 150"),
        (150, 0, "the first 150 samples", ""),
        (249, 150, "", "99 new samples since the newest model, the next needs 100"),
        (250, 150, "100 new samples", ""),
        (150, 150, "", "the newest model knows all these samples"),
        (120, 150, "", "the newest model knows all these samples"),
    ],
)
def test_training_is_due_after_enough_new_samples(rows, trained, reason, wait):
    assert due(rows, trained) == (reason, wait)


def test_training_waits_until_enough_rows_have_come(lab):
    events = lab.arrive_all(dict(list(sample.regular().items())[:3]))
    assert train(events[0], lab.context()) is None
    assert train(events[1], lab.context()) is None
    trained = train(events[2], lab.context())
    assert trained is not None
    assert trained.reason == "the first 180 samples"


def test_training_reads_as_of_its_event_however_much_has_come_since(lab):
    events = lab.arrive_all(sample.regular())
    assert train(events[1], lab.context()) is None
    trained = train(events[2], lab.context())
    assert trained is not None
    card = lab.registry.card(trained.model)
    assert card.rows == 180
    assert card.partitions == sorted(event.partition for event in events[:3])


def test_the_held_out_samples_are_not_trained_on(lab):
    event = lab.arrive_all(sample.regular())[-1]
    trained = train(event, lab.context())
    assert trained is not None
    assert trained.rows == 300 - held_out(lab.store.read()).sum()


def test_a_training_that_is_tried_again_finds_its_own_model(lab):
    event = lab.arrive_all(sample.regular())[-1]
    first = train(event, lab.context("the-run"))
    again = train(event, lab.context("the-run"))
    assert again == first
    assert len(lab.registry.cards()) == 1
    assert finished(lab.registry, "another-run") is None


def test_a_duplicate_of_the_event_trains_nothing(lab):
    event = lab.arrive_all(sample.regular())[-1]
    assert train(event, lab.context()) is not None
    assert train(event, lab.context()) is None


def test_drift_trains_with_fewer_new_rows_and_only_once_for_the_same_rows(lab):
    lab.deploy_first()
    stored = lab.arrive_all(dict(list(sample.drifted().items())[:1]))[0]
    drift = DriftDetected(partition=stored.partition, as_of=stored.as_of, psi={"mean_radius": 1.7, "mean_area": 1.6})
    assert train(stored, lab.context()) is None
    trained = retrain(drift, lab.context())
    assert trained is not None
    assert trained.reason == "drift in mean_radius, mean_area"
    assert retrain(drift, lab.context()) is None


def test_rows_of_one_diagnosis_train_nothing(lab):
    benign = [line for text in sample.regular().values() for line in text.splitlines() if line.endswith("benign")]
    header = next(iter(sample.regular().values())).splitlines()[0]
    event = lab.arrive("benign.csv", "\n".join((header, *benign)))
    assert event.rows > 150
    assert train(event, lab.context()) is None
