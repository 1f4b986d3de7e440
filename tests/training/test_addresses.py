"""The address of a trained model follows what it was trained with and on, not how that was read."""

import hashlib
from functools import partial

import numpy as np
import pytest

from audiointerp.training.addresses import AT_ONCE, add_rows, trainer_settings


def address(values, rows):
    digest = hashlib.sha256()
    add_rows(digest, values, rows)
    return digest.hexdigest()


def test_a_trainer_without_settings_has_none():
    assert trainer_settings(dict) == {}


def test_the_order_of_settings_and_the_machine_do_not_count():
    here = partial(dict, precision="32", max_steps=5, accelerator="cpu", devices=1, enable_progress_bar=True)
    there = partial(dict, max_steps=5, devices=4, num_nodes=2, accelerator="gpu", precision="32")
    assert str(trainer_settings(here)) == str(trainer_settings(there)) == "{'max_steps': 5, 'precision': '32'}"


@pytest.mark.parametrize("count", [0, 1, AT_ONCE - 1, 2 * AT_ONCE + 3])
def test_rows_are_hashed_as_if_at_once(count):
    values = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    rows = np.random.default_rng(1).permutation(1000)[:count]
    expected = hashlib.sha256(f"{count}(3,)float32".encode() + values[rows].tobytes()).hexdigest()
    assert address(values, rows) == expected


def test_values_rows_and_types_are_told_apart():
    values = np.arange(12.0).reshape(4, 3)
    given = [
        (values, np.array([0, 1])),
        (values, np.array([1, 0])),
        (values, np.array([0, 1, 2])),
        (values + 1, np.array([0, 1])),
        (values.reshape(4, 3, 1), np.array([0, 1])),
        (values.view(np.int64), np.array([0, 1])),
    ]
    assert len({address(*each) for each in given}) == len(given)
