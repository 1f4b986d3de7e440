"""Tables for the READMEs of experiments, drawn from tiny records that were written by hand."""

import copy

import pytest

from audiointerp.collect import tables_of
from audiointerp.report import summaries

DECODING = {
    "experiment": "maas_decode",
    "config_hash": "0" * 64,
    "status": "complete",
    "seconds": {"sounds": 0.5, "activations": 12.25},
    "peak_rss_mb": {"total": 1234.6},
    "results": {
        "sounds": {"name": "Footsteps", "segments": 178},
        "weights": "trained",
        "stored_bytes_per_audio_byte": 0.5,
        "decoding": [
            {
                **{"factor": "material", "protocol": "corrected", "network": "trained", "best_layer": "layer9"},
                **{"first": "0.500", "best": "0.830 [0.800, 0.860]", "last": "0.700", "levels": "0.250"},
                **{"chance": 0.25, "n_groups": 36},
            }
        ],
        "chosen": {
            "material": {
                **{"layer": "layer8", "accuracy": 0.8125, "ci_low": 0.75, "ci_high": 0.875, "interval": "bootstrap"},
                **{"chance": 0.25, "chosen_on": "select", "n_groups": 11},
            }
        },
        "leakage": [
            {"factor": "material", "network": "trained", "mean": 0.0625, "largest": -0.125, "layer": "layer2"},
        ],
        "claims": [
            {
                **{"factor": "material", "claim": "an intermediate layer is read best", "verdict": "holds"},
                **{"evidence": "a|b", "control": "0 of 3"},
            }
        ],
    },
}
FLOW = {
    "experiment": "maas_flow",
    "config_hash": "1" * 64,
    "status": "complete",
    "seconds": {"flows": 33.0},
    "peak_rss_mb": {"total": 900.0},
    "results": {
        "sounds": {"name": "FSDD", "segments": 3000},
        "weights": "standin",
        "disentanglement": [
            {
                **{"network": "standin", "layer": "layer7", "factor": "digit", "role": "own block", "probe": "knn"},
                **{"accuracy": "0.900 [0.880, 0.920]", "seeds": "0.890 to 0.910", "chance": 0.1},
            }
        ],
        "transfer": [
            {
                **{
                    "network": "standin",
                    "factor": "digit",
                    "edit": "flow",
                    "role": "method",
                    "d_z": "0.62 [0.50, 0.74]",
                },
                **{"seeds": "0.58 to 0.66", "read_as_target": 0.456, "other_kept": None, "edit_norm": 2.5},
                **{"nearer_share": 0.7, "largest_edit_norm": 9.0, "n_groups": 120},
            }
        ],
        "transfer_claims": [
            {
                **{"factor": "digit", "claim": "moving brings it nearer", "verdict": "does not hold"},
                **{"evidence": "d_z = 0.1", "control": "-"},
            }
        ],
        "rivals": [{"factor": "digit", "measure": "d_z", "difference": -0.25, "ci_low": None}],
    },
}


def rows_of(text, header):
    """The rows of the table whose header starts with these cells, as lists of cells."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    width = lines[start].count(" | ") + 1
    assert all(len(row) == width for row in rows) and lines[start + 1].count("---") == width
    return [[cell.strip() for cell in row] for row in rows]


def test_decoding_tables_hold_each_number_once():
    text = summaries.decoding_tables([DECODING])
    assert rows_of(text, "corpus | factor | protocol") == [
        *[["Footsteps", "material", "corrected", "trained", "0.500", "layer9: 0.830 [0.800, 0.860]", "0.700", "0.250"]
          + ["0.250", "36"]],
    ]  # fmt: skip
    assert rows_of(text, "corpus | factor | layer") == [
        ["Footsteps", "material", "layer8", "0.812 [0.750, 0.875]", "0.250", "select", "11"]
    ]
    assert rows_of(text, "corpus | factor | network") == [
        ["Footsteps", "material", "trained", "+0.062", "-0.125", "layer2"]
    ]
    assert rows_of(text, "corpus | factor | claim")[0][3:5] == ["holds", "a/b"]
    assert rows_of(text, "corpus | segments") == [["Footsteps", "178", "0.5", "12.2", "1235", "0.5"]]


def test_flow_tables_hold_edits_claims_and_rivals():
    text = summaries.flow_tables([FLOW])
    assert rows_of(text, "corpus | network | layer")[0][3:] == [
        *("digit", "own block", "knn", "0.900 [0.880, 0.920]", "0.890 to 0.910", "0.100"),
    ]
    assert rows_of(text, "corpus | network | factor") == [
        [
            "FSDD, standin",
            "standin",
            "digit",
            "flow",
            "method",
            "0.62 [0.50, 0.74]",
            "0.58 to 0.66",
            "70 %",
            "46 %",
            "-",
        ]
        + ["2.5", "9", "120"]
    ]
    assert rows_of(text, "corpus | factor | claim")[0][3] == "does not hold"
    assert rows_of(text, "corpus | factor | measure") == [["FSDD, standin", "digit", "d_z", "-0.25", "-"]]
    assert "Published, mistake by mistake" not in text


def test_runs_of_several_corpora_share_their_tables():
    other = copy.deepcopy(DECODING)
    other["results"]["sounds"]["name"] = "FSDD"
    other["seconds"] = {"sounds": 1.0, "tests": 2.0}
    text = summaries.decoding_tables([DECODING, other])
    cost = rows_of(text, "corpus | segments | sounds [s] | activations [s] | tests [s]")
    assert [row[0] for row in cost] == ["Footsteps", "FSDD"]
    assert cost[0][4] == "-" and cost[1][3] == "-"


def test_what_could_not_be_measured_says_so():
    record = copy.deepcopy(DECODING)
    chosen = record["results"]["chosen"]["material"]
    chosen.update(accuracy=None, ci_low=None, interval="none: no test groups of every class")
    text = summaries.decoding_tables([record])
    assert rows_of(text, "corpus | factor | layer")[0][3] == "none: no test groups of every class"
    chosen.update(accuracy=0.5, interval="none: 4 clusters")
    text = summaries.decoding_tables([record])
    assert rows_of(text, "corpus | factor | layer")[0][3] == "0.500 (none: 4 clusters)"


def test_a_network_that_is_not_the_real_one_is_named_with_its_corpus():
    assert summaries.corpus(FLOW) == "FSDD, standin"
    assert summaries.corpus(DECODING) == "Footsteps"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (summaries.number, None, "-"),
        (summaries.number, 0.12345, "0.123"),
        (summaries.signed, 0.5, "+0.500"),
        (summaries.signed, None, "-"),
        (summaries.percent, 0.126, "13 %"),
        (summaries.percent, None, "-"),
        (summaries.cell, 1234.5, "1.23e+03"),
        (summaries.cell, None, "-"),
        (summaries.cell, "words", "words"),
    ],
)
def test_cells(write, value, text):
    assert write(value) == text


def test_collect_finds_the_tables_of_an_experiment():
    assert tables_of("maas_decode") is summaries.decoding_tables
    assert tables_of("maas_flow") is summaries.flow_tables
    assert tables_of("another")([DECODING]).startswith("| run |")


def test_runs_are_told_apart_by_weights_and_number_of_computed_clips():
    named = {"results": {"sounds": {"name": "Synthetic MaAS"}, "weights": "trained"}}
    assert summaries.corpus(named) == "Synthetic MaAS"
    assert summaries.corpus(named | {"config": {"data": {"clips": None}}}) == "Synthetic MaAS"
    sized = named | {"config": {"data": {"clips": 2400}}}
    assert summaries.corpus(sized) == "Synthetic MaAS, 2400 clips"
    sized["results"] = named["results"] | {"weights": "standin"}
    assert summaries.corpus(sized) == "Synthetic MaAS, 2400 clips, standin"


def test_sonification_and_explanations_have_their_tables():
    mean = {"score": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    own = {"network": "supervised", "layer": "block1", "depth": 1}
    heard = {
        "experiment": "sonification", "seconds": {"training": 1.0}, "peak_rss_mb": {"total": 5.0},
        "results": {
            "sounds": {"name": "ESC-10"}, "clips": 4, "seeds": 3, "noise_floor": 0.015,
            "claims": [{"claim": "c", "network": "supervised", "verdict": "holds", "published": "1", "corrected": "2",
                        "control": "3"}],
            "coherence_summary": [{**own, "measure": "coherence", **mean}, {**own, "measure": "shared_power", **mean}],
            "removal_summary": [{**own, "variant": "nothing", **mean, "target_fall": 0.0, "target_low": None,
                                 "target_high": None, "others_fall": 0.25}],
            "variety_summary": [{**own, "active_share": 0.75, "dead_maps": 0.125, "entropy": None}],
        },
    }  # fmt: skip
    text = summaries.TABLES["sonification"]([heard])
    assert "| ESC-10 | supervised | block1 | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] |" in text
    assert "| ESC-10 | supervised | block1 | nothing | 0.000 | 0.250 |" in text
    assert "| ESC-10 | supervised | c | holds | 1 | 2 | 3 |" in text and "0.750 | 0.125 | - |" in text
    assert "Speech at known times" not in text and "| ESC-10 | 4 | 3 | 0.015 | 1 | 5 |" in text
    method = {"method": "saliency"}
    for name in ("Fid-In", "FF", "AI", "AD", "AG", "SPS", "COMP"):
        method |= {name: 0.25, f"{name}_low": None, f"{name}_high": None}
    explained = {"results": {"sounds": {"name": "ESC-10", "clips": 9}, "network": "YAMNet", "weights": "trained",
                             "methods": [method]}}  # fmt: skip
    text = summaries.TABLES["explanations"]([explained])
    assert "| ESC-10 | YAMNet, trained | saliency | 0.250 |" in text and text.endswith("| 9 |")
