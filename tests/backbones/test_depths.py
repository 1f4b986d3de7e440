"""Networks cut off: readers of every depth on standardised means, first blocks that are trained on."""

import pytest
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.backbones.depths import FirstBlocks, Readers
from audiointerp.backbones.logmel_cnn import LogMelCNN
from audiointerp.study import UserError

SMALL = {"channels": [4, 8, 8], "kernels": [11, 3, 3], "pools": [4, 2, 1], "embedding": 6, "segment_s": 0.1}


def noise(n=8, samples=900):
    return torch.randn(n, samples, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 3, samples) ** 2


@pytest.fixture
def network():
    return CNN12(output_names=["a", "b"], **SMALL)


def test_pooled_layers_are_means_over_time_of_what_the_layers_give(network):
    features = network.front_end(noise())
    pooled = network.pooled(features)
    assert list(pooled) == list(network.layers)
    x = features
    for name, block in list(network.layers.items())[:-1]:
        x = block(x)
        assert torch.equal(pooled[name], x.mean(-1))
    assert torch.equal(pooled["embedding"], network.encode(features))


def test_readers_are_linear_in_standardised_means(network):
    readers = Readers(network, ["block2", "embedding"], ["x", "y", "z"], seed=1)
    readers.standardise([noise()[:3], noise()[3:]])
    pooled = network.pooled(network.front_end(noise()))
    logits = readers(readers.front_end(noise()))
    assert logits.shape == (2, 8, 3)
    for place, name in enumerate(("block2", "embedding")):
        values = pooled[name]
        spread = values.std(0, correction=0)
        scaled = (values - values.mean(0)) / torch.where(spread > 0, spread, 1.0)
        head = readers.heads[name]
        torch.testing.assert_close(logits[place], scaled @ head.weight.T + head.bias, rtol=1e-3, atol=1e-4)


def test_a_unit_that_never_varies_keeps_its_scale(network):
    with torch.no_grad():
        network.blocks[1].conv.weight[3] = 0.0
        network.blocks[1].conv.bias[3] = 0.7
    readers = Readers(network, ["block2"], ["x", "y"], seed=1)
    readers.standardise([noise()])
    assert float(readers.scale_block2[3]) == 1.0 and float(readers.mean_block2[3]) == pytest.approx(0.7)
    assert torch.isfinite(readers(readers.front_end(noise()))).all()


def test_only_readers_learn_and_the_network_stays_in_evaluation(network):
    readers = Readers(network, ["block1"], ["x", "y"], seed=1).train()
    assert {name for name, value in readers.named_parameters() if value.requires_grad} == {
        "heads.block1.weight",
        "heads.block1.bias",
    }
    assert readers.training and not readers.network.training
    same = Readers(network, ["block1"], ["x", "y"], seed=1)
    assert torch.equal(readers.heads["block1"].weight, same.heads["block1"].weight)
    assert not torch.equal(
        readers.heads["block1"].weight, Readers(network, ["block1"], ["x", "y"], 2).heads["block1"].weight
    )


def test_first_blocks_are_those_of_the_network(network):
    cut = FirstBlocks(network, 2, ["x", "y", "z"], seed=0)
    features = cut.front_end(noise())
    assert torch.equal(cut.classifier(network.pooled(features)["block2"]), cut(features)) and cut(features).shape == (
        8,
        3,
    )
    with torch.no_grad():
        cut.blocks[0].conv.weight.zero_()
    assert network.blocks[0].conv.weight.any()
    whole = FirstBlocks(network, 3, ["x"], seed=0)
    assert len(whole.blocks) == 3


def test_what_is_not_there_is_refused(network):
    with pytest.raises(UserError, match="layers among block1, block2, block3, embedding, got 'block9'"):
        Readers(network, ["block1", "block9"], ["x"], 0)
    for depth in (0, 4):
        with pytest.raises(UserError, match=f"a depth from 1 to 3 blocks, got {depth}"):
            FirstBlocks(network, depth, ["x"], 0)


def test_a_log_mel_network_is_scaled_to_unit_peak_too():
    network = LogMelCNN(parameters=20_000, embedding=8)
    wave = noise(2, 4000)
    assert torch.equal(network.front_end(wave), network.features(wave / wave.abs().amax(1, keepdim=True)))
