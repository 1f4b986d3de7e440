"""Top inputs: what streaming keeps is what sorting everything gives, whatever the order and the processes."""

import numpy as np
import pandas as pd
import pytest
import torch

from audiointerp.sonify.top_inputs import SCORES, TopInputs, class_entropy, score_of
from audiointerp.study import UserError

COUNTS = {"block1": 5, "block2": 3}


def corpus(clips=40, seed=0):
    """Activations of unequal length, on a coarse grid so that many scores tie."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            name: torch.randint(-3, 4, (1, count, 4 + clip % 3), generator=generator).clamp(min=0).float()
            for name, count in COUNTS.items()
        }
        for clip in range(clips)
    ]


def streamed(sounds, order, k=4, score="peak"):
    top = TopInputs(COUNTS, k, score)
    for clip in order:
        top.update(sounds[clip], [clip])
    return top


@pytest.mark.parametrize("score", SCORES)
def test_the_best_of_a_stream_are_the_best_of_all(score):
    sounds = corpus()
    top = streamed(sounds, range(40), score=score)
    for name, count in COUNTS.items():
        scores = np.stack([score_of(sound[name], score)[0].numpy() for sound in sounds])
        for number in range(count):
            best = sorted(range(40), key=lambda clip: (-scores[clip, number], clip))[:4]
            assert top.clips[name][number].tolist() == best
            assert top.scores[name][number].tolist() == scores[best, number].tolist()
            assert top.frames[name][number].tolist() == [int(sounds[clip][name][0, number].argmax()) for clip in best]
        np.testing.assert_allclose(top.means[name], scores.mean(0), rtol=1e-6)
        alive = np.mean([(sound[name][0] > 0).any(1).numpy() for sound in sounds], axis=0)
        np.testing.assert_allclose(top.active[name], alive)


def test_order_and_processes_change_nothing():
    sounds, order = corpus(), np.random.default_rng(0).permutation(40)
    one, other = streamed(sounds, range(40)), streamed(sounds, order[:13])
    other.merge(streamed(sounds, order[13:]))
    assert one.seen == other.seen == 40
    pd.testing.assert_frame_equal(one.table(), other.table())
    for name in COUNTS:
        torch.testing.assert_close(one.means[name], other.means[name])
        assert torch.equal(one.active[name], other.active[name])


def test_memory_does_not_grow_and_fewer_clips_than_k_are_said():
    sounds = corpus()
    few, many = streamed(sounds, range(2)), streamed(sounds, range(40))
    assert all(few.scores[name].shape == many.scores[name].shape == (COUNTS[name], 4) for name in COUNTS)
    assert len(few.table()) == 2 * 8 and few.table()["rank"].max() == 2 and (few.table()["clip"] >= 0).all()


def test_classes_of_dead_maps_are_not_told():
    table = pd.DataFrame({"layer": "a", "map": [0, 0, 1, 1], "clip": [0, 1, 0, 1], "score": [2.0, 1.0, 0.0, 0.0]})
    assert class_entropy(table, ["dog", "rain"]).to_dict("records") == [{"layer": "a", "map": 0, "entropy": 1.0}]


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="k of at least 1"):
        TopInputs(COUNTS, 0)
    with pytest.raises(UserError, match="a score out of peak, mean, l2"):
        TopInputs(COUNTS, 1, "max")
    with pytest.raises(UserError, match="a score out of peak, mean, l2"):
        score_of(torch.ones(1, 1, 1), "max")
