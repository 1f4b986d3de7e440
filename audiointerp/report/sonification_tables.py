"""Tables of the studies of sonification, written from the records of collected runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audiointerp.report.cells import Record, markdown, number


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
            "**Strided convolution against max-pooling**: accuracy with nothing taken out; coherence above random "
            "phases; share of the clip's power, and, of max-pooling, the same led back without switches (unpooled to "
            "the nearest, few clips); fall of the map and of others (median) without the sonification; share of the "
            "maps that answer more than its own to a map's sonification, and to another map's (control).",
            "corpus network layer accuracy coherence power without_switches own_map others rank rank_other".split(),
            strides(records),
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


def strides(records: Sequence[Record]) -> list[list[str]]:
    """Puts networks that stride beside those that pool, layer by layer; nothing for runs without one that strides."""
    lines = []
    for record in records:
        results = record["results"]
        heard = [row for row in results.get("coherence_summary", []) if row["measure"] == "coherence_corrected"]
        kinds = {row["network"].split(",")[0] for row in heard if row["network"].endswith(", strided")}
        for row in [row for row in heard if row["network"].split(",")[0] in kinds]:
            own = {"network": row["network"], "layer": row["layer"]}
            whole = _row(results, "removal_summary", own, variant="nothing")
            power = _row(results, "coherence_summary", own, measure="shared_power")
            blurred = _row(results, "way_summary", own, unpool="nearest", led_back="map")
            falls = _row(results, "removal_summary", own, variant="sonification")
            maps = _row(results, "map_summary", own)
            lines.append([
                corpus_only(record), *own.values(), *(_score(mean) for mean in (whole, row, power)),
                number(blurred.get("shared_power")),
                with_interval(falls.get("target_fall"), falls.get("target_low"), falls.get("target_high")),
                *(number(value) for value in (falls.get("others_fall"), maps.get("rank"), maps.get("rank_other"))),
            ])  # fmt: skip
    return lines


def _row(results: Record, table: str, own: Mapping, **where: str) -> Mapping:
    """Gives the row of a summary that has these values; an empty one where there is none."""
    wanted = {**own, **where}
    return next((row for row in results.get(table, []) if all(row[key] == wanted[key] for key in wanted)), {})


def _score(row: Mapping) -> str:
    return with_interval(row.get("score"), row.get("ci_low"), row.get("ci_high"))


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
