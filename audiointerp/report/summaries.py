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


def sonification_tables(records: Sequence[Record]) -> str:
    """Writes the tables of `sonification`: claims, coherence, removal, single maps, scenes, random weights."""

    def means(name: str, keys: str, measures: str) -> list[list]:
        return [
            [corpus_only(record), *(row[key] for key in keys.split())]
            + [with_interval(row[m], row.get(f"{m}_low"), row.get(f"{m}_high")) for m in measures.split()]
            for record in records
            for row in record["results"].get(name, [])
        ]

    falls = [
        [corpus_only(record), row["network"], row["layer"], row["variant"]]
        + [with_interval(row["target_fall"], row["target_low"], row["target_high"]), number(row["others_fall"])]
        for record in records
        for row in record["results"].get("removal_summary", [])
    ]
    runs = [
        [corpus_only(record), record["results"]["clips"], record["results"]["seeds"]]
        + [number(record["results"]["noise_floor"]), f"{sum(record['seconds'].values()):.0f}"]
        + [f"{record['peak_rss_mb']['total']:.0f}"]
        for record in records
    ]
    tables = [
        (
            "**Claims of the paper**, all layers together: published; against its controls; the untrained network.",
            "corpus network claim verdict published corrected control".split(),
            means("claims", "network claim verdict published corrected control", ""),
        ),
        (
            "**Coherence by layer**: top-5 as published, with random phases, above these, with another clip's "
            "sonification; share of the clip's power; band selectivity.",
            *wide(records, "coherence_summary", "measure"),
        ),
        (
            "**Recognition by layer and by what is taken out.**",
            *wide(records, "removal_summary", "variant"),
        ),
        (
            "**Fall of the map, and of the layer's other maps (median).**",
            "corpus network layer taken_out own_map others".split(),
            falls,
        ),
        (
            "**Single maps**: share of the layer's maps that answer more than its own to a map's sonification, to the "
            "clip (baseline), to another map's (control); share of the response that is kept; band selectivity.",
            "corpus network layer sonification clip other_map kept selectivity".split(),
            means("map_summary", "network layer", "rank rank_clip rank_other kept selectivity"),
        ),
        (
            "**Speech at known times**: AUC of frames, energy within, hits of the loudest frame; share of the time.",
            "corpus network layer AUC inside hit spoken".split(),
            means("scene_summary", "network layer", "auc inside hit spoken"),
        ),
        (
            "**Likeness with the first sonification** as blocks are drawn anew.",
            "corpus network layer random_blocks log_spectrogram waveform".split(),
            means("random_summary", "network layer random", "spectrogram waveform"),
        ),
        (
            "**Ways of unpooling, and what is led back.**",
            "corpus network layer unpool led_back shared_power kept".split(),
            means("way_summary", "network layer unpool led_back", "shared_power kept"),
        ),
        (
            "**Active maps, and how varied the classes of top inputs are [bits].**",
            "corpus network layer active_share dead_maps entropy".split(),
            means("variety_summary", "network layer", "active_share dead_maps entropy"),
        ),
        ("**Runs.**", ["corpus", "clips", "seeds", "noise floor", "seconds", "peak RSS [MB]"], runs),
    ]
    return "\n\n".join(part for words, columns, rows in tables if rows for part in (words, markdown(columns, rows)))


def wide(records: Sequence[Record], name: str, across: str) -> tuple[list[str], list[list]]:
    """Turns a summary by network, layer and `across` into one row per network and layer, scores side by side."""
    keys = ("network", "layer")
    kinds = list(dict.fromkeys(row[across] for record in records for row in record["results"].get(name, [])))
    found: dict[tuple, dict[str, str]] = {}
    for record in records:
        for row in record["results"].get(name, []):
            place = found.setdefault((corpus_only(record), *(row[key] for key in keys)), {})
            place[row[across]] = with_interval(row["score"], row["ci_low"], row["ci_high"])
    return ["corpus", *keys, *kinds], [
        [*place, *(cells.get(kind, "-") for kind in kinds)] for place, cells in found.items()
    ]


def explanation_tables(records: Sequence[Record]) -> str:
    """Writes one row per network and method of `explanations`."""
    measures = ("Fid-In", "FF", "AI", "AD", "AG", "SPS", "COMP")
    rows = [
        [record["results"]["sounds"]["name"], f"{record['results']['network']}, {record['results']['weights']}",
         row["method"], *(with_interval(row[m], row[f"{m}_low"], row[f"{m}_high"]) for m in measures),
         record["results"]["sounds"]["clips"]]
        for record in records
        for row in record["results"]["methods"]
    ]  # fmt: skip
    columns = ["corpus", "network", "method", "Fid-In", "FF", "AI [%]", "AD [%]", "AG [%]", "SPS", "COMP", "clips"]
    return markdown(columns, rows)


def corpus_only(record: Record) -> str:
    """Names the sounds of a run."""
    return str(record["results"]["sounds"]["name"])


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Writes a number with its interval where there is one.

    Example:
        >>> with_interval(0.5, 0.4, 0.6), with_interval(0.5, None, None), with_interval(None, None, None)
        ('0.500 [0.400, 0.600]', '0.500', '-')
    """
    return number(value) if value is None or low is None else f"{number(value)} [{number(low)}, {number(high)}]"


TABLES: dict[str, Callable[[Sequence[Record]], str]] = {
    "maas_decode": decoding_tables,
    "maas_flow": flow_tables,
    "syntone_vae": tone_tables,
    "syntone_published": tone_tables,
    "syntone_sweep": tone_tables,
    "sonification": sonification_tables,
    "explanations": explanation_tables,
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
