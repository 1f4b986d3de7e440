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


def timbre_tables(records: Sequence[Record]) -> str:
    """Writes the tables of `timbre`: probes beside the paper, seeds, reconstruction, transfers, cost."""
    read = [
        [corpus(record), row["target"], row["representation"], row["probe"], cell(row["width"]), row["split"],
         row["measure"], interval({**row, "accuracy": row["value"]}), number(row["chance"]), cell(row["paper"]),
         row["n_clips"], row["n_groups"]]
        for record in records
        for row in record["results"]["reading"]
    ]  # fmt: skip
    macro = [
        [corpus(record), row["probe"], row["split"]]
        + [number(row[name]) for name in ("precision", "recall", "f1", "precision_published")]
        for record in records
        for row in record["results"]["macro"]
    ]
    seeds = [
        [corpus(record), row["seed"], row["probe"], row["split"], number(row["accuracy"]), number(row["validation"]),
         cell(row["seconds"])]
        for record in records
        for row in record["results"]["seeds"]
    ]  # fmt: skip
    back = [
        [corpus(record), row["sound"], row["measure"], interval({**row, "accuracy": row["value"]}), row["n"]]
        for record in records
        for row in record["results"]["reconstruction"]
    ]
    moved = [
        [corpus(record), row["method"], row["role"]]
        + [f"{row[name]:.3f} [{cell(row[f'{name}_low'])}, {cell(row[f'{name}_high'])}]" for name in
           ("is_target", "is_source", "in_tune", "nearer_db")]
        + [cell(row["pitch_error_cents"]), cell(row["median_largest_code"]), row["n"], row["n_groups"]]
        for record in records
        for row in record["results"]["transfers"]
    ]  # fmt: skip
    apart = [
        [corpus(record), row["method"], row["measure"], signed(row["rho"]), cell(row["p"]), row["n_pairs"]]
        for record in records
        for row in record["results"]["distance"]
    ]
    about = "corpus target representation probe width split measure value chance paper clips groups"
    moves = "corpus method role taken_for_B taken_for_A pitch_kept nearer_to_B_[dB] pitch_error_[cents] largest_code"
    parts = [
        ("What is read**, groups held out or, as published, a random split (brackets: 95 % intervals.", about, read),
        ("Macro averages of the embedding's probes** (precision published: what is otherwise called specificity.",
         "corpus probe split precision recall f1 precision_published", macro),
        ("Autoencoders of other seeds** (accuracy for the family; processor seconds of training.",
         "corpus seed probe split accuracy validation_loss seconds", seeds),
        ("Reconstruction of test notes** (brackets: 95 % intervals over groups.", "corpus sound measure value n", back),
        ("Transfers between instruments** (brackets: 95 % intervals over groups.", f"{moves} n groups", moved),
        ("Does distance in the code predict success** (Spearman over ordered pairs, p by permuting families.",
         "corpus method measure rho p pairs", apart),
    ]  # fmt: skip
    written = [f"**{title}).\n\n{markdown(columns.split(), rows)}" for title, columns, rows in parts if rows]
    return "\n\n".join([*written, "**Cost.**", markdown(*cost(records))])


TABLES: dict[str, Callable[[Sequence[Record]], str]] = {
    "maas_decode": decoding_tables,
    "maas_flow": flow_tables,
    "syntone_vae": tone_tables,
    "syntone_published": tone_tables,
    "syntone_sweep": tone_tables,
    "timbre": timbre_tables,
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


def interval(row: Mapping[str, Any]) -> str:
    """Writes an accuracy with its interval, or says why there is none."""
    if row.get("accuracy") is None:
        return str(row["interval"])
    if row.get("ci_low") is None:
        return f"{row['accuracy']:.3f} ({row['interval']})"
    return f"{row['accuracy']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


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
