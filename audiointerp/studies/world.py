"""What all steps of a study share: sounds cut into segments, with roles and questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from audiointerp.data.base import Sounds
from audiointerp.data.questions import Question
from audiointerp.data.segments import Segments


@dataclass(frozen=True)
class World:
    """Sounds cut into segments, with roles and questions.

    Attributes:
        sounds: The clips.
        segments: Their segments, as long as the network's input.
        clips: Clip of each segment, shape `(N,)`.
        roles: Role of each segment, str `(N,)`.
        questions: Factor names to questions.
    """

    sounds: Sounds
    segments: Segments
    clips: np.ndarray
    roles: np.ndarray
    questions: Mapping[str, Question]

    @property
    def groups(self) -> np.ndarray:
        """Group of each segment, int `(N,)`."""
        return next(iter(self.questions.values())).groups

    def part(self, clips: np.ndarray) -> Part:
        """Gives the world of some of the clips; roles, classes and folds stay what they are.

        Args:
            clips: Positions of the clips, ascending.
        """
        rows = np.flatnonzero(np.isin(self.clips, clips))
        sounds = self.sounds.subset(clips)
        segments = Segments(sounds, self.segments.length, self.segments.hop, self.segments.pad)
        return Part(
            World(
                sounds,
                segments,
                segments.table["clip"].to_numpy(),
                self.roles[rows],
                {factor: question.part(rows) for factor, question in self.questions.items()},
            ),
            rows,
        )


@dataclass(frozen=True)
class Part:
    """A part of a world.

    Attributes:
        world: The part, a world of its own.
        rows: Its segments among those of the whole, shape `(M,)`.
    """

    world: World
    rows: np.ndarray
