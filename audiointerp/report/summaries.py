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


def strf_tables(records: Sequence[Record]) -> str:
    """Writes the tables of a task for spectro-temporal filters: front ends, where filters lie, what falls."""
    fronts = [
        [sounds_of(record), row["front"], row["measure"].replace("_", " "), with_ends(row, "mean"), row["seeds"]]
        + [row["learnt in the front end"], row["learnt behind it"]]
        for record in records
        for row in record["results"]["fronts"]
    ]
    differences = [
        [sounds_of(record), row["front"], row["against"], with_ends(row, "difference", "+"), number(row["p"])]
        for record in records
        for row in record["results"]["differences"]
        if row["measure"] == record["results"]["task"]["measure"]
    ]
    moved = [
        [sounds_of(record), row["labels"], row["parameter"], with_ends(row, "moved")]
        for record in records
        for row in record["results"]["displacement"]
    ]
    nulls = [
        [sounds_of(record), row["against"], number(row["energy_distance"]), number(row["null_95"]), number(row["p"])]
        for record in records
        for row in record["results"]["populations"]
    ]
    ablation = [
        [sounds_of(record), row["silenced"], row["measure"].replace("_", " "), with_ends(row, "mean", "+")]
        for record in records
        for row in record["results"]["ablation"]
        if row["measure"] != "score"
    ]
    organised = [
        [sounds_of(record), row.get("labels", row.get("filters")), row["tuning"], against, with_ends(row, column, "+")]
        for record in records
        for name, against in (("tonotopy", "centre frequency"), ("harmonicity", "answering to harmonic sounds"))
        for row in record["results"][name]
        for column in (f"rank_correlation_with_{'centre' if name == 'tonotopy' else 'harmonicity'}",)
    ]
    splits = [
        [sounds_of(record), record["results"]["task"]["split"]]
        + [record["results"]["task"][role] for role in ("train", "select", "test")]
        + [number(record["results"]["task"]["chance"]), f"{sum(record['seconds'].values()):.0f}"]
        + [f"{record['peak_rss_mb']['total']:.0f}"]
        for record in records
    ]
    return "\n\n".join(
        [
            "**Front ends** on test groups (brackets: 95 % over seeds, each with its own training and split).",
            markdown(["sounds", "front end", "measure", "mean", "seeds", "learnt in it", "learnt behind it"], fronts),
            "**Differences** of the first measure, seed by seed on the same split.",
            markdown(["sounds", "front end", "against", "difference", "p"], differences),
            "**How far parameters moved**: medians, in units of their spread before training.",
            markdown(["sounds", "labels", "parameter", "moved"], moved),
            "**How far the learnt filters lie from each null** (energy distance of modulations; 95 % of the null).",
            markdown(["sounds", "against", "distance", "null", "p"], nulls),
            "**Half of the filters silenced**: what is lost, and what beyond as many at random.",
            markdown(["sounds", "silenced", "what", "mean"], ablation),
            "**Organisation**: rank correlations over filters, beside their control.",
            markdown(["sounds", "filters", "tuning", "against", "rank correlation"], organised),
            "**Splits** (segments of the first one) and cost.",
            markdown(["sounds", "split by", "train", "select", "test", "chance", "run [s]", "peak RSS [MB]"], splits),
        ]
    )


TABLES: dict[str, Callable[[Sequence[Record]], str]] = {
    "maas_decode": decoding_tables,
    "maas_flow": flow_tables,
    "syntone_vae": tone_tables,
    "syntone_published": tone_tables,
    "syntone_sweep": tone_tables,
    "strf_speech_activity": strf_tables,
    "strf_speakers": strf_tables,
    "strf_scenes": strf_tables,
    "strf_calls": strf_tables,
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


def sounds_of(record: Record) -> str:
    """Names a run by its sounds, and by its protocol where that is not the default."""
    published = record.get("config", {}).get("protocol") == "published"
    return record["results"]["sounds"]["name"] + (", published" if published else "")


def with_ends(row: Mapping[str, Any], name: str, sign: str = "") -> str:
    """Writes the number under `name` with the interval beside it, or says why there is none.

    Example:
        >>> with_ends({"mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}, "mean")
        '0.500 [0.400, 0.600]'
        >>> with_ends({"mean": 0.5, "ci_low": None, "ci_high": None, "interval": "none: 1 seed"}, "mean", "+")
        '+0.500 (none: 1 seed)'
    """
    if row.get("ci_low") is None:
        return f"{row[name]:{sign}.3f} ({row['interval']})"
    return f"{row[name]:{sign}.3f} [{row['ci_low']:{sign}.3f}, {row['ci_high']:{sign}.3f}]"


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
