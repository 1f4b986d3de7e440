"""Tables of the study of timbre, written from the records of collected runs."""

from __future__ import annotations

from collections.abc import Sequence

from audiointerp.report.cells import Record, cell, corpus, cost, interval, markdown, number, signed

FAMILY = "instrument_family"
DEFAULT = "harmonic_autoencoder"


def named(record: Record) -> str:
    """Names a run by its sounds and, where it is not the default, its autoencoder."""
    model = record["results"]["code"]["model"]
    return corpus(record) if model == DEFAULT else f"{corpus(record)}, model={model}"


def of_a_layer(record: Record, representation: str) -> bool:
    """Tells whether a representation is a layer of the network that judges transfers; none does without transfers."""
    judge = record["results"].get("judge")
    return judge is not None and representation.startswith(f"{judge['network']} ")


def timbre_tables(records: Sequence[Record]) -> str:
    """Writes the tables of `timbre`: probes beside the paper, seeds, reconstruction, transfers, cost.

    Of a judging network's layers only what they tell of the family is listed; the rest is in each run's `reading.csv`.
    """
    read = [
        [named(record), row["target"], row["representation"], row["probe"], cell(row["width"]), row["split"],
         row["measure"], interval({**row, "accuracy": row["value"]}), number(row["chance"]), cell(row["paper"]),
         row["n_clips"], row["n_groups"]]
        for record in records
        for row in record["results"]["reading"]
        if row["target"] == FAMILY or not of_a_layer(record, row["representation"])
    ]  # fmt: skip
    macro = [
        [named(record), row["probe"], row["split"]]
        + [number(row[name]) for name in ("precision", "recall", "f1", "precision_published")]
        for record in records
        for row in record["results"]["macro"]
    ]
    seeds = [
        [named(record), row["seed"], row["probe"], row["split"], number(row["accuracy"]), number(row["validation"]),
         cell(row["seconds"])]
        for record in records
        for row in record["results"]["seeds"]
    ]  # fmt: skip
    back = [
        [named(record), row["sound"], row["measure"], interval({**row, "accuracy": row["value"]}), row["n"]]
        for record in records
        for row in record["results"]["reconstruction"]
    ]
    moved = [
        [named(record), row["method"], row["role"]]
        + [f"{row[name]:.3f} [{cell(row[f'{name}_low'])}, {cell(row[f'{name}_high'])}]" for name in
           ("is_target", "is_source", "in_tune", "nearer_db")]
        + [cell(row["pitch_error_cents"]), cell(row["median_largest_code"]), row["n"], row["n_groups"]]
        for record in records
        for row in record["results"]["transfers"]
    ]  # fmt: skip
    judges = [
        [
            named(record),
            f"{judge['network']} {judge.get('layer', 'last layer')}",
            *map(number, judge["accuracy"].values()),
        ]
        for record in records
        if (judge := record["results"].get("judge"))
    ]
    apart = [
        [named(record), row["method"], row["measure"], signed(row["rho"]), cell(row["p"]), row["n_pairs"]]
        for record in records
        for row in record["results"]["distance"]
    ]
    about = "corpus target representation probe width split measure value chance paper clips groups"
    moves = "corpus method role taken_for_B taken_for_A pitch_kept nearer_to_B_[dB] pitch_error_[cents] largest_code"
    parts = [
        ("What is read**, groups held out or, as published, a random split (brackets: 95 % intervals", about, read),
        ("Macro averages of the embedding's probes** (precision published: what is otherwise called specificity",
         "corpus probe split precision recall f1 precision_published", macro),
        ("Autoencoders of other seeds** (accuracy for the family; processor seconds of training",
         "corpus seed probe split accuracy validation_loss seconds", seeds),
        ("Reconstruction of test notes** (brackets: 95 % intervals over groups", "corpus sound measure value n", back),
        ("Transfers between instruments** (brackets: 95 % intervals over groups", f"{moves} n groups", moved),
        ("Judges of transfers** (share of test notes that they tell right", "corpus hears_through real reconstructed",
         judges),
        ("Does distance in the code predict success** (Spearman over ordered pairs, p by permuting families",
         "corpus method measure rho p pairs", apart),
    ]  # fmt: skip
    written = [f"**{title}).\n\n{markdown(columns.split(), rows)}" for title, columns, rows in parts if rows]
    return "\n\n".join([*written, "**Cost.**", markdown(*cost(records))])
