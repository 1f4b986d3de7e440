"""Claims held against small tables whose verdict can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.studies.claims import (
    FAILS,
    HOLDS,
    UNCONTROLLED,
    UNKNOWN,
    describe,
    excludes_zero,
    judge_decoding,
    judge_transfer,
    majority,
    shown,
    verdict,
)

NAN = np.nan


@pytest.mark.parametrize(
    ("corrected", "published", "control", "word"),
    [
        (True, True, False, HOLDS),
        (True, False, None, HOLDS),
        (True, None, None, HOLDS),
        (True, True, True, UNCONTROLLED),
        (False, True, False, UNCONTROLLED),
        (False, True, True, UNCONTROLLED),
        (False, False, False, FAILS),
        (False, None, None, FAILS),
        (None, True, True, UNKNOWN),
        (None, None, None, UNKNOWN),
    ],
)
def test_the_word_for_a_claim(corrected, published, control, word):
    assert verdict(corrected, published, control) == word


def test_most_controls_have_to_show_it():
    assert majority([]) is None
    assert majority([True, True, False]) is True
    assert majority([True, False]) is False
    assert majority([True, None, None]) is False


# --- decoding --------------------------------------------------------------------------------------------------------

FOUND = {"difference": 0.2, "ci_low": 0.1, "ci_high": 0.3, "p_corrected": 0.004}
NOTHING = {"difference": 0.01, "ci_low": -0.02, "ci_high": 0.04, "p_corrected": 0.6}
UNSURE = {"difference": 0.02, "ci_low": -0.1, "ci_high": 0.1, "p_corrected": 0.6}
WORSE = {"difference": -0.2, "ci_low": -0.3, "ci_high": -0.1, "p_corrected": 0.01}
UNTESTED = {"difference": 0.2, "ci_low": NAN, "ci_high": NAN, "p_corrected": 0.01}
NO_TEST = {"difference": NAN, "ci_low": NAN, "ci_high": NAN, "p_corrected": NAN, "test": "none: the same layer"}


def decoding(first, last, controls=(NOTHING,), published=NOTHING, chosen="b", trained=None):
    """Tables of one factor in the layers a, b, c: the trained network's comparisons, its controls', the published."""
    rows = []

    def add(network, protocol, end, values, layer):
        rows.append(
            {"factor": "material", "protocol": protocol, "probe": "knn", "network": network}
            | {"comparison": f"best against {end}", "layer_a": layer, "layer_b": "a" if end == "first" else "c"}
            | {"correction": "Holm"}
            | values
        )

    for end, values in (("first", first), ("last", last)):
        add("trained", "corrected", end, values, chosen)
        add("trained", "published", end, published, "b")
        for index, control in enumerate(controls):
            add(f"untrained, seed {index}", "corrected", end, control, "b")
    if trained is not None:
        comparison = "trained against untrained, each at its best layer"
        rows.append(
            {"factor": "material", "protocol": "corrected", "probe": "knn", "network": "trained - untrained, seed 0"}
            | {"comparison": comparison, "correction": "Holm"}
            | trained
        )
    curves = pd.DataFrame({"factor": "material", "layer": ["a", "b", "c"], "network": "trained"})
    found = judge_decoding(curves, pd.DataFrame(rows), "trained")
    assert list(found) == ["factor", "claim", "verdict", "evidence", "control"]
    return found.set_index("claim")["verdict"].to_dict()


FIRST = "the best layer is read better than the first"
LAST = "the best layer is read better than the last"
INNER = "an intermediate layer is read best"
TRAINED = "training makes it more readable"


def test_an_inverted_u_holds_where_both_ends_are_beaten_and_no_control_does_it():
    assert decoding(FOUND, FOUND) == {FIRST: HOLDS, LAST: HOLDS, INNER: HOLDS}


def test_a_control_that_shows_it_too_takes_the_claim_its_ground():
    words = decoding(FOUND, FOUND, controls=[FOUND, FOUND, NOTHING])
    assert words == {FIRST: UNCONTROLLED, LAST: UNCONTROLLED, INNER: UNCONTROLLED}
    words = decoding(FOUND, FOUND, controls=[FOUND, NOTHING, NOTHING])
    assert words == {FIRST: HOLDS, LAST: HOLDS, INNER: HOLDS}


def test_one_beaten_end_is_no_inverted_u():
    words = decoding(FOUND, NOTHING)
    assert words == {FIRST: HOLDS, LAST: FAILS, INNER: FAILS}
    assert decoding(FOUND, WORSE)[LAST] == FAILS


def test_what_only_the_published_protocol_shows_is_uncontrolled():
    words = decoding(NOTHING, NOTHING, published=FOUND)
    assert words == {FIRST: UNCONTROLLED, LAST: UNCONTROLLED, INNER: UNCONTROLLED}
    barely = FOUND | {"p_corrected": 0.03}  # the paper's own level is 0.01
    assert decoding(NOTHING, NOTHING, published=barely)[INNER] == FAILS


def test_an_end_that_is_itself_the_best_fails_the_claim():
    same = NO_TEST | {"difference": 0.0}
    words = decoding(FOUND, same | {"layer_b": "c"}, chosen="c")
    assert words == {FIRST: HOLDS, LAST: FAILS, INNER: FAILS}


def test_too_few_groups_for_an_interval_cannot_tell():
    assert decoding(UNTESTED, UNTESTED, published=FOUND) == {FIRST: UNKNOWN, LAST: UNKNOWN, INNER: UNKNOWN}
    assert decoding(FOUND, UNTESTED)[INNER] == UNKNOWN


def test_training_has_to_beat_every_untrained_network():
    assert decoding(FOUND, FOUND, trained=FOUND)[TRAINED] == HOLDS
    assert decoding(FOUND, FOUND, trained=NOTHING)[TRAINED] == FAILS
    assert decoding(FOUND, FOUND, trained=UNTESTED)[TRAINED] == UNKNOWN


def test_without_untrained_networks_there_is_no_control():
    assert decoding(FOUND, FOUND, controls=()) == {FIRST: HOLDS, LAST: HOLDS, INNER: HOLDS}


def test_a_comparison_counts_after_correction_and_in_the_right_direction():
    row = pd.Series({"protocol": "corrected", "layer_a": "b", "layer_b": "a"} | FOUND)
    assert shown(row) is True
    assert shown(row, alpha=0.0001) is None
    assert shown(pd.Series(row.to_dict() | NOTHING)) is False
    assert shown(pd.Series(row.to_dict() | UNSURE)) is None
    assert shown(pd.Series(row.to_dict() | {"ci_low": 0.01, "ci_high": 0.04, "p_corrected": 0.1})) is None
    assert shown(pd.Series(row.to_dict() | WORSE)) is False
    assert shown(pd.Series(row.to_dict() | UNTESTED)) is None
    assert shown(pd.Series(row.to_dict() | UNTESTED | {"protocol": "published"})) is True


def test_evidence_is_told_with_interval_and_p():
    row = pd.Series(FOUND | {"correction": "Holm over 4"})
    assert describe(row) == "+0.200 [+0.100, +0.300], p = 0.004 (Holm over 4)"
    assert describe(pd.Series(NO_TEST)) == "none: the same layer"


# --- transfer --------------------------------------------------------------------------------------------------------

NEARER = {"d_z": 0.6, "ci_low": 0.4, "ci_high": 0.8}
AWAY = {"d_z": -0.6, "ci_low": -0.8, "ci_high": -0.4}
NEITHER = {"d_z": 0.05, "ci_low": -0.1, "ci_high": 0.15}
FEW = {"d_z": 0.6, "ci_low": NAN, "ci_high": NAN}
TO_OTHER = "moving to Q^ brings the output nearer to Q^"
FROM_OWN = "moving to Q^ takes the output away from P^"
TO_OWN = "moving an atypical sound to P^ brings the output nearer to P^"
CLEAN = "the flow holds it in its own dimensions only"


def transfer(
    to_other=NEARER,
    from_own=AWAY,
    to_own=NEARER,
    random=NEITHER,
    untrained=None,
    leak=0.5,
    leak_low=0.45,
    leak_high=0.55,
):
    """Tables of one factor: what the flow, random directions and the untrained network's flow did."""
    rows = []

    def add(network, edit, moved_to, reference, values):
        rows.append(
            {"network": network, "factor": "material", "edit": edit, "moved_to": moved_to, "reference": reference}
            | {"flow_seed": "all", "interval": "t over clusters"}
            | values
        )

    flows = {"trained": (to_other, from_own, to_own)} | ({"untrained": untrained} if untrained else {})
    for network, flow in flows.items():
        for (moved_to, reference), values in zip([("Q^", "Q^"), ("Q^", "P^"), ("P^", "P^")], flow, strict=True):
            add(network, "flow", moved_to, reference, values)
        for reference in ("Q^", "P^"):
            add(network, "random direction", "Q^", reference, random)
    rows.insert(1, rows[0] | {"flow_seed": "0", "d_z": 9.0})  # single flows are not what is judged
    elsewhere = (leak, leak_low, leak_high)
    roles = {"own block": (0.9, 0.8, 1.0), "another factor's block": elsewhere, "residual": (0.5, 0.45, 0.55)}
    disentanglement = pd.DataFrame(
        {"network": "trained", "factor": "material", "probe": "knn", "role": role, "chance": 0.5}
        | {"accuracy": accuracy, "ci_low": low, "ci_high": high}
        for role, (accuracy, low, high) in roles.items()
    )
    return judge_transfer(pd.DataFrame(rows), disentanglement, "trained").set_index("claim")


def test_transfer_holds_where_the_output_follows_and_no_control_does():
    found = transfer()
    assert set(found["verdict"]) == {HOLDS} and list(found.index) == [TO_OTHER, FROM_OWN, TO_OWN, CLEAN]
    assert found.loc[TO_OTHER, "evidence"] == "d_z = 0.60 [0.40, 0.80]"
    assert found.loc[TO_OTHER, "control"] == "random direction: 0.05 [-0.10, 0.15]"


def test_a_random_direction_that_does_it_as_well_is_a_control_that_fails():
    found = transfer(random=NEARER)["verdict"]
    assert found[TO_OTHER] == UNCONTROLLED and found[TO_OWN] == UNCONTROLLED and found[FROM_OWN] == HOLDS


def test_an_untrained_network_that_does_it_as_well_is_a_control_that_fails():
    found = transfer(untrained=(NEARER, NEITHER, NEITHER))
    assert found["verdict"].to_dict() == {TO_OTHER: UNCONTROLLED, FROM_OWN: HOLDS, TO_OWN: HOLDS, CLEAN: HOLDS}
    assert found.loc[TO_OTHER, "control"].endswith("untrained network: 0.60 [0.40, 0.80]")


def test_the_sign_matters():
    found = transfer(to_other=AWAY, from_own=NEARER, to_own=NEITHER)["verdict"]
    assert set(found[[TO_OTHER, FROM_OWN, TO_OWN]]) == {FAILS}


def test_too_few_groups_cannot_tell_of_an_edit():
    found = transfer(to_other=FEW)
    assert found.loc[TO_OTHER, "verdict"] == UNKNOWN
    assert found.loc[TO_OTHER, "evidence"] == "d_z = 0.60 (t over clusters)"
    assert excludes_zero(pd.Series(FEW), 1) is None
    assert excludes_zero(pd.Series({"ci_low": -0.1, "ci_high": 0.3}), 1) is None


def test_a_factor_that_is_read_from_another_block_is_not_pulled_apart():
    assert transfer(leak=0.7, leak_low=0.6).loc[CLEAN, "verdict"] == FAILS
    assert transfer(leak=0.5, leak_low=0.4, leak_high=0.7).loc[CLEAN, "verdict"] == UNKNOWN
