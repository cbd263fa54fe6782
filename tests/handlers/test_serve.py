import numpy as np
import pytest

from handlers import model, sample
from handlers.features import held_out
from handlers.registry import RegistryError
from handlers.schema import moment
from handlers.serve import predict


def test_serving_answers_what_the_evaluation_scored(lab):
    """Training-serving parity: the same samples as of the same time give the same probabilities, to the bit."""
    deployed = lab.deploy_first()
    card = lab.registry.card(deployed.model)
    rows = lab.store.read(card.as_of, card.partitions)
    rows = rows.take(held_out(rows))
    scored = model.probabilities(model.loads(lab.registry.read(deployed.model)), rows.values)

    lab.arrive_all(sample.regular() | sample.drifted())  # what comes later must not change the answer
    served = predict(lab.store, lab.registry, rows.ids.tolist(), as_of=card.as_of)

    np.testing.assert_array_equal([item.malignant for item in served], scored)
    assert model.score(model.loads(lab.registry.read(deployed.model)), rows.values, rows.labels).auc == deployed.auc


def test_predictions_come_in_the_order_they_were_asked_for(lab):
    lab.deploy_first()
    asked = ["S0009", "S0001", "S0009"]
    assert [item.sample for item in predict(lab.store, lab.registry, asked)] == asked


def test_an_unknown_sample_is_named_and_so_is_one_that_was_not_yet_read(lab):
    lab.deploy_first()
    first = moment(lab.store.read().times.min())
    with pytest.raises(LookupError, match="no reading of S9999"):
        predict(lab.store, lab.registry, ["S0001", "S9999"])
    with pytest.raises(LookupError, match="no reading of S0001 at that time"):
        predict(lab.store, lab.registry, ["S0001"], as_of=first)


def test_without_a_champion_serving_says_so(lab, text):
    lab.arrive("first.csv", text)
    with pytest.raises(RegistryError, match="no champion yet"):
        predict(lab.store, lab.registry, ["S0001"])
