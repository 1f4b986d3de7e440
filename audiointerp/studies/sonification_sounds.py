"""Sounds and pictures of the report: top inputs beside their sonifications, and one map through training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.report.sonification_figures import spectrograms
from audiointerp.sonify.deconvnet import DeconvNet, features_of
from audiointerp.sonify.listening import likeness, log_spectrogram, match_loudness
from audiointerp.sonify.top_inputs import TopInputs, score_of
from audiointerp.studies.cnn12_task import Task
from audiointerp.studies.sonification_networks import Subject
from audiointerp.study import RunContext

Cells = dict[str, list[dict[str, Any]]]
"""Layers to the cells of their players."""


def telling(top: TopInputs, layer: str, count: int) -> list[int]:
    """Chooses the maps of a layer that answer their best clip most, against their mean over clips."""
    means = top.means[layer].numpy()
    best = np.where(means > 0, top.scores[layer][:, 0].numpy() / np.maximum(means, 1e-12), -np.inf)
    order = np.argsort(-best, kind="stable")[:count]
    return [int(number) for number in order if np.isfinite(best[number])]


def grid(
    context: RunContext,
    subjects: Mapping[tuple[str, int], tuple[Subject, TopInputs]],
    task: Task,
    layers: Sequence[str],
    shown: int,
    unpool: str,
    seed: int,
) -> Cells:
    """Writes each shown map's top inputs and their sonifications as sounds of one loudness, and their spectrograms."""
    names = [name for name, own in subjects if own == seed]
    if "contrastive, fconly" in names:  # the same encoder before it was tuned
        names = [name for name in names if name != "contrastive, full"]
    heads = [name.split(",")[0] for name in names]
    shorts = {name: name if heads.count(head) > 1 else head for name, head in zip(names, heads, strict=True)}
    cells: Cells = {layer: [] for layer in layers}
    for layer in layers:
        pictures, durations = {}, {}
        for name in names:
            subject, top = subjects[name, seed]
            net, rate = DeconvNet(subject.encoder), subject.encoder.sample_rate
            for place, number in enumerate(telling(top, layer, shown)):
                for rank in range(top.k):
                    clip = int(top.clips[layer][number, rank])
                    if clip < 0 or top.scores[layer][number, rank] <= 0:
                        continue
                    x = torch.from_numpy(task.clips[clip])
                    heard = net.hear(features_of(subject.encoder, x[None]), keep_before=unpool == "soft")
                    s = net.sonify(heard, layer, [number], unpool=unpool).sounds[0]
                    row, short = f"map {place + 1}, input {rank + 1}", shorts[name]
                    about = f"{short}, {layer}, map {number}, input {rank + 1}: {label_of(task, clip)}"
                    sounds = match_loudness([x.numpy(), s.numpy()], rate)
                    for kind, sound in zip(("input", "sonification"), sounds, strict=True):
                        stem = f"{layer}-{name.replace(', ', '-')}-{number}-{rank + 1}-{kind}"
                        file = context.audio(stem, sound, rate)
                        column = f"{short}: {kind}"
                        caption = about if kind == "input" else f"its sonification ({short}, {layer}, map {number})"
                        cells[layer].append({"row": row, "column": column, "caption": caption,
                                             "audio": f"audio/{file.name}"})  # fmt: skip
                        pictures[row, column] = log_spectrogram(sound)
                        durations[row, column] = len(sound) / rate
        if pictures:
            rows = list(dict.fromkeys(row for row, _ in pictures))
            columns = [f"{shorts[name]}: {kind}" for name in names for kind in ("input", "sonification")]
            title = f"What maps of {layer} leave of the inputs that drive them most"
            figure = spectrograms(
                pictures, rows, columns, title=title, duration_s=durations, top_khz=task.sounds.sample_rate / 2000
            )
            context.figure(f"sounds_{layer}", figure, alt=title)
    return cells


def evolution(
    context: RunContext,
    networks: Mapping[int, CNN12],
    task: Task,
    rows: Sequence[int],
    layers: Sequence[str],
    score: str,
    unpool: str,
) -> list[dict[str, Any]]:
    """Sonifies one map of each layer, on the clip that drives it most after training, by the weights on the way.

    Map and clip are fixed by the last weights, so that nothing jumps where another clip would come first.

    Returns:
        Cells of players; writes the figure and the table `evolution`.
    """
    last = networks[max(networks)]
    net, rate = DeconvNet(last), last.sample_rate
    top = TopInputs({name: stage.conv.out_channels for name, stage in net.stages.items()}, 1, score)
    for row in rows:
        heard = net.hear(features_of(last, torch.from_numpy(task.clips[int(row)])[None]))
        top.update(dict(zip(net.layers, heard.maps, strict=True)), [int(row)])
    cells, pictures, durations, likes = [], {}, {}, []
    for layer in layers:
        chosen = telling(top, layer, 1)
        if not chosen:
            continue
        number, clip = chosen[0], int(top.clips[layer][chosen[0], 0])
        x = torch.from_numpy(task.clips[clip])
        sounds, dead = {}, {}
        for step, network in sorted(networks.items()):
            found = DeconvNet(network)
            heard = found.hear(features_of(network, x[None]), keep_before=unpool == "soft")
            made = found.sonify(heard, layer, [number], unpool=unpool)
            sounds[step], dead[step] = made.sounds[0].numpy(), bool(made.dead[0])
            answer = float(score_of(heard.maps[found.position(layer)], score)[0, number])
            likes.append({"layer": layer, "map": number, "clip": clip, "step": step, "response": answer})
        for at, row in enumerate(likes[-len(sounds) :]):
            step = row["step"]
            likes[len(likes) - len(sounds) + at] = row | likeness(sounds[step], sounds[max(networks)])
        matched = match_loudness(list(sounds.values()), rate)
        name = f"{layer}, map {number}"
        for (step, sound), is_dead in zip(zip(sounds, matched, strict=True), dead.values(), strict=True):
            if is_dead:
                continue
            file = context.audio(f"evolution-{layer}-{number}-{step}", sound, rate)
            column = f"step {step}"
            cells.append({"row": name, "column": column, "audio": f"audio/{file.name}",
                          "caption": f"{name} after {step} steps: {label_of(task, clip)}"})  # fmt: skip
            pictures[name, column], durations[name, column] = log_spectrogram(sound), len(sound) / rate
    if pictures:
        title = "What one map of each layer leaves of one clip while the network is trained without labels"
        figure = spectrograms(
            pictures, list(dict.fromkeys(row for row, _ in pictures)), [f"step {step}" for step in sorted(networks)],
            title=title, duration_s=durations, top_khz=rate / 2000,
        )  # fmt: skip
        context.figure("evolution", figure, alt=title)
    context.table("evolution", pd.DataFrame(likes))
    return cells


def label_of(task: Task, clip: int) -> str:
    """Gives the class or the tags of a clip, in words."""
    if task.multilabel:
        return (
            ", ".join(name for name, on in zip(task.classes, task.targets[clip] > 0.5, strict=True) if on) or "untagged"
        )
    return task.classes[int(task.targets[clip])]
