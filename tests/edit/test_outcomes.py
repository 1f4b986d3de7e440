import numpy as np
import pandas as pd
import pytest
import torch

from audiointerp.activations.base import capture
from audiointerp.activations.reduction import fit_reduction
from audiointerp.edit.directions import class_moments, mean_shift, random_like
from audiointerp.edit.outcomes import (
    distance_percentile,
    fit_readers,
    nearer,
    negative_share,
    outcome,
    outcomes,
    rivalry,
    summarise,
)
from audiointerp.edit.transfer import OTHER, OWN, choose_pairs, push, typicality
from audiointerp.statistics.effects import d_z, d_z_interval
from audiointerp.statistics.intervals import Interval
from tests.edit.tiny import Segments, Tiny

EDITS = {"class-mean shift": 0.0, "random direction": 0.0, "no-op": 0.0, "flow": 0.0}


class World:
    """Sounds of a kind and a size, 25 groups of 24, heard by a linear network, and edits of its first layer."""

    def __init__(self, seed=0, rows=600):
        rng = np.random.default_rng(seed)
        self.labels = {"kind": rng.integers(0, 3, rows), "size": rng.integers(0, 2, rows)}
        self.groups = np.arange(rows) % 25
        means = np.linalg.qr(np.random.default_rng(5).standard_normal((8, 8)))[0]
        waveforms = 0.25 * rng.standard_normal((rows, 8))
        waveforms += means[:3][self.labels["kind"]] + means[3:5][self.labels["size"]]
        self.segments = Segments(torch.from_numpy(waveforms.astype(np.float32)))
        self.network = Tiny(bent=False)
        with torch.inference_mode(), capture(self.network, {"first": self.network.first}) as values:
            self.output = self.network(self.network.front_end(self.segments.waveforms)).numpy()
        self.reduction = fit_reduction(values["first"].clone(), 8)
        self.scores = self.reduction.reduce(values["first"]).numpy()
        self.train, self.test = np.arange(300), np.arange(300, rows)
        self.readers = fit_readers(self.output, self.labels, self.train)

    def edited(self, factor="kind", seed=0):
        labels, rng = self.labels[factor], np.random.default_rng(seed)
        moments = class_moments(self.scores[self.train], labels[self.train], labels.max() + 1)
        typical = typicality(self.scores, labels, self.train, self.test)
        pairs = choose_pairs(labels, self.groups, typical, 2, rng)
        shift = mean_shift(moments, pairs["label"].to_numpy(), pairs["target"].to_numpy())
        source, other, own = (self.scores[pairs[name]] for name in ("source", "other", "own"))
        changes = {
            ("class-mean shift", OTHER): shift,
            ("random direction", OTHER): random_like(shift, rng),
            ("no-op", OTHER): np.zeros_like(shift),
            ("flow", OTHER): other - source,
            ("flow", OWN): own - source,
        }
        named = {"|".join(key): change for key, change in changes.items()}
        logits = push(self.network, self.segments, "first", self.reduction, pairs["source"].to_numpy(), named)
        edited = {tuple(name.split("|")): values for name, values in logits.items()}
        return pairs, edited, outcomes(factor, pairs, edited, self.output, self.labels, self.readers)


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def found(world):
    return world.edited()


def of(records, edit, moved_to="Q^"):
    return records[(records["edit"] == edit) & (records["moved_to"] == moved_to)]


def test_distances_are_those_of_the_outputs(world, found):
    pairs, edited, records = found
    assert len(records) == 5 * len(pairs) and list(records["edit"].unique()) == [*EDITS]
    for (edit, moved_to), logits in edited.items():
        mine = of(records, edit, {OWN: "P^", OTHER: "Q^"}[moved_to])
        assert (mine[["source", "own", "other"]].to_numpy() == pairs[["source", "own", "other"]].to_numpy()).all()
        for column, name in (("own", "P^"), ("other", "Q^")):
            before = np.linalg.norm(world.output[pairs["source"]] - world.output[pairs[column]], axis=1)
            after = np.linalg.norm(logits - world.output[pairs[column]], axis=1)
            np.testing.assert_allclose(mine[f"before {name}"], before, rtol=1e-6)
            np.testing.assert_allclose(mine[f"after {name}"], after, rtol=1e-6)
            np.testing.assert_allclose(nearer(mine, name), np.where(abs(before - after) < 1e-4, 0, before - after))


def test_nearer_is_positive(world, found):
    pairs, _, records = found
    swap, shift = (of(records, edit) for edit in ("flow", "class-mean shift"))
    # All of another sound is put in: nothing is left of the distance to it.
    np.testing.assert_allclose(nearer(swap, "Q^"), swap["before Q^"], rtol=1e-3)
    np.testing.assert_allclose(nearer(of(records, "flow", "P^"), "P^"), swap["before P^"], rtol=1e-3)
    assert nearer(shift, "Q^").mean() > 0 > nearer(shift, "P^").mean()


def test_an_edit_that_does_nothing_has_no_effect(world, found):
    nothing = of(found[2], "no-op")
    assert (nearer(nothing, "Q^") == 0).all() and (nearer(nothing, "P^") == 0).all()
    assert (nothing["on_target"].abs() < 1e-3).all() and (nothing["off_target"] < 1e-3).all()
    # Rounding to one side would have an effect size of its own.
    less = 4e-6 * np.random.default_rng(0).random(len(nothing))
    rounded = nothing.assign(**{"after Q^": (1 - less) * nothing["before Q^"]})
    assert d_z(rounded["before Q^"] - rounded["after Q^"]) > 1 and np.isnan(d_z(nearer(rounded, "Q^")))
    assert (nearer(nothing.assign(**{"after Q^": 0.9999 * nothing["before Q^"]}), "Q^") > 0).all()


@pytest.mark.parametrize("factor", ["kind", "size"])
def test_a_planted_shift_is_read_as_its_target_and_nothing_else_changes(world, factor):
    pairs, _, records = world.edited(factor)
    shift, random, nothing = (of(records, edit) for edit in ("class-mean shift", "random direction", "no-op"))
    assert shift["read_as_target"].mean() > 0.9 and nothing["read_as_target"].mean() < 0.1
    assert shift["other_kept"].mean() > 0.9 and nothing["other_kept"].mean() > 0.9
    assert shift["on_target"].mean() > 0.8 and shift["off_target"].mean() < 0.1
    assert random["on_target"].mean() < 0.3 and random["off_target"].mean() > 0.02
    # The whole of another sound brings its other factors along.
    kept = np.mean([world.labels[name][pairs["other"]] == world.labels[name][pairs["source"]]
                    for name in world.labels if name != factor])  # fmt: skip
    assert of(records, "flow")["other_kept"].mean() == pytest.approx(kept, abs=0.08)
    # Moved to its own class, a sound is wanted to be read as that.
    assert of(records, "flow", "P^")["read_as_target"].mean() > 0.9


def test_with_a_single_factor_nothing_else_can_be_kept(world):
    labels = {"kind": world.labels["kind"]}
    pairs, edited, _ = world.edited()
    records = outcomes("kind", pairs, edited, world.output, labels, world.readers)
    assert records["other_kept"].isna().all() and records["off_target"].isna().all()


def test_readers_give_rare_classes_their_due():
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(1000) % 20, 0, 1)
    output = rng.standard_normal((1000, 6)) + 2.5 * labels[:, None] * [1, 0, 0, 0, 0, 0]
    read = fit_readers(output, {"kind": labels}, np.arange(500)).probabilities("kind", output[500:].astype(np.float32))
    np.testing.assert_allclose(read.sum(1), 1)
    for label in (0, 1):
        assert np.mean(read.argmax(1)[labels[500:] == label] == label) > 0.8


def measured(records, flow_seed):
    filled = {"edit_norm": 1.0, "negative_share": 0.25, "mahalanobis_percentile": 50.0}
    return records.assign(flow_seed=flow_seed, **filled)


def test_the_table_has_effect_sizes_by_groups(world, found):
    pairs, _, records = found
    table = summarise(measured(records, 3), world.groups, seed=0)
    assert len(table) == 10 and set(table["flow_seed"]) == {"all"} and (table["n"] == len(pairs)).all()
    rows = table.set_index(["edit", "moved_to", "reference"])
    assert not rows.index.has_duplicates
    shift = of(records, "class-mean shift")
    row = rows.loc[("class-mean shift", "Q^", "Q^")]
    assert row["d_z"] == pytest.approx(d_z(shift["before Q^"] - shift["after Q^"])) and row["d_z"] > 0.5
    assert row["ci_low"] < row["d_z"] < row["ci_high"] and row["ci_low"] > 0 and row["p"] < 0.01
    interval = d_z_interval(nearer(shift, "Q^"), world.groups[shift["source"]], world.groups[shift["other"]], seed=0)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((interval.low, interval.high))
    assert row["interval"].startswith("cluster bootstrap") and row["n_groups"] >= 20
    assert row["distance_before"] - row["distance_after"] == pytest.approx(nearer(shift, "Q^").mean(), abs=1e-6)
    assert row["read_as_target"] == shift["read_as_target"].mean() and row["role"] == "baseline"
    assert (row["edit_norm"], row["negative_share"], row["mahalanobis_percentile"]) == (1, 0.25, 50)
    assert rows.loc[("class-mean shift", "Q^", "P^")]["d_z"] < -0.5
    assert rows.loc[("flow", "P^", "P^")]["d_z"] > 1 and rows.loc[("flow", "P^", "P^")]["role"] == "method"
    for reference in ("P^", "Q^"):
        nothing = rows.loc[("no-op", "Q^", reference)]
        assert np.isnan(nothing["d_z"]) and nothing["p"] == 1 and nothing["role"] == "control"
        assert rows.loc[("random direction", "Q^", reference)]["d_z"] < 0.2


def test_several_flows_have_a_row_each_and_one_together(world, found):
    pairs, _, records = found
    again = world.edited(seed=1)[2]
    table = summarise(pd.concat([measured(records, 3), measured(again, 4)]), world.groups, seed=0)
    assert list(table["flow_seed"].unique()) == ["3", "4", "all"] and len(table) == 30
    both = table[(table["edit"] == "flow") & (table["reference"] == "Q^") & (table["moved_to"] == "Q^")]
    n = both.set_index("flow_seed")["n"]
    assert n["all"] == n["3"] + n["4"]
    alone = summarise(measured(records, 3), world.groups, seed=0).drop(columns="flow_seed")
    first = table[table["flow_seed"] == "3"].drop(columns="flow_seed")
    pd.testing.assert_frame_equal(first.reset_index(drop=True), alone)


def test_edits_that_mean_nothing_are_seldom_significant():
    # Outputs without any structure, edited a little in random directions; 16 source groups.
    low = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n, output = 64, rng.standard_normal((300, 5))
        pairs = pd.DataFrame({"source": rng.permutation(160)[:n], "own": 160 + rng.integers(0, 140, n)})
        pairs = pairs.assign(other=160 + rng.integers(0, 140, n), label=0, target=1)
        edited = output[pairs["source"]] + 0.02 * rng.standard_normal((n, 5))
        records = pd.DataFrame({"factor": "kind", "edit": "random direction", "moved_to": "Q^", **pairs})
        for name, column in (("P^", "own"), ("Q^", "other")):
            records[f"before {name}"] = np.linalg.norm(output[pairs["source"]] - output[pairs[column]], axis=1)
            records[f"after {name}"] = np.linalg.norm(edited - output[pairs[column]], axis=1)
        records = measured(records.assign(read_as_target=0, other_kept=1, on_target=0, off_target=0), 0)
        groups = np.r_[np.arange(160) % 16, np.arange(140)]
        low += summarise(records, groups, seed).set_index("reference").loc["Q^", "p"] < 0.05
    assert low < 9  # 5 % of 60 are 3


def test_rivals_are_compared_on_the_same_pairs(world, found):
    records = found[2]

    def compared(method, rival):
        return {row["measure"]: row for row in rivalry(records, method, rival, world.groups, seed=0)}

    ahead, behind = compared("class-mean shift", "random direction"), compared("random direction", "class-mean shift")
    a, b = (of(records, edit) for edit in ("class-mean shift", "random direction"))
    expected = d_z(nearer(a, "Q^")) - d_z(nearer(b, "Q^"))
    assert ahead["d_z"]["difference"] == pytest.approx(expected, rel=0.02)
    share = a["read_as_target"].mean() - b["read_as_target"].mean()
    assert ahead["read as target"]["difference"] == pytest.approx(share)
    for measure in ("d_z", "read as target"):
        assert ahead[measure]["outcome"] == "method ahead" and behind[measure]["outcome"] == "rival ahead"
        assert behind[measure]["difference"] == pytest.approx(-ahead[measure]["difference"])
    for row in compared("flow", "flow").values():
        assert row["difference"] == 0 and row["outcome"] == "cannot be told"


def test_outcomes_of_comparisons():
    assert outcome(Interval(0.5, 0.1, 0.9, "", 20)) == "method ahead"
    assert outcome(Interval(-0.5, -0.9, -0.1, "", 20)) == "rival ahead"
    assert outcome(Interval(0.1, -0.2, 0.4, "", 20)) == "no difference shown"
    assert outcome(Interval(0.1, np.nan, np.nan, "none: 3 clusters", 3)) == "cannot be told"


def test_negative_shares():
    assert negative_share(np.array([[[-1.0, 0.0], [2.0, -3.0]], [[0.0, 1.0], [2.0, 3.0]]])).tolist() == [0.5, 0]


def test_percentiles_of_distances():
    means, precision = np.array([[0.0, 0.0], [10.0, 0.0]]), np.diag([1.0, 4.0])
    scores = np.array([[1, 0], [2, 0], [0, 1.5], [14, 0]])  # distances 1, 2, 3, 4 to their own class
    edited = np.array([[10.0, 0.0], [10.0, 1.25], [0.0, 9.0], [0.5, 0.0]])
    found = distance_percentile(edited, np.array([1, 1, 1, 0]), means, precision, scores, [0, 0, 0, 1])
    assert found.tolist() == [0, 50, 100, 0]
