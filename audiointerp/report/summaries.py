"""Tables for experiments/*/README.md, written from the records of collected runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audiointerp.report.cells import Record, cell, corpus, cost, interval, markdown, number, percent, signed
from audiointerp.report.modulation_tables import strf_tables
from audiointerp.report.sonification_tables import explanation_tables, sonification_tables
from audiointerp.report.timbre_tables import timbre_tables
from audiointerp.report.training_tables import depth_tables, regime_tables


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
            + [config.get("data", {}).get("seed", "-"), config.get("study", {}).get("training", {}).get("epochs", "-")]
            + [cell(scores[name]["adjusted"]) for name in ("mig_by_factor", "dci_disentanglement")]
            + [cell(headline["validation"].get("reconstruction")), "-" if active is None else active]
            + [cell(headline["training_seconds"]), cell(sum(record["seconds"].values()))]
            + [f"{record['peak_rss_mb']['total']:.0f}"]
        )
    columns = ["model", "weight", "seed", "protocol", "tones' seed", "epochs", "MIG, adjusted", "DCI, adjusted"]
    return markdown(
        [*columns, "validation reconstruction", "active latents", "training [processor s]", "run [s]", "peak RSS [MB]"],
        rows,
    )


TABLES: dict[str, Callable[[Sequence[Record]], str]] = {
    "maas_decode": decoding_tables,
    "maas_flow": flow_tables,
    **dict.fromkeys(("cnn12_supervised", "cnn12_contrastive", "cnn12_transfer", "cnn12_ablations"), regime_tables),
    "cnn12_layers": depth_tables,
    "syntone_vae": tone_tables,
    "syntone_published": tone_tables,
    "syntone_sweep": tone_tables,
    "strf_speech_activity": strf_tables,
    "strf_speakers": strf_tables,
    "strf_scenes": strf_tables,
    "strf_calls": strf_tables,
    "timbre": timbre_tables,
    "sonification": sonification_tables,
    "explanations": explanation_tables,
}
