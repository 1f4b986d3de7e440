"""Tables of training regimes and of depth for experiments/*/README.md, written from the records of collected runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audiointerp.report.cells import (
    Record,
    cell,
    corpus,
    interval,
    markdown,
    number,
    percent,
    signed_interval,
    told_apart,
)


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
