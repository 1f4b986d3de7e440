"""A task for networks behind spectro-temporal filters: sounds cut, labelled and split, and how it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.data.base import Sounds, nearest
from audiointerp.data.events import frame_labels, within
from audiointerp.data.segments import Segments
from audiointerp.data.splits import assign_roles, official_folds
from audiointerp.statistics.detection import detection_error_rate, equal_error_rate, frame_f1, roc
from audiointerp.studies.cnn12_task import HELD_BACK, TEST_NAMES
from audiointerp.study import UserError, stream
from audiointerp.training.recognise import scores
from audiointerp.training.strf_classify import predict

TAGS = "tags"
SPLITS = ("auto", "groups", "folds")
MEASURES = {
    "frames": ("roc_area", "detection_error_rate", "frame_f1"),
    "tags": ("mAP", "mAUC"),
    "classes": ("accuracy",),
    "speakers": ("accuracy", "equal_error_rate"),
}
"""What is measured on test groups by kind of task, the most important first."""


@dataclass(frozen=True)
class Task:
    """Sounds cut for the networks, with labels and roles.

    Attributes:
        sounds: The clips.
        segments: Their segments.
        clips: Clip of each segment, `(N,)`.
        kind: A key of `MEASURES`.
        classes: Names of the classes.
        labels: Class of each segment `(N,)`, of each frame `(N, T)`, or tags, float `(N, K)`.
        groups: Group of each segment, str `(N,)`.
        roles: Role of each segment, str `(N,)`; empty where a segment has none. None before the split.
        by: What the split keeps apart, in words.
    """

    sounds: Sounds
    segments: Segments
    clips: np.ndarray
    kind: str
    classes: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    roles: np.ndarray | None = None
    by: str = ""

    @property
    def measures(self) -> tuple[str, ...]:
        """What is measured, the most important first."""
        return MEASURES[self.kind]

    @property
    def chance(self) -> float | None:
        """What guessing gives of the first measure; None where that depends on the test groups."""
        return {"frames": 0.5, "tags": None}.get(self.kind, 1.0 / len(self.classes))

    @property
    def ratio(self) -> float:
        """Test groups over training groups, 0 where every split is the same."""
        if self.by == OFFICIAL:
            return 0.0
        counts = {role: len(np.unique(self.groups[self.rows(role)])) for role in ("train", "test")}
        return counts["test"] / counts["train"]

    def rows(self, role: str) -> np.ndarray:
        """Segments with a role."""
        return np.flatnonzero(self.roles == role)


OFFICIAL = "the corpus' own split"


def cut(sounds: Sounds, probe: STRFNetwork, factor: str | None, verify: bool = False) -> Task:
    """Cuts sounds into segments and labels them.

    Args:
        sounds: The clips; with `events` where speech is told frame by frame.
        probe: Any network of the kind: its rates and the length of its input count.
        factor: The factor whose classes are told, `tags`, or None for speech frame by frame.
        verify: Whether pairs of clips are also told to be of one class or of two.
    Raises:
        UserError: If the sample rate differs, the factor is unknown, or times of speech or tags are wanted and missing.
    """
    if sounds.sample_rate != probe.sample_rate:
        raise UserError(f"expected sounds at {probe.sample_rate} Hz, got {sounds.sample_rate} Hz: set data.sample_rate")
    segments = Segments(sounds, probe.segment_samples, probe.hop_samples)
    clips = segments.table["clip"].to_numpy()
    if factor is None:
        kind, classes, labels = "frames", ("no speech", "speech"), _by_frame(sounds, segments, probe)
    elif factor == TAGS and sounds.tags is not None:
        kind, classes, labels = "tags", tuple(sounds.tags), sounds.tags.to_numpy(np.float32)[clips]
    elif factor in sounds.factors:
        names, codes = np.unique(sounds.factors[factor].astype(str), return_inverse=True)
        kind, classes, labels = "speakers" if verify else "classes", tuple(names.tolist()), codes[clips]
    else:
        known = [*sounds.factors, *([TAGS] if sounds.tags is not None else [])]
        raise UserError(f"expected study.factor among {', '.join(known)}, got {factor!r}: {nearest(factor, known)}")
    return Task(sounds, segments, clips, kind, classes, labels, sounds.group.astype(str).to_numpy()[clips])


def _by_frame(sounds: Sounds, segments: Segments, probe: STRFNetwork) -> np.ndarray:
    """Whether somebody speaks in each frame of each segment, int64 `(N, T)`."""
    events = getattr(sounds, "events", None)
    if events is None:
        raise UserError(f"expected sounds with times of speech, {sounds.name} have none: choose data=voices_in_noise")
    seconds, rate = probe.segment_samples / probe.sample_rate, probe.frame_rate
    frames = probe.segment_samples // probe.power.hop + 1
    starts, clips = segments.table["start_s"].to_numpy(), segments.table["clip"].to_numpy()
    spans = [within(events[clip], at, at + seconds + 1.0 / rate) for clip, at in zip(clips, starts, strict=True)]
    return np.stack([frame_labels(part, frames, rate) for part in spans])


def split_task(
    task: Task, by: str, shares: Mapping[str, float], number: int, seed: int, shots: int | None = None
) -> Task:
    """Gives segments their roles in one of several splits.

    Args:
        task: The sounds.
        by: `folds` (the corpus' own: split `number` tests fold `number`, one after the other; a corpus with a fold
            named `test` has one split only), `groups` (drawn anew for each number), or `auto`: folds where there are
            some, else groups.
        shares: Shares of the groups with the roles train, select and test; with folds, train and select share the rest.
        number: Which split.
        seed: Seed of the splits.
        shots: Most training clips of a class (of all, where speech is told by frame or clips have tags); None for all.
    Raises:
        UserError: If the corpus has no folds and they are wanted, or a role has no group.
    """
    sounds, fold = task.sounds, task.sounds.fold
    if by == "folds" and fold is None:
        raise UserError(f"expected a corpus with folds of its own, {sounds.name} has none: set study.split=groups")
    if by == "groups" or fold is None:
        roles, words = assign_roles(sounds.group, sounds.factors, shares, seed + number), "groups"
    elif set(fold) & set(TEST_NAMES):
        tested, held = fold.isin(TEST_NAMES).to_numpy(), fold.isin(HELD_BACK).to_numpy()
        roles = np.where(tested, "test", np.where(held, "select", "train"))
        roles, words = roles if held.any() else _rest(sounds, shares, tested, seed), OFFICIAL
    else:
        folds = official_folds(fold, sounds.group)
        roles = _rest(sounds, shares, folds == number % (folds.max() + 1), seed + number)
        words = "the corpus' own folds"
    if shots is not None:
        roles = _few(task, roles, shots, seed + number)
    found = dataclasses.replace(task, roles=roles[task.clips], by=words)
    empty = [role for role in ("train", "select", "test") if not len(found.rows(role))]
    if empty:
        raise UserError(f"expected groups for every role, got none for {', '.join(empty)}: take more groups")
    return found


def _rest(sounds: Sounds, shares: Mapping[str, float], test: np.ndarray, seed: int) -> np.ndarray:
    """Roles of clips of which some are tested: the others' groups are shared out to train and select."""
    roles = np.full(len(test), "test", dtype="<U6")
    rest = {role: shares.get(role, 0.0) for role in ("train", "select")}
    rest = {role: share / max(1e-9, sum(rest.values())) for role, share in rest.items()}
    roles[~test] = assign_roles(sounds.group[~test], sounds.factors[~test].reset_index(drop=True), rest, seed)
    return roles


def _few(task: Task, roles: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Takes the role from all but `shots` training clips of each class; fewer shots are part of more."""
    roles, order = roles.copy(), stream(seed, "shots").permutation(np.flatnonzero(roles == "train"))
    of_clip = np.zeros(len(roles), dtype=np.int64)
    if task.kind in ("classes", "speakers"):
        of_clip[task.clips] = task.labels
    for label in np.unique(of_clip[order]):
        roles[order[of_clip[order] == label][shots:]] = ""
    return roles


def shuffle_labels(task: Task, seed: int) -> np.ndarray:
    """Labels of the segments that are not tested, in another order."""
    labels, known = task.labels.copy(), np.flatnonzero(np.isin(task.roles, ("train", "select")))
    labels[known] = labels[stream(seed, "shuffled labels").permutation(known)]
    return labels


def measure(task: Task, network: STRFNetwork, features: torch.Tensor) -> dict[str, float]:
    """Measures of a network on the test groups; the threshold of speech is chosen on `select`.

    Args:
        task: With roles.
        network: The network.
        features: What its `front_end` gives of all segments.
    """
    rows = {role: task.rows(role) for role in ("select", "test")}
    logits = {role: predict(network, features[torch.from_numpy(part)]) for role, part in rows.items()}
    labels = task.labels[rows["test"]]
    if task.kind != "frames":
        found = first_measure(task, logits["test"])
        if task.kind == "speakers":
            codes = embedded(network, features[torch.from_numpy(rows["test"])])
            found["equal_error_rate"] = verified(codes, labels, task.groups[rows["test"]])
        return found
    margins = {role: (value[:, 1] - value[:, 0]).ravel() for role, value in logits.items()}
    grid = np.quantile(margins["select"], np.linspace(0.02, 0.98, 97))
    truth = task.labels[rows["select"]].ravel()
    threshold = min(grid, key=lambda value: detection_error_rate(truth, (margins["select"] >= value).astype(int)))
    said = (margins["test"] >= threshold).astype(int)
    return {
        **first_measure(task, logits["test"]),
        "detection_error_rate": detection_error_rate(labels.ravel(), said),
        "frame_f1": frame_f1(labels.ravel(), said),
    }


def first_measure(task: Task, logits: np.ndarray) -> dict[str, float]:
    """The measures that follow from the logits of the test segments alone, the first of the task among them."""
    rows = task.rows("test")
    if task.kind == "frames":
        return {"roc_area": roc(task.labels[rows].ravel(), (logits[:, 1] - logits[:, 0]).ravel()).area}
    means, first = by_clip(logits, task.clips[rows])
    if task.kind == "tags":
        found = scores(torch.from_numpy(means), torch.from_numpy(task.labels[rows][first]))
        return {name: found[name] for name in MEASURES["tags"]}
    return {"accuracy": balanced_accuracy(task.labels[rows][first], means)}


def by_clip(logits: np.ndarray, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean logits of the segments of each clip `(C, K)`, and the first segment of each `(C,)`."""
    _, first, clip = np.unique(clips, return_index=True, return_inverse=True)
    counts = np.bincount(clip)
    return np.stack([np.bincount(clip, column) / counts for column in logits.T], axis=1), first


def balanced_accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean recall over classes.

    Args:
        labels: Class of each clip, `(C,)`.
        logits: Shape `(C, K)`.
    """
    right = logits.argmax(1) == labels
    return float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))


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
