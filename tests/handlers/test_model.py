import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from handlers import model
from handlers.registry import address

FIT = """
from handlers import model, sample, schema
from handlers.registry import address
rows = schema.parse(next(iter(sample.regular().values())).encode(), "first.csv")
print(address(model.dumps(model.fit(rows.values, rows.labels))))
"""


class Stranger(LogisticRegression):
    """A type that no model file of ours may name."""


def test_a_model_that_was_stored_predicts_as_it_did_before(rows):
    fitted = model.fit(rows.values, rows.labels)
    again = model.loads(model.dumps(fitted))
    np.testing.assert_array_equal(model.probabilities(fitted, rows.values), model.probabilities(again, rows.values))


def test_the_same_rows_give_the_same_bytes_in_another_process_too(rows):
    here = address(model.dumps(model.fit(rows.values, rows.labels)))
    there = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_other_rows_give_other_bytes(rows):
    fewer = rows.take(np.arange(50))
    assert model.dumps(model.fit(rows.values, rows.labels)) != model.dumps(model.fit(fewer.values, fewer.labels))


def test_a_model_file_with_a_type_that_is_not_trusted_is_refused(rows):
    data = skops.io.dumps(Stranger().fit(np.nan_to_num(rows.values[:, :2]), rows.labels))
    with pytest.raises(model.UntrustedModel, match="Stranger"):
        model.loads(data)


def test_a_model_file_is_a_plain_archive_without_pickles(rows):
    names = zipfile.ZipFile(io.BytesIO(model.dumps(model.fit(rows.values, rows.labels)))).namelist()
    assert {name.rpartition(".")[2] for name in names} == {"npy", "json"}


def test_a_model_scores_well_on_its_own_training_rows(rows):
    fitted = model.fit(rows.values, rows.labels)
    scores = model.score(fitted, rows.values, rows.labels)
    assert scores.rows == 60
    assert scores.auc > 0.99
    assert scores.accuracy > 0.95
    assert 0 < scores.log_loss < 0.2
