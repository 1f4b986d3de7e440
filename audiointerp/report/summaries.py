"""Tables for experiments/*/README.md, written from the records of collected runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def decoding_tables(records: Sequence[Record]) -> str:
    """Writes the tables of `maas_decode`: curves in brief, claims, cost."""
    records = [record for record in records if "decoding" in record["results"]]
    curves = [
        [
            corpus(record),
            row["factor"],
            row["protocol"],
            row["network"],
            row["first"],
            f"{row['best_layer']}: {row['best']}",
            row["last"],
            row["levels"],
            number(row["chance"]),
            row["n_groups"],
        ]
        for record in records
        for row in record["results"]["decoding"]
    ]
    chosen = [
        [corpus(record), factor, row["layer"], interval(row), number(row["chance"]), row["chosen_on"], row["n_groups"]]
        for record in records
        for factor, row in record["results"]["chosen"].items()
    ]
    leak = [
        [corpus(record), row["factor"], row["network"], signed(row["mean"]), signed(row["largest"]), row["layer"]]
        for record in records
        for row in record["results"]["leakage"]
    ]
    claims = [
        [corpus(record), row["factor"], row["claim"], row["verdict"], row["evidence"], row["control"]]
        for record in records
        for row in record["results"]["claims"]
    ]
    return "\n\n".join(
        [
            "**k-NN accuracy by layer** (class-balanced; brackets: 95 % interval by groups; the corrected best layer "
            "is the maximum of the curve and therefore optimistic, the next table is not).",
            markdown("corpus factor protocol network first best last duration+level chance groups".split(), curves),
            "**Layer chosen on `select`, read once on `test`.**",
            markdown("corpus factor layer accuracy chance chosen_on groups".split(), chosen),
            "**Leakage gap**: published minus corrected accuracy, over layers.",
            markdown("corpus factor network mean largest at".split(), leak),
            "**Claims of the paper.**",
            markdown("corpus factor claim verdict evidence control".split(), claims),
            "**Cost.**",
            markdown(*cost(records)),
        ]
    )


def flow_tables(records: Sequence[Record]) -> str:
    """Writes the tables of `maas_flow`: what each block tells, what each edit does, claims, cost."""
    blocks = [
        [corpus(record), row["network"], row["layer"], row["factor"], row["role"], row["probe"], row["accuracy"],
         row["seeds"], number(row["chance"])]
        for record in records
        for row in record["results"].get("disentanglement", [])
    ]  # fmt: skip
    effects = [
        [corpus(record), row["network"], row["factor"], row["edit"], row["role"], row["d_z"], row["seeds"],
         percent(row["nearer_share"]), percent(row["read_as_target"]), percent(row["other_kept"]),
         cell(row["edit_norm"]), cell(row["largest_edit_norm"]), row["n_groups"]]
        for record in records
        for row in record["results"].get("transfer", [])
    ]  # fmt: skip
    claims = [
        [corpus(record), row["factor"], row["claim"], row["verdict"], row["evidence"], row["control"]]
        for record in records
        for row in record["results"].get("transfer_claims", [])
    ]
    parts = [
        "**What each block tells** on test groups (brackets: 95 % interval of the first seed; range over flow seeds).",
        markdown("corpus network layer factor from probe accuracy seeds chance".split(), blocks),
        "**What each edit does** to the distance to Q^, the sound of another class that it moves towards "
        "(positive d_z: nearer).",
        markdown(
            (
                "corpus network factor edit role d_z seeds nearer read_as_target other_kept norm largest_norm groups"
            ).split(),
            effects,
        ),
    ]
    if claims:
        parts += ["**Claims.**", markdown("corpus factor claim verdict evidence control".split(), claims)]
    for title, key in (("Flow against class-mean shift", "rivals"), ("Published, mistake by mistake", "published")):
        rows = [{"corpus": corpus(record), **row} for record in records for row in record["results"].get(key, [])]
        if rows:
            columns = list(rows[0])
            parts += [
                f"**{title}.**",
                markdown(columns, [[cell(row.get(column)) for column in columns] for row in rows]),
            ]
    parts += ["**Cost.**", markdown(*cost(records))]
    return "\n\n".join(parts)


def tone_tables(records: Sequence[Record]) -> str:
    """Writes one row per run of a study on tones: what was trained, how it went, what it cost."""
    rows = []
    for record in records:
        headline, config = record["results"]["headline"], record.get("config", {})
        scores = headline["metrics"][headline["model"]]
        active = record["results"].get("active_latents")
        rows.append(
            [headline["model"], cell(headline["strength"]), headline["seed"], config.get("protocol", "")]
            + [cell(scores[name]["adjusted"]) for name in ("mig_by_factor", "dci_disentanglement")]
            + [cell(headline["validation"].get("reconstruction")), "-" if active is None else active]
            + [cell(headline["training_seconds"]), cell(sum(record["seconds"].values()))]
            + [f"{record['peak_rss_mb']['total']:.0f}"]
        )
    columns = ["model", "weight", "seed", "protocol", "MIG, adjusted", "DCI, adjusted", "validation reconstruction"]
    return markdown([*columns, "active latents", "training [processor s]", "run [s]", "peak RSS [MB]"], rows)


def regime_tables(records: Sequence[Record]) -> str:
    """Writes the tables of training regimes: scores, every split, differences on the same clips, cost."""
    scores = [
        [corpus(record), row["regime"], percent(row["fraction"]), interval(row, "score"),
         f"{row['seeds_low']:.3f} to {row['seeds_high']:.3f} ({row['n_seeds']})", number(row["mAP"]),
         cell(row["d_prime"]), number(row["chance"]), cell(row["processor_s"]), f"{row['clips_per_s']:.0f}"]
        for record in records
        for row in record["results"]["regimes"]
    ]  # fmt: skip
    splits = [
        [corpus(record), row["regime"], row["split"], number(row["score"]), number(row["low"]), number(row["high"])]
        for record in records
        for row in record["results"]["splits"]
        if row["fraction"] == 1 and len(record["results"]["sounds"]["splits"]) > 1
    ]
    differences = [
        [corpus(record), row["regime"], row["against"], percent(row["fraction"]), signed_interval(row, "difference")]
        for record in records
        for row in record["results"]["differences"]
    ]
    columns = ["corpus", "regime", "labels", records[0]["results"]["measure"], "seeds", "mAP", "d'", "chance"]
    columns += ["its last training [processor s]", "clips / s"]
    parts = [
        "\n".join(line for record in records for line in outcomes(record)),
        "**Held-out clips, whole** (brackets: 95 % interval over groups of clips; seeds: the least and the largest "
        "mean of one seed).",
        markdown(columns, scores),
    ]
    if splits:
        parts += [
            "**Every split**: mean over seeds, lowest, highest.",
            markdown("corpus regime held_out mean lowest highest".split(), splits),
        ]
    parts += [
        "**Differences on the same clips** (brackets: 95 % interval).",
        markdown("corpus regime against labels difference".split(), differences),
        "**Cost.**",
        markdown(*training_cost(records)),
    ]
    return "\n\n".join(parts)


def outcomes(record: Record) -> list[str]:
    """Says in a sentence per share of labels which regime is best, and which are told apart from what they stand by."""
    results, lines = record["results"], []
    for fraction in sorted({row["fraction"] for row in results["regimes"]}, reverse=True):
        rows = [row for row in results["regimes"] if row["fraction"] == fraction]
        best = max(rows, key=lambda row: row["score"])
        found: dict[str, list[str]] = {}
        for row in results["differences"]:
            if row["fraction"] == fraction and row.get("ci_low") is not None:
                apart = told_apart(row)
                words = (
                    f"{apart} than {row['against']}" if apart in ("better", "worse") else f"{apart} ({row['against']})"
                )
                found.setdefault(words, []).append(row["regime"])
        said = "".join(f"; {words}: {' / '.join(names)}" for words, names in sorted(found.items()))
        lines.append(
            f"- {corpus(record)}, {results['sounds']['factor']}, {percent(fraction)} of the labels: "
            f"best is {best['regime']}, {interval(best, 'score')}{said}."
        )
    return lines


def depth_tables(records: Sequence[Record]) -> str:
    """Writes the tables of layer importance: scores by depth, activity of feature maps by block, cost."""
    parts = []
    for record in records:
        depths, activity = record["results"]["depths"], record["results"]["activity"]
        names = list(dict.fromkeys(row["pretraining"] for row in depths))
        found = {(row["tuning"], row["depth"], row["pretraining"]): interval(row, "score") for row in depths}
        last = max(depth for _, depth, _ in found)
        rows = [
            [tuning, "whole network" if depth == last else depth, *[found[tuning, depth, name] for name in names]]
            for tuning, depth in dict.fromkeys((tuning, depth) for tuning, depth, _ in sorted(found))
        ]
        active = {(row["pretraining"], row["depth"]): row for row in activity}
        blocks = sorted({depth for _, depth in active})
        by_block = [
            [name, words, *[f"{active[name, block][key]:.2f}" for block in blocks]]
            for name in names
            for key, words in (("active_share", "active maps"), ("sparsity", "zeros"))
        ]
        parts += [
            f"**{corpus(record)}: the first n blocks, pooled and classified** (brackets: 95 % interval over groups of "
            f"clips; chance {number(depths[0]['chance'])}, {depths[0]['n_seeds']} seeds).",
            markdown(["training", "blocks", *names], rows),
            f"**{corpus(record)}: share of maps that are active in a clip, and of values that are zero**, by block.",
            markdown(["pretraining", "share of", *blocks], by_block),
        ]
    return "\n\n".join([*parts, "**Cost.**", markdown(*training_cost(records))])


def training_cost(records: Iterable[Record]) -> tuple[list[str], list[list]]:
    """Gives what was trained, on which clips, for how many steps, in how many seconds, and the peak memory."""
    rows = []
    for record in records:
        study, results = record["config"]["study"], record["results"]
        split, patches = next(iter(results["sounds"]["splits"].values())), results["patches"]
        rows.append(
            [corpus(record), results["sounds"]["split_by"], f"{split['train']} / {split['test']}"]
            + [f"{patches['patch_s']:g} ({percent(patches['clips_long_enough_for_two'])})"]
            + [f"{study[part]['steps']} x {study[part]['batch']}" for part in ("pretraining", "training")]
            + [cell(sum(record["seconds"].values())), f"{record['peak_rss_mb']['total']:.0f}"]
        )
    columns = ["corpus", "held out", "clips to train / to test", "patch [s] (clips with two apart)"]
    return [
        *columns,
        "pretraining steps x batch",
        "training steps x batch",
        "run, less what was cached [s]",
        "peak RSS [MB]",
    ], rows


TABLES: dict[str, Callable[[Sequence[Record]], str]] = {
    "maas_decode": decoding_tables,
    "maas_flow": flow_tables,
    **dict.fromkeys(("cnn12_supervised", "cnn12_contrastive", "cnn12_transfer", "cnn12_ablations"), regime_tables),
    "cnn12_layers": depth_tables,
    "syntone_vae": tone_tables,
    "syntone_published": tone_tables,
    "syntone_sweep": tone_tables,
}


def cost(records: Iterable[Record]) -> tuple[list[str], list[list]]:
    """Gives seconds by step, peak memory and storage of each record."""
    records = list(records)
    steps = list(dict.fromkeys(step for record in records for step in record["seconds"]))
    rows = [
        [
            corpus(record),
            record["results"]["sounds"]["segments"],
            *[cell(record["seconds"].get(step)) for step in steps],
            f"{record['peak_rss_mb']['total']:.0f}",
            cell(record["results"].get("stored_bytes_per_audio_byte")),
        ]
        for record in records
    ]
    return ["corpus", "segments", *[f"{step} [s]" for step in steps], "peak RSS [MB]", "stored / audio bytes"], rows


def corpus(record: Record) -> str:
    """Names a run by its sounds and what sets it apart from the default."""
    name = record["results"]["sounds"]["name"]
    kind = record["results"].get("weights", "")
    clips = record.get("config", {}).get("data", {}).get("clips")
    name = f"{name}, {clips} clips" if isinstance(clips, int) else name  # computed sounds: as many as one asks for
    return f"{name}, {kind}" if kind and kind != "trained" else name


def markdown(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Writes a table.

    Example:
        >>> print(markdown(["a", "b"], [[1, "x|y"]]))
        | a | b |
        | --- | --- |
        | 1 | x/y |
    """
    lines = ["| " + " | ".join(str(column).replace("_", " ") for column in columns) + " |"]
    lines.append("|" + " --- |" * len(columns))
    lines += ["| " + " | ".join(str(value).replace("|", "/") for value in row) + " |" for row in rows]
    return "\n".join(lines)


def interval(row: Mapping[str, Any], key: str = "accuracy") -> str:
    """Writes a score with its interval, or says why there is none."""
    if row.get(key) is None:
        return str(row["interval"])
    if row.get("ci_low") is None:
        return f"{row[key]:.3f} ({row['interval']})"
    return f"{row[key]:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def signed_interval(row: Mapping[str, Any], key: str) -> str:
    """Writes a difference with its interval, the range over seeds, and whether it is told apart from none."""
    seeds = f"{row['seeds_low']:+.3f} to {row['seeds_high']:+.3f}"
    if row.get("ci_low") is None:
        return f"{signed(row[key])} ({row['interval']}), seeds {seeds}"
    return f"{signed(row[key])} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}], seeds {seeds}: {told_apart(row)}"


def told_apart(row: Mapping[str, Any]) -> str:
    """Says whether a difference is one: its interval lies on one side of zero, and so does every seed.

    Example:
        >>> told_apart({"ci_low": 0.1, "ci_high": 0.2, "seeds_low": 0.05, "seeds_high": 0.3})
        'better'
        >>> told_apart({"ci_low": 0.1, "ci_high": 0.2, "seeds_low": -0.05, "seeds_high": 0.3})
        'seeds disagree'
    """
    if row["ci_low"] <= 0 <= row["ci_high"]:
        return "not told apart"
    if row["seeds_low"] <= 0 <= row["seeds_high"]:
        return "seeds disagree"
    return "better" if row["ci_low"] > 0 else "worse"


def cell(value: Any) -> str:
    """Writes any value of a table."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Writes a number with three digits after the point."""
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Writes a difference with its sign."""
    return "-" if value is None else f"{value:+.3f}"


def percent(value: float | None) -> str:
    """Writes a share."""
    return "-" if value is None else f"{100 * value:.0f} %"
