"""Factor swaps on codes that are known: planted codes move what they hold and nothing else."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.edit.swaps import ALL, EDITS, NOTHING, ONE, OTHERS, OWN, draw_pairs, owners, swap_columns, swap_table
from audiointerp.study import stream

NAMES = np.array(["sine", "square"])
UNITS = {"pitch": ("cents", 1200.0), "level": ("dB", 1.0)}


@pytest.fixture
def planted():
    """Codes: pitch, level, timbre, and a fourth that means nothing; decoding is the identity."""
    rng = np.random.default_rng(0)
    levels = np.stack([rng.integers(2, size=400), rng.integers(12, size=400), rng.integers(5, size=400)], axis=1)
    heard = pd.DataFrame({"timbre": NAMES[levels[:, 0]], "pitch": levels[:, 1] / 12, "level": 3.0 * levels[:, 2]})
    codes = np.stack([heard["pitch"], heard["level"], levels[:, 0] - 0.5, rng.normal(size=400)], axis=1)
    importance = np.array([[0, 0, 1.0, 0], [3.5, 0, 0, 0.01], [0, 2.3, 0, 0.02]])
    return codes, heard, levels, importance


def read(codes):
    return pd.DataFrame({"timbre": NAMES[(codes[:, 2] > 0).astype(int)], "pitch": codes[:, 0], "level": codes[:, 1]})


def table_of(codes, heard, levels, importance):
    table = swap_table(codes, heard, levels, importance, lambda c: c, read, UNITS, pairs=200, rng=stream(0, "test"))
    return table.set_index(["swapped", "edit", "read"])


def test_own_codes_move_their_factor_and_keep_the_others(planted):
    table = table_of(*planted)
    for factor in ("timbre", "pitch", "level"):
        for edit in (ONE, OWN, ALL):
            row = table.loc[(factor, edit, factor)]
            assert row["error"] == pytest.approx(0, abs=1e-9) and row["moved"] == pytest.approx(1)
        others = [name for name in ("timbre", "pitch", "level") if name != factor]
        assert (table.loc[(factor, OWN, others), "error"] < 1e-9).all()
        assert (table.loc[(factor, ALL, others), "error"] > 0.1).all()
        nothing = table.loc[(factor, NOTHING)]
        assert nothing.loc[factor, "moved"] == pytest.approx(0) and (nothing.loc[others, "error"] < 1e-9).all()
    assert (table.xs(NOTHING, level="edit")["latents"] == 0).all()
    assert (table.xs(ALL, level="edit")["latents"] == 4).all()


def test_errors_carry_their_units(planted):
    table = table_of(*planted)
    stay = table.loc[("pitch", NOTHING, "pitch")]
    assert stay["unit"] == "cents" and 100 <= stay["error"] <= 1100
    assert table.loc[("level", NOTHING, "level"), "unit"] == "dB"
    timbre = table.loc[("timbre", NOTHING, "timbre")]
    assert timbre["unit"] == "share misread" and timbre["error"] == 1.0
    assert set(table["goal"]) == {"swapped", "kept"} and table.loc[("pitch", OWN, "level"), "goal"] == "kept"


def test_the_control_swaps_as_many_of_the_others(planted):
    importance = np.array([[0.9, 0.8, 0, 0, 0.1, 0], [0, 0, 0.7, 0, 0, 0.5], [0, 0, 0, 0.4, 0, 0]])
    columns = swap_columns(importance, 0, stream(0, "x"))
    assert set(columns) == set(EDITS)
    assert columns[ONE].tolist() == [0] and columns[OWN].tolist() == [0, 1, 4]
    assert len(columns[OTHERS]) == 3 and not set(columns[OTHERS]) & set(columns[OWN])
    assert columns[ALL].tolist() == list(range(6)) and len(columns[NOTHING]) == 0


def test_a_factor_without_a_code_of_its_own_takes_the_best():
    importance = np.array([[0.9, 0.5], [0.1, 0.6], [0.01, 0.02]])
    assert owners(importance).tolist() == [0, 1]
    assert swap_columns(importance, 2, stream(0, "x"))[OWN].tolist() == [1]


def test_pairs_differ_in_the_factor(planted):
    levels = planted[2]
    first, second = draw_pairs(levels, 0, 300, stream(0, "pairs"))
    assert (levels[first, 0] != levels[second, 0]).all() and len(first) == 300
    with pytest.raises(ValueError, match="expected sounds that differ in factor 0, all have level 1"):
        draw_pairs(np.ones((5, 1), int), 0, 3, stream(0, "pairs"))
