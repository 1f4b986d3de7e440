"""A task for networks behind spectro-temporal filters: sounds cut, labelled and given roles, and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.data.base import Sounds
from audiointerp.data.events import frame_labels, within
from audiointerp.data.segments import Segments
from audiointerp.data.splits import assign_roles
from audiointerp.statistics.detection import equal_error_rate
from audiointerp.study import UserError


@dataclass(frozen=True)
class Task:
    """Sounds cut for the networks, with labels and roles.

    Attributes:
        sounds: The clips.
        segments: Their segments.
        clips: Clip of each segment, `(N,)`.
        classes: Names of the classes.
        labels: Class of each segment `(N,)`, or of each frame `(N, T)`.
        roles: Role of each segment, str `(N,)`.
        groups: Group of each segment, str `(N,)`.
    """

    sounds: Sounds
    segments: Segments
    clips: np.ndarray
    classes: tuple[str, ...]
    labels: np.ndarray
    roles: np.ndarray
    groups: np.ndarray

    def rows(self, role: str) -> np.ndarray:
        """Segments with a role."""
        return np.flatnonzero(self.roles == role)


def cut(sounds: Sounds, probe: STRFNetwork, factor: str | None, shares: Mapping[str, float], seed: int) -> Task:
    """Cuts sounds into segments, labels them and gives groups their roles.

    Args:
        sounds: The clips; with `events` where speech is told frame by frame.
        probe: Any network of the kind: its rates and the length of its input count.
        factor: The factor whose classes are told, or None for speech frame by frame.
        shares: Shares of the groups with the roles train, select and test.
        seed: Seed of the roles.
    Raises:
        UserError: If the sample rate differs, the factor is unknown, times of speech are wanted and missing, or a role
            has no group.
    """
    if sounds.sample_rate != probe.sample_rate:
        raise UserError(f"expected sounds at {probe.sample_rate} Hz, got {sounds.sample_rate} Hz: set data.sample_rate")
    segments = Segments(sounds, probe.segment_samples, probe.hop_samples)
    clips = segments.table["clip"].to_numpy()
    roles = assign_roles(sounds.group, sounds.factors, shares, seed)[clips]
    if factor is None:
        events = getattr(sounds, "events", None)
        if events is None:
            raise UserError(
                f"expected sounds with times of speech, {sounds.name} have none: choose data=voices_in_noise"
            )
        seconds, rate = probe.segment_samples / probe.sample_rate, probe.frame_rate
        frames = probe.segment_samples // probe.power.hop + 1
        starts = segments.table["start_s"].to_numpy()
        labels = np.stack(
            [
                frame_labels(within(events[clip], start, start + seconds + 1.0 / rate), frames, rate)
                for clip, start in zip(clips, starts, strict=True)
            ]
        )
        classes: tuple[str, ...] = ("no speech", "speech")
    else:
        if factor not in sounds.factors:
            raise UserError(f"expected study.factor among {', '.join(sounds.factors)}, got {factor!r}")
        names = sorted(sounds.factors[factor].astype(str).unique())
        labels = np.searchsorted(names, sounds.factors[factor].astype(str).to_numpy())[clips]
        classes = tuple(names)
    task = Task(sounds, segments, clips, classes, labels, roles, sounds.group.astype(str).to_numpy()[clips])
    empty = [role for role in ("train", "select", "test") if not len(task.rows(role))]
    if empty:
        raise UserError(f"expected groups for every role, got none for {', '.join(empty)}: take more groups")
    return task


def balanced_accuracy(labels: np.ndarray, logits: np.ndarray, clips: np.ndarray) -> float:
    """Mean recall over classes, clips named by the mean logits of their segments.

    Args:
        labels: Class of each segment, `(N,)`.
        logits: Shape `(N, K)`.
        clips: Clip of each segment, `(N,)`.
    """
    names, first, clip = np.unique(clips, return_index=True, return_inverse=True)
    means = np.stack([np.bincount(clip, column) for column in logits.T], axis=1)
    right = means.argmax(1) == labels[first]
    return float(np.mean([right[labels[first] == k].mean() for k in np.unique(labels)]))


def embedded(network: STRFNetwork, features: torch.Tensor) -> np.ndarray:
    """What the head reads of each segment, of length 1, `(N, D)`."""
    with torch.inference_mode():
        parts = [network.contraction(network.strf(network.spectrogram(part))) for part in features.split(64)]
        codes = torch.cat([network.recurrence(part).mean(1) for part in parts]).numpy()
    codes = codes - codes.mean(0)
    return codes / (np.linalg.norm(codes, axis=1, keepdims=True) + 1e-9)


def verified(codes: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """Equal error rate over all pairs of segments of two groups."""
    first, second = np.triu_indices(len(codes), 1)
    apart = groups[first] != groups[second]
    first, second = first[apart], second[apart]
    same = (labels[first] == labels[second]).astype(int)
    if same.min(initial=1) == same.max(initial=0):
        return float("nan")
    return equal_error_rate(same, (codes[first] * codes[second]).sum(1))
