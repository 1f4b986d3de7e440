"""Models of transformers as backbones: layers, lengths and outputs are those that transformers gives itself."""

import sys

import numpy as np
import pytest
import torch

from audiointerp.activations.base import capture
from audiointerp.activations.extract import extract
from audiointerp.backbones.huggingface import HuggingFace, described, loaded, longest_s
from audiointerp.modulation.layers import ripple_sound_responses
from audiointerp.study import UserError
from tests.backbones.tiny_transformers import MODELS, save

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", autouse=True)
def offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Name to (folder, model, extractor)."""
    folders = {name: tmp_path_factory.mktemp(name) for name in MODELS}
    return {name: (str(folder), *save(transformers, name, folder)) for name, folder in folders.items()}


def waves(rows=3, samples=8000):
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(2))


def theirs(name, model, extractor, sounds):
    """What transformers gives: output `(B, K)`, hidden states."""
    inputs = extractor([sound.numpy() for sound in sounds], sampling_rate=16000, padding=True, return_tensors="pt")
    with torch.inference_mode():
        if name == "clap":
            inputs["is_longer"] = torch.zeros(len(sounds), 1, dtype=torch.bool)
            found = model.audio_model(**inputs, output_hidden_states=True)
            return model.audio_projection(found.pooler_output), found.hidden_states
        found = model(**inputs, output_hidden_states=True)
    if name != "hubert":
        return found.logits, found.hidden_states
    kept = [_frames(model, len(sound)) for sound in sounds]
    means = [hidden[:frames].mean(0) for hidden, frames in zip(found.last_hidden_state, kept, strict=True)]
    return torch.stack(means), found.hidden_states


def _frames(model, samples):
    for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def heard(backbone, sounds, lengths=None):
    with torch.inference_mode(), capture(backbone, backbone.layers) as values:
        features = backbone.front_end(sounds) if lengths is None else backbone.front_end(sounds, lengths)
        output = backbone(features) if lengths is None else backbone(features, lengths)
    return output, values


def hidden(name, values, states):
    """Our blocks beside their hidden states of the same place."""
    blocks = [value for layer, value in values.items() if layer.startswith("block")]
    after = states[1:]
    if name == "clap":
        after = [state.flatten(2).transpose(1, 2) for state in after]
    if name == "hubert":  # their last one is behind the final norm of the encoder
        blocks, after = blocks[:-1], after[:-1]
    return list(zip(blocks, after, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_layers_and_output_are_those_of_transformers(models, name):
    folder, model, extractor = models[name]
    backbone = HuggingFace(folder, segment_s=0.5)
    output, values = heard(backbone, waves())
    expected, states = theirs(name, model, extractor, waves())
    assert torch.allclose(output, expected, atol=1e-6) and output.shape == (3, len(backbone.output_names))
    compared = hidden(name, values, states)
    assert len(compared) >= 2
    for ours, other in compared:
        assert torch.allclose(ours, other, atol=1e-6)
    assert backbone.weights.kind == "trained" and backbone.sample_rate == 16000 and backbone.segment_samples == 8000


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "ast"])
def test_sounds_of_several_lengths_are_masked_as_transformers_does(models, name):
    folder, model, extractor = models[name]
    backbone = HuggingFace(folder, segment_s=0.5)
    lengths = torch.tensor([8000, 5000, 3000])
    garbage = waves()  # what lies behind a sound's end must not be heard
    output, values = heard(backbone, garbage, lengths)
    cut = [sound[:length] for sound, length in zip(garbage, lengths.tolist(), strict=True)]
    expected, states = theirs(name, model, extractor, cut)
    assert torch.allclose(output, expected, atol=1e-5)
    for ours, other in hidden(name, values, states):
        assert torch.allclose(ours, other, atol=1e-5)
    assert not torch.allclose(output, heard(backbone, garbage)[0], atol=1e-6)
    layer = "block2"
    with torch.inference_mode():
        assert torch.equal(backbone.resume(layer, values[layer], lengths), output)


@pytest.mark.parametrize("name", MODELS)
def test_the_rest_of_the_network_runs_from_each_layer_to_the_bit(models, name):
    backbone = HuggingFace(models[name][0], segment_s=0.5)
    output, values = heard(backbone, waves())
    assert [layer for layer in backbone.layers if layer.startswith("conv")] == (
        ["conv1", "conv2"] if name in ("wav2vec2", "hubert") else []
    )
    for layer in backbone.layers:
        with torch.inference_mode():
            assert torch.equal(backbone.resume(layer, values[layer]), output), layer
            assert not torch.equal(backbone.resume(layer, values[layer] + values[layer].roll(1, 0)), output), layer


def test_names_lengths_and_the_models_own_parts(models):
    ast = HuggingFace(models["ast"][0], layers=["block3", "model.classifier.dense"])
    assert ast.output_names == ["dog", "rain", "bell"]
    assert list(ast.layers) == ["block3", "model.classifier.dense"]
    assert ast.segment_samples / 16000 == pytest.approx(0.655)  # 64 frames
    assert HuggingFace(models["clap"][0]).segment_samples == 16000
    assert HuggingFace(models["wav2vec2"][0]).segment_samples == 16000
    assert longest_s(models["ast"][2]) == pytest.approx(0.655) and longest_s(models["hubert"][2]) is None


def test_the_untrained_control_has_the_same_form_and_other_weights(models):
    backbone = HuggingFace(models["wav2vec2"][0], segment_s=0.5)
    control, again = backbone.untrained(3), backbone.untrained(3)
    assert control.weights.kind == "untrained" and list(control.layers) == list(backbone.layers)
    assert control.weights.sha256 == again.weights.sha256 != backbone.weights.sha256
    assert control.preprocessing == backbone.preprocessing and control.output_names == backbone.output_names


def test_clap_leaves_the_global_stream_of_numbers_alone(models):
    backbone = HuggingFace(models["clap"][0])
    np.random.seed(0)
    backbone.front_end(waves(2))
    after = np.random.random()
    np.random.seed(0)
    assert after == np.random.random()


class Sounds:
    fingerprint = "noise"

    def __len__(self):
        return 40

    def batch(self, indices):
        return waves(40, 4000)[torch.as_tensor(np.asarray(indices))]


@pytest.mark.parametrize("name", MODELS)
def test_extraction_and_ripples(models, name, tmp_path):
    backbone = HuggingFace(models[name][0], segment_s=0.25)
    found = extract(backbone, Sounds(), range(40), tmp_path, components=4, keep=[])
    assert list(found.scores) == list(backbone.layers)
    assert all(scores.shape == (40, 4) for scores in found.scores.values())
    tones = {"low_hz": 250.0, "octaves": 4.0}
    told = ripple_sound_responses(backbone, backbone.layers, omega=[4.0, 16.0], Omega=[-0.5, 0.5], **tones)
    assert list(told) == list(backbone.layers)
    for layer, found in told.items():
        assert found.response.shape == (8 if layer.startswith("conv") else 16, 2, 2)
        assert (found.response.max((1, 2)) > 0).all()


# What cannot be


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample_rate": 48000}, r"expected backbone.sample_rate=16000 \(what .* was made for\), got 48000"),
        ({"segment_s": 2.0}, "expected backbone.segment_s of at most 0.655 s"),
        ({"layers": ["blok3"]}, "has no submodule 'blok3'"),
    ],
)
def test_what_cannot_be_is_said(models, given, message):
    with pytest.raises(UserError, match=message):
        HuggingFace(models["ast"][0], **given)


def test_a_model_that_also_writes_is_refused(tmp_path):
    config = transformers.WhisperConfig(d_model=8, encoder_layers=1, decoder_layers=1)
    config.save_pretrained(tmp_path)
    transformers.WhisperFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"expected a model that only hears, got .* \(whisper\), which also writes"):
        HuggingFace(str(tmp_path))


def test_a_model_that_cannot_be_had(tmp_path):
    with pytest.raises(UserError, match="expected backbone.model to be the name of a model that can be reached"):
        described(str(tmp_path / "nowhere"))


def test_weights_that_are_missing_are_refused(models, tmp_path):
    model = transformers.ASTModel(transformers.AutoConfig.from_pretrained(models["ast"][0]))
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="expected all weights of ASTForAudioClassification.*got .* missing"):
        loaded(transformers.ASTForAudioClassification, str(tmp_path))
    with pytest.raises(UserError, match="expected the weights of"):
        loaded(transformers.ASTModel, str(tmp_path / "nowhere"))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'audiointerp\[huggingface\]'"):
        HuggingFace("anything")
