"""What is measured on single maps and on scenes: round trip, band, times of events, random weights, other ways back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from audiointerp.data.crops import Clips
from audiointerp.data.spoken import VoicesInNoise
from audiointerp.sonify.coherence import shared_power
from audiointerp.sonify.deconvnet import SEEDS, DeconvNet, features_of
from audiointerp.sonify.listening import likeness
from audiointerp.sonify.localisation import localisation
from audiointerp.sonify.randomise import cascade
from audiointerp.sonify.selectivity import band
from audiointerp.sonify.top_inputs import TopInputs, score_of
from audiointerp.sonify.unpooling import UNPOOLINGS
from audiointerp.studies.sonification_networks import Subject


def spread(count: int, wanted: int | None) -> list[int]:
    """Chooses maps evenly over a layer; None for all.

    Example:
        >>> spread(8, 3), spread(2, None)
        ([0, 3, 7], [0, 1])
    """
    return list(range(count)) if wanted is None else sorted({int(i) for i in np.linspace(0, count - 1, wanted)})


def measure_maps(
    subject: Subject, top: TopInputs, clips: Clips, layers: Sequence[str], maps: int | None, unpool: str
) -> pd.DataFrame:
    """Sonifies maps on the clip that drives each most, and plays the sonification back to the network.

    A map answers a sound by its score over its mean score on the corpus; `rank` is the share of a layer's active maps
    that answer more than it (0: it answers most). Chance is one half.

    Args:
        subject: The network.
        top: Its top inputs.
        clips: The clips.
        layers: Layers.
        maps: Maps per layer; None for all.
        unpool: The way back through poolings, as below.
    Returns:
        One row per layer and map that is active: `rank` of the sonification, `rank_clip` of the clip itself (the
        baseline), `rank_other` of another map's sonification (the control), `kept` (score of the map for its
        sonification over that for the clip), and the band's `selectivity`, `centre_hz`, `width_hz`.
    """
    net, rate = DeconvNet(subject.encoder), subject.encoder.sample_rate
    rows = []
    for layer in layers:
        position = net.position(layer)
        means = top.means[layer].numpy()
        alive = np.flatnonzero(means > 0)
        chosen = [number for number in spread(len(means), maps) if means[number] > 0]
        for place, number in enumerate(chosen):
            clip = int(top.clips[layer][number, 0])
            other = chosen[(place + 1) % len(chosen)]
            x = torch.from_numpy(clips[clip])
            peak = float(x.abs().max())
            heard = net.hear(features_of(subject.encoder, x[None]), keep_before=unpool == "soft")
            found = net.sonify(heard, layer, [number, other], unpool=unpool)
            if found.dead[0]:
                continue
            again = net.hear(subject.encoder.features(found.sounds.float()), depth=position + 1).maps[position]
            answers = score_of(torch.cat([heard.maps[position], again]), top.score).numpy() / np.maximum(means, 1e-12)
            ranks = [float((answer[alive] > answer[number]).mean()) for answer in answers]
            rows.append(
                {"layer": layer, "depth": position + 1, "map": number, "clip": clip}
                | {"rank": ranks[1], "rank_clip": ranks[0]}
                | {"rank_other": ranks[2] if not found.dead[1] and other != number else float("nan")}
                | {"kept": float(answers[1][number] / answers[0][number])}
                | band((x / peak).numpy(), found.sounds[0].numpy(), rate)
            )
    return pd.DataFrame(rows)


def measure_scenes(
    subject: Subject, scenes: VoicesInNoise, layers: Sequence[str], score: str, unpool: str
) -> pd.DataFrame:
    """Compares when each layer's most active map sounds with when somebody speaks, beside the scene's own energy.

    Returns:
        One row per scene and layer, and per scene one with `layer` "the scene itself": `inside`, `auc`, `hit`, the
        share of the time that is spoken (`spoken`, what chance gives `inside`), `group`, `clip`.
    """
    net = DeconvNet(subject.encoder)
    rows = []
    for clip in range(len(scenes)):
        x = torch.from_numpy(scenes.waveform(clip))
        spans = scenes.events[clip]
        spoken = float((spans[:, 1] - spans[:, 0]).sum()) / (len(x) / scenes.sample_rate)
        heard = net.hear(features_of(subject.encoder, x[None]), keep_before=unpool == "soft")
        shared = {"clip": clip, "group": scenes.group.iloc[clip], "spoken": spoken}
        itself = localisation(x.numpy(), spans, scenes.sample_rate)
        rows.append({**shared, "layer": "the scene itself", "depth": 0, **itself})
        for layer in layers:
            position = net.position(layer)
            best = int(score_of(heard.maps[position], score)[0].argmax())
            s = net.sonify(heard, layer, [best], unpool=unpool).sounds[0].numpy()
            rows.append({**shared, "layer": layer, "depth": position + 1, **localisation(s, spans, scenes.sample_rate)})
    return pd.DataFrame(rows)


def measure_randomisation(
    subject: Subject, clips: Clips, rows: Sequence[int], layers: Sequence[str], score: str, unpool: str
) -> pd.DataFrame:
    """Draws blocks anew, from the layer downwards, and compares the same map's sonification with the first one.

    Returns:
        One row per clip, layer and number of random blocks: `waveform` and `spectrogram` likeness, NaN where the map
        died.
    """
    found = []
    for layer in layers:
        depth = DeconvNet(subject.encoder).position(layer) + 1
        first: dict[int, tuple[int, np.ndarray]] = {}
        for random, network in cascade(subject.encoder, subject.untrained, depth):
            net = DeconvNet(network)
            for row in rows:
                x = torch.from_numpy(clips[int(row)])
                heard = net.hear(features_of(network, x[None]), keep_before=unpool == "soft")
                if random == 0:
                    first[row] = (int(score_of(heard.maps[depth - 1], score)[0].argmax()), np.zeros(0))
                number = first[row][0]
                s = net.sonify(heard, layer, [number], unpool=unpool).sounds[0].numpy()
                if random == 0:
                    first[row] = (number, s)
                same = likeness(first[row][1], s)
                found.append({"clip": int(row), "layer": layer, "depth": depth, "random": random, **same})
    return pd.DataFrame(found)


def measure_ways(
    subject: Subject, clips: Clips, rows: Sequence[int], layers: Sequence[str], score: str
) -> pd.DataFrame:
    """Compares ways of unpooling and seeds: what is shared with the clip, and what the map says of the sonification.

    Returns:
        One row per clip, layer, `unpool` and `led_back` (the seed): `shared_power`, and `kept`, the map's score for
        the sonification over that for the clip (of a whole layer the mean over its maps).
    """
    net = DeconvNet(subject.encoder)
    pooled = any(stage.pool > 1 for stage in net.stages.values())
    ways = UNPOOLINGS if pooled else UNPOOLINGS[:1]  # without poolings all of them are one
    found = []
    for row in rows:
        x = torch.from_numpy(clips[int(row)])
        unit = (x / x.abs().max()).numpy()
        heard = net.hear(features_of(subject.encoder, x[None]), keep_before=True)
        for layer in layers:
            position = net.position(layer)
            scores = score_of(heard.maps[position], score)[0]
            best = int(scores.argmax())
            for unpool in ways:
                for seed in SEEDS[:3]:
                    made = net.sonify(heard, layer, [best], seed=seed, unpool=unpool)
                    if made.dead[0]:
                        continue
                    again = net.hear(subject.encoder.features(made.sounds.float()), depth=position + 1).maps[position]
                    after = score_of(again, score)[0]
                    kept = after.sum() / scores.sum() if seed == "layer" else after[best] / scores[best]
                    found.append(
                        {"clip": int(row), "layer": layer, "depth": position + 1, "unpool": unpool, "led_back": seed}
                        | {"shared_power": shared_power(unit, made.sounds[0].numpy()), "kept": float(kept)}
                    )
    return pd.DataFrame(found)
