"""Tables for the READMEs of experiments, drawn from tiny records that were written by hand."""

import copy

import pytest

from audiointerp.collect import tables_of
from audiointerp.report import cells, summaries, training_tables

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

REGIMES = {
    "experiment": "cnn12_transfer",
    "config_hash": "2" * 64,
    "status": "complete",
    "seconds": {"sounds": 0.5, "training": 99.5},
    "peak_rss_mb": {"total": 700.4},
    "config": {"study": {"training": {"steps": 200, "batch": 32}, "pretraining": {"steps": 100, "batch": 64}}},
    "results": {
        "sounds": {
            **{"name": "FSDD", "split_by": "speakers", "factor": "digit"},
            "splits": {name: {"train": 1500, "test": 500} for name in ("speaker ann", "speaker bob")},
        },
        "patches": {"patch_s": 0.5, "clips_long_enough_for_two": 0.25},
        "measure": "accuracy",
        "regimes": [
            {
                **{"regime": "scratch", "fraction": 0.1, "score": 0.4375, "ci_low": 0.375, "ci_high": 0.5},
                **{"seeds_low": 0.25, "seeds_high": 0.625, "n_seeds": 3, "mAP": 0.5625, "d_prime": None},
                **{"chance": 0.125, "interval": "bootstrap", "processor_s": 7.5, "clips_per_s": 640.4},
            }
        ],
        "splits": [
            {"regime": "scratch", "fraction": share, "split": "speaker ann", "score": share / 2, "low": 0, "high": 1}
            for share in (0.1, 1.0)
        ],
        "differences": [
            {
                **{"regime": "contrastive, full", "against": "scratch", "fraction": 1.0, "difference": -0.25},
                **{"ci_low": low, "ci_high": high, "interval": "none: 3 clusters"},
                **{"seeds_low": -0.5, "seeds_high": most},
            }
            for low, high, most in ((-0.5, -0.1, -0.2), (-0.5, 0.1, -0.2), (None, None, 0.5), (-0.5, -0.1, 0.0))
        ],
    },
}
DEPTHS = REGIMES | {
    "experiment": "cnn12_layers",
    "results": REGIMES["results"]
    | {
        "depths": [
            {"pretraining": name, "tuning": tuning, "depth": depth, "score": score, "ci_low": score - 0.0625}
            | {"ci_high": score + 0.0625, "chance": 0.125, "n_seeds": 3}
            for name, score in (("untrained", 0.25), ("contrastive", 0.5))
            for tuning, depths in (("fconly", (1, 2, 3)), ("full", (2, 3)))
            for depth in depths
        ],
        "activity": [
            {"pretraining": name, "depth": depth, "active_share": 0.75, "sparsity": depth / 4}
            for name in ("untrained", "contrastive")
            for depth in (1, 2)
        ],
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


def test_regimes_are_written_with_intervals_seeds_and_what_they_are_told_apart_from():
    text = training_tables.regime_tables([REGIMES])
    (scores,) = rows_of(text, "corpus | regime | labels | accuracy")
    assert scores[2:6] == ["10 %", "0.438 [0.375, 0.500]", "0.250 to 0.625 (3)", "0.562"]
    assert scores[-2:] == ["7.5", "640"]
    (split,) = rows_of(text, "corpus | regime | held out")
    assert split == ["FSDD", "scratch", "speaker ann", "0.500", "0.000", "1.000"]
    differences = [row[4] for row in rows_of(text, "corpus | regime | against")]
    assert differences == [
        "-0.250 [-0.500, -0.100], seeds -0.500 to -0.200: worse",
        "-0.250 [-0.500, +0.100], seeds -0.500 to -0.200: not told apart",
        "-0.250 (none: 3 clusters), seeds -0.500 to +0.500",
        "-0.250 [-0.500, -0.100], seeds -0.500 to +0.000: seeds disagree",
    ]
    (cost,) = rows_of(text, "corpus | held out | clips")
    assert cost[2:] == ["1500 / 500", "0.5 (25 %)", "100 x 64", "200 x 32", "100", "700"]


def test_outcomes_name_the_best_regime_and_what_is_told_apart():
    record = copy.deepcopy(REGIMES)
    for row in record["results"]["regimes"]:
        row["fraction"] = 1.0
    record["results"]["regimes"].append(record["results"]["regimes"][0] | {"regime": "weak", "score": 0.1})
    (line,) = training_tables.outcomes(record)
    assert line.startswith("- FSDD, digit, 100 % of the labels: best is scratch, 0.438 [0.375, 0.500]; ")
    assert line.endswith(
        "; not told apart (scratch): contrastive, full; seeds disagree (scratch): contrastive, full; "
        "worse than scratch: contrastive, full."
    )
    assert training_tables.outcomes(REGIMES) == [
        "- FSDD, digit, 10 % of the labels: best is scratch, 0.438 [0.375, 0.500]."
    ]


def test_one_split_has_no_table_of_splits():
    record = copy.deepcopy(REGIMES)
    del record["results"]["sounds"]["splits"]["speaker bob"]
    assert "Every split" in training_tables.regime_tables([REGIMES])
    assert "Every split" not in training_tables.regime_tables([record])


def test_depths_stand_beside_each_other():
    text = training_tables.depth_tables([DEPTHS])
    rows = rows_of(text, "training | blocks | untrained | contrastive")
    assert [row[:2] for row in rows] == [
        ["fconly", "1"],
        ["fconly", "2"],
        ["fconly", "whole network"],
        ["full", "2"],
        ["full", "whole network"],
    ]
    assert all(row[2:] == ["0.250 [0.188, 0.312]", "0.500 [0.438, 0.562]"] for row in rows)
    activity = rows_of(text, "pretraining | share of | 1 | 2")
    assert activity[1] == ["untrained", "zeros", "0.25", "0.50"] and activity[2][1] == "active maps"


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
    assert cells.corpus(FLOW) == "FSDD, standin"
    assert cells.corpus(DECODING) == "Footsteps"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (cells.number, None, "-"),
        (cells.number, 0.12345, "0.123"),
        (cells.signed, 0.5, "+0.500"),
        (cells.signed, None, "-"),
        (cells.percent, 0.126, "13 %"),
        (cells.percent, None, "-"),
        (cells.cell, 1234.5, "1.23e+03"),
        (cells.cell, None, "-"),
        (cells.cell, "words", "words"),
    ],
)
def test_cells(write, value, text):
    assert write(value) == text


def test_collect_finds_the_tables_of_an_experiment():
    assert tables_of("maas_decode") is summaries.decoding_tables
    assert tables_of("maas_flow") is summaries.flow_tables
    assert tables_of("cnn12_contrastive") is training_tables.regime_tables
    assert tables_of("cnn12_layers") is training_tables.depth_tables
    assert tables_of("another")([DECODING]).startswith("| run |")


def test_runs_are_told_apart_by_weights_and_number_of_computed_clips():
    named = {"results": {"sounds": {"name": "Synthetic MaAS"}, "weights": "trained"}}
    assert cells.corpus(named) == "Synthetic MaAS"
    assert cells.corpus(named | {"config": {"data": {"clips": None}}}) == "Synthetic MaAS"
    sized = named | {"config": {"data": {"clips": 2400}}}
    assert cells.corpus(sized) == "Synthetic MaAS, 2400 clips"
    sized["results"] = named["results"] | {"weights": "standin"}
    assert cells.corpus(sized) == "Synthetic MaAS, 2400 clips, standin"


def strf_record(protocol="corrected"):
    ends = {"ci_low": 0.4, "ci_high": 0.6, "interval": "t over seeds"}
    front = {"front": "learnt Gabor", "mean": 0.5, "seeds": 5, "learnt in the front end": 64, "learnt behind it": 99}
    none = {"ci_low": None, "ci_high": None, "interval": "none: 1 seed"}
    return {
        "config": {"protocol": protocol},
        "seconds": {"sounds": 1.0, "networks": 60.5},
        "peak_rss_mb": {"total": 800.4},
        "results": {
            "sounds": {"name": "ESC-10"},
            "task": {"measure": "accuracy", "split": "groups", "train": 90, "select": 20, "test": 40, "chance": 0.125},
            "fronts": [{**front, "measure": "accuracy", **ends}, {**front, "measure": "equal_error_rate", **none}],
            "differences": [
                {"front": "learnt Gabor", "against": "frozen Gabor", "measure": name, "difference": 0.5, "p": p, **ends}
                for name, p in (("accuracy", 0.25), ("equal_error_rate", None))
            ],
            "displacement": [{"labels": "shuffled", "parameter": "omega", "moved": 0.5, **ends}],
            "populations": [{"against": "the sounds", "energy_distance": 0.75, "null_95": 0.25, "p": 0.001}],
            "ablation": [
                {"silenced": "slow", "measure": measure, "mean": 0.5, **ends} for measure in ("score", "lost")
            ],
            "tonotopy": [
                {"labels": "shuffled", "tuning": "omega_hz", "rank_correlation_with_centre": 0.5, **ends},
            ],
            "harmonicity": [
                {
                    "filters": "after training",
                    "tuning": "sigma_t_s",
                    "rank_correlation_with_harmonicity": -0.5,
                    **{**ends, "ci_low": -0.6, "ci_high": -0.4},
                },
            ],
        },
    }


def test_tables_of_filters_hold_the_first_measure_and_every_null():
    text = summaries.strf_tables([strf_record(), strf_record("published")])
    fronts = rows_of(text, "sounds | front end | measure")
    assert fronts[0] == ["ESC-10", "learnt Gabor", "accuracy", "0.500 [0.400, 0.600]", "5", "64", "99"]
    assert fronts[1][2:4] == ["equal error rate", "0.500 (none: 1 seed)"]
    assert fronts[2][0] == "ESC-10, published"
    differences = rows_of(text, "sounds | front end | against")
    assert differences[0] == ["ESC-10", "learnt Gabor", "frozen Gabor", "+0.500 [+0.400, +0.600]", "0.250"]
    assert len(differences) == 2
    assert rows_of(text, "sounds | labels")[0] == ["ESC-10", "shuffled", "omega", "0.500 [0.400, 0.600]"]
    assert rows_of(text, "sounds | against")[0] == ["ESC-10", "the sounds", "0.750", "0.250", "0.001"]
    assert rows_of(text, "sounds | silenced")[0][2:] == ["lost", "+0.500 [+0.400, +0.600]"]
    organised = rows_of(text, "sounds | filters")
    assert organised[0][1:4] == ["shuffled", "omega_hz", "centre frequency"]
    assert organised[1][3:] == ["answering to harmonic sounds", "-0.500 [-0.600, -0.400]"]
    assert rows_of(text, "sounds | split by")[0] == ["ESC-10", "groups", "90", "20", "40", "0.125", "62", "800"]
    assert tables_of("strf_scenes") is tables_of("strf_calls") is summaries.strf_tables


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
    assert "Strided convolution" not in text
    means = {"supervised": 0.5, "supervised, strided": 0.25, "untrained, strided": 0.125, "contrastive, full": 0.75}
    heard["results"] |= {
        "coherence_summary": [{**own, "network": name, "measure": "coherence_corrected", **mean, "score": score}
                              for name, score in means.items()],
        "way_summary": [{**own, "unpool": unpool, "led_back": "map", "shared_power": power, "kept": 1.0}
                        for unpool, power in (("switch", 0.875), ("nearest", 0.0625))],
    }  # fmt: skip
    rows = rows_of(summaries.TABLES["sonification"]([heard]), "corpus | network | layer | accuracy")
    assert [row[1] for row in rows] == ["supervised", "supervised, strided", "untrained, strided"]
    assert rows[0][3:] == ["0.500 [0.400, 0.600]"] * 2 + ["-", "0.062", "-", "-", "-", "-"]
    assert rows[1][3:] == ["-", "0.250 [0.400, 0.600]", *"------"]
    method = {"method": "saliency"}
    for name in ("Fid-In", "FF", "AI", "AD", "AG", "SPS", "COMP"):
        method |= {name: 0.25, f"{name}_low": None, f"{name}_high": None}
    explained = {"results": {"sounds": {"name": "ESC-10", "clips": 9}, "network": "YAMNet", "weights": "trained",
                             "methods": [method]}}  # fmt: skip
    text = summaries.TABLES["explanations"]([explained])
    assert "| ESC-10 | YAMNet, trained | saliency | 0.250 |" in text and text.endswith("| 9 |")
