"""A corpus is sonified by a trainer as one clip at a time would be; silence is left out and named."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.crops import Clips
from audiointerp.sonify.deconvnet import sonify
from audiointerp.sonify.top_inputs import score_of
from audiointerp.training.sonify import CorpusSonifier, sonify_corpus
from tests.training.two_processes import NETWORK, Noises

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


class WithSilence(Noises):
    def waveform(self, i):
        return np.zeros(int(self.lengths[i]), np.float32) if i == 3 else super().waveform(i)


def trainer(**settings):
    return pl.Trainer(accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, **settings)


@pytest.mark.parametrize("unpool", ["switch", "soft"])
def test_each_clips_most_active_map_is_sonified(unpool):
    network, clips, kept = CNN12(output_names=["smooth", "rough"], **NETWORK), Clips(WithSilence(), 500), {}

    def measure(listened):
        kept[listened.clip] = {layer: (int(item.maps[0]), item.sounds[0]) for layer, item in listened.found.items()}
        return [{"clip": listened.clip, "layer": layer} for layer in listened.found]

    module = CorpusSonifier(network, [1, "block2"], k=2, measure=measure, unpool=unpool)
    found = sonify_corpus(trainer, module, clips, np.arange(16))
    assert found.silent == [3] and sorted(kept) == [clip for clip in range(16) if clip != 3]
    assert [row["clip"] for row in found.rows] == sorted(2 * list(kept))
    for clip in (0, 5):
        x = torch.from_numpy(clips[clip])
        features = network.front_end(x[None])
        for n, layer in enumerate(("block1", "block2")):
            features = network.blocks[n](features)
            number = int(score_of(features, "peak")[0].argmax())
            assert kept[clip][layer][0] == number
            torch.testing.assert_close(
                kept[clip][layer][1], sonify(network, x, layer, [number], unpool=unpool).sounds[0]
            )
    table = found.top.table()
    assert found.top.seen == 15 and 3 not in set(table["clip"]) and len(table) == 2 * (4 + 8)


def test_a_second_prediction_starts_anew():
    network, clips = CNN12(output_names=["smooth", "rough"], **NETWORK), Clips(Noises(), 500)
    module = CorpusSonifier(network, [1], measure=lambda listened: [{"clip": listened.clip}])
    first = sonify_corpus(trainer, module, clips, np.arange(4))
    assert first.top.seen == 4 and sonify_corpus(trainer, module, clips, np.arange(6)).top.seen == 6
    assert [row["clip"] for row in module.rows] == list(range(6))
