"""What is measured on each clip and layer: coherence, what removal does, the band that is left, each with controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from audiointerp.data.crops import Clips
from audiointerp.sonify.coherence import above_null, phase_randomised, shared_power, top_coherence
from audiointerp.sonify.deconvnet import DeconvNet, Heard, features_of
from audiointerp.sonify.removal import relative_fall, removed, same_energy
from audiointerp.sonify.selectivity import band
from audiointerp.sonify.top_inputs import score_of
from audiointerp.studies.sonification_networks import Subject
from audiointerp.study import stream
from audiointerp.training.sonify import Listened

NOTHING, LEAST_SQUARES, PUBLISHED = "nothing", "sonification", "sonification, peak-matched"
CONTROLS = ("random map", "other clip", "phases randomised", "untrained network")
VARIANTS = (NOTHING, LEAST_SQUARES, PUBLISHED, *CONTROLS)
"""What is taken out of a clip; the controls have the energy of what `LEAST_SQUARES` takes out."""


@dataclass
class ClipEvidence:
    """Measures one network clip by clip, as the `measure` of a `CorpusSonifier`.

    Args:
        subject: The network.
        clips: The clips.
        rows: Positions of all clips that are measured; the other clip of a control is the next of them.
        score: What makes a map active.
        top: Coherent frequencies that are averaged, 5 in the paper.
        removal: Whether anything is taken out.
        unpool: The way back through poolings, of the sonification and of its controls.
    """

    subject: Subject
    clips: Clips
    rows: Sequence[int]
    score: str = "peak"
    top: int = 5
    removal: bool = True
    unpool: str = "switch"
    _nets: dict[str, DeconvNet] = field(default_factory=dict, init=False)
    _device: torch.device | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        order = [int(row) for row in self.rows]
        self._next = dict(zip(order, [*order[1:], order[0]], strict=True))

    def __call__(self, listened: Listened) -> list[dict[str, Any]]:
        """Gives one row per layer; with removal its `variants` hold one row each, and their logits.

        A control that is silent where the sonification is not has NaN throughout: it would count as one without effect.
        """
        self._go_to(listened.waveform.device)
        x = listened.waveform.double().cpu().numpy()
        fitted = np.resize(self.clips[self._next[listened.clip]], len(x)).astype(np.float32)
        other = self._hear("own", torch.from_numpy(fitted))
        untrained = self._hear("untrained", listened.waveform) if self.removal else None
        rows = []
        for layer, found in listened.found.items():
            row: dict[str, Any] = {"clip": listened.clip, "layer": layer, "depth": int(layer.removeprefix("block"))}
            row |= {"map": int(found.maps[0]), "peak": float(found.peaks[0]), "dead": bool(found.dead[0])}
            if not found.dead[0]:
                rng = stream(self.subject.seed, "sonification", self.subject.name, listened.clip, layer)
                s = found.sounds[0].double().cpu().numpy()
                theirs = self._strongest("own", other, layer)
                row |= self._coherence(x, s, theirs, rng) | band(x, s, self.subject.encoder.sample_rate)
                if self.removal:
                    drawn = self._random_map(listened.heard, layer, row["map"], rng)
                    controls = (drawn, theirs, phase_randomised(s, rng), self._strongest("untrained", untrained, layer))
                    row |= self._removal(listened, layer, row["map"], x, s, controls)
            rows.append(row)
        return rows

    def _coherence(self, x: np.ndarray, s: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> dict:
        null = phase_randomised(s, rng)
        found = {
            "coherence": top_coherence(x, s, self.top),
            "coherence_null": top_coherence(x, null, self.top),
            "coherence_other": top_coherence(x, theirs, self.top),
            "shared_power": shared_power(x, s),
            "shared_power_null": shared_power(x, null),
        }
        corrected = above_null(found["coherence"], found["coherence_null"])
        return found | {"coherence_corrected": corrected}

    def _removal(
        self, listened: Listened, layer: str, number: int, x: np.ndarray, s: np.ndarray, controls: Sequence[np.ndarray]
    ) -> dict:
        part = removed(x, s)
        taken = [np.zeros_like(x), part, removed(x, s, "peak"), *(same_energy(x, c, part) for c in controls)]
        rest = torch.from_numpy(x - np.stack(taken)).float().to(self._device)
        net, position = self._nets["own"], self._nets["own"].position(layer)
        # At the clip's own scale: scaled to unit peak again, what is left would be turned up.
        heard = net.hear(self.subject.encoder.features(rest / float(np.abs(x).max())), depth=position + 1)
        scores = score_of(heard.maps[position], self.score).cpu().numpy()
        logits = self.subject.classify(rest).cpu()
        others = np.arange(scores.shape[1]) != number
        variants = []
        for n, name in enumerate(VARIANTS):
            falls = relative_fall(scores[0], scores[n])
            if name in CONTROLS and part.any() and not taken[n].any():  # a silent control takes out nothing: no control
                falls, logits[n] = np.full_like(falls, np.nan), float("nan")
            rivals = falls[others & np.isfinite(falls)]
            variants.append(
                {"variant": name, "target_fall": float(falls[number]), "logits": logits[n].numpy()}
                | {"others_fall": float(np.median(rivals)) if len(rivals) else float("nan")}
            )
        return {"energy_removed": float(part @ part / (x @ x)), "variants": variants}

    def _go_to(self, device: torch.device) -> None:
        if device != self._device:
            subject = self.subject.to(device)
            self._nets = {"own": DeconvNet(subject.encoder), "untrained": DeconvNet(subject.untrained)}
            self._device = device

    def _hear(self, which: str, waveform: torch.Tensor) -> Heard:
        network = self.subject.encoder if which == "own" else self.subject.untrained
        return self._nets[which].hear(
            features_of(network, waveform[None].to(self._device)), keep_before=self.unpool == "soft"
        )

    def _strongest(self, which: str, heard: Heard, layer: str) -> np.ndarray:
        net = self._nets[which]
        best = int(score_of(heard.maps[net.position(layer)], self.score)[0].argmax())
        return net.sonify(heard, layer, [best], unpool=self.unpool).sounds[0].double().cpu().numpy()

    def _random_map(self, heard: Heard, layer: str, number: int, rng: np.random.Generator) -> np.ndarray:
        """Sonifies another active map of the same clip; silence where there is none."""
        net = self._nets["own"]
        active = (heard.maps[net.position(layer)][0] > 0).any(1).nonzero()[:, 0].tolist()
        others = [other for other in active if other != number]
        if not others:
            return np.zeros(heard.lengths[0])
        return net.sonify(heard, layer, [int(rng.choice(others))], unpool=self.unpool).sounds[0].double().cpu().numpy()
