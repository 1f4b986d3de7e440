"""The port of YAMNet: the official front end, 14 layers to read and to go on from, 521 names, weights from anywhere."""

import json
import socket
import time

import numpy as np
import pytest
import scipy.signal
import torch

from audiointerp.activations.base import capture
from audiointerp.backbones.yamnet import PATCH_SAMPLES, LogMel, YAMNet, class_names, mel_matrix
from audiointerp.study import UserError

LAYERS = [f"layer{n}" for n in range(1, 15)]


def noise(n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(n, PATCH_SAMPLES, generator=generator) * torch.tensor([1, 5, 0.01])[:n, None]


@pytest.fixture(scope="module")
def yamnet():
    return YAMNet(weights="random", seed=1)


@pytest.fixture(scope="module")
def features(yamnet):
    return yamnet.front_end(noise())


# The front end


def test_the_mel_matrix_agrees_with_an_independent_implementation():
    def mel(hz):
        return 2595 * np.log10(1 + np.asarray(hz) / 700)  # the other common form: 1127 ln, to five digits

    edges = np.linspace(mel(125), mel(7500), 66)
    bins = mel(np.arange(257) * 16000 / 512)
    expected = np.stack([np.interp(bins, edges[band : band + 3], [0, 1, 0]) for band in range(64)])
    assert mel_matrix().shape == (64, 257) and mel_matrix().dtype == np.float32
    np.testing.assert_allclose(mel_matrix(), expected, atol=1e-6)
    assert not mel_matrix()[:, 0].any()
    assert (mel_matrix().sum(1) > 0).all()


def test_log_mel_agrees_with_an_independent_implementation():
    waves = noise().double().numpy()
    window = scipy.signal.get_window("hann", 400)
    expected = np.empty((3, 96, 64))
    for clip in range(3):
        for frame in range(96):
            part = waves[clip, 160 * frame : 160 * frame + 400] * window
            expected[clip, frame] = np.log(mel_matrix() @ np.abs(np.fft.rfft(part, 512)) + 0.001)
    np.testing.assert_allclose(LogMel()(noise()), expected, atol=1e-4)


def test_a_longer_sound_has_a_frame_every_ten_milliseconds():
    waves = torch.zeros(1, PATCH_SAMPLES + 5 * 160 + 159)
    waves[0, 50 * 160 + 100] = 1.0
    frames = LogMel()(waves)
    assert frames.shape == (1, 101, 64)
    assert torch.nonzero(frames[0].sum(-1) > 64 * np.log(0.0011)).flatten().tolist() == [49, 50]


@pytest.mark.real
def test_the_front_end_is_the_official_one(reference, yamnet):
    with np.load(reference / "yamnet_frontend.npz") as official:
        np.testing.assert_allclose(mel_matrix(), official["mel_matrix"], atol=1e-6)
        log_mel = yamnet.front_end(torch.from_numpy(official["waveform"]))[:, 0]
        assert np.abs(log_mel.numpy() - official["log_mel"]).max() < 1e-3


@pytest.mark.real
def test_real_weights_score_as_the_official_network_does(reference, real_weights):
    yamnet = YAMNet(weights=str(real_weights / "yamnet_tflite.pth"))
    with np.load(reference / "yamnet_frontend.npz") as official, torch.no_grad():
        scores = torch.sigmoid(yamnet(yamnet.front_end(torch.from_numpy(official["waveform"])))).numpy()
        for ours, theirs in zip(scores, official["score_int8"], strict=True):
            # The official scores here are those of an 8-bit network: near, not equal.
            assert np.corrcoef(ours, theirs)[0, 1] > 0.85
            assert np.argmax(ours) in np.argsort(theirs)[-3:] and np.argmax(theirs) in np.argsort(ours)[-3:]


@pytest.mark.parametrize("shape", [(15600,), (2, 15599), (2, 1, 15600)])
def test_segments_of_another_length_are_refused(yamnet, shape):
    with pytest.raises(ValueError, match=r"expected waveforms of shape \(B, 15600\) at 16000 Hz, got .*data.Segments"):
        yamnet.front_end(torch.zeros(shape))


# Layers and output


def test_521_class_names():
    names = class_names()
    assert len(names) == len(set(names)) == 521
    assert (names[0], names[494], names[520]) == ("Speech", "Silence", "Field recording")


@pytest.mark.real
def test_class_names_are_the_official_ones(reference):
    official = json.loads((reference / "audioset_521_classes.json").read_text(encoding="utf-8"))
    assert class_names() == [name for _, name in official]


def test_the_network_as_it_presents_itself(yamnet, features):
    assert list(yamnet.layers) == LAYERS
    assert (yamnet.sample_rate, yamnet.segment_samples, yamnet.hop_samples) == (16000, 15600, 7680)
    assert yamnet.output_names == class_names()
    assert not yamnet.training and not any(value.requires_grad for value in yamnet.parameters())
    assert features.shape == (3, 1, 96, 64)
    assert YAMNet(weights="random", hop_s=0.1).hop_samples == 1600


def test_the_output_is_that_of_the_package_s_own_network(yamnet, features):
    with torch.no_grad():
        _, expected = yamnet.network(features)
        assert torch.equal(yamnet(features), expected)
    assert expected.shape == (3, 521)


def test_capture_leaves_the_output_bit_equal_and_resume_gives_it_from_every_layer(yamnet, features):
    with torch.no_grad():
        bare = yamnet(features)
        with capture(yamnet, yamnet.layers) as values:
            assert torch.equal(yamnet(features), bare)
        assert list(values) == LAYERS
        assert values["layer1"].shape == (3, 32, 48, 32) and values["layer14"].shape == (3, 1024, 3, 2)
        for name in LAYERS:
            assert torch.equal(yamnet.resume(name, values[name]), bare), name
            assert not torch.equal(yamnet.resume(name, 1.5 * values[name]), bare), name
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in yamnet.modules())


def test_resuming_from_an_unknown_layer_is_refused(yamnet):
    with pytest.raises(UserError, match=r"expected a layer of YAMNet \(layer1 ... layer14\), got 'layer15'"):
        yamnet.resume("layer15", torch.zeros(1))


# Weights


def test_random_weights_follow_the_seed_and_touch_no_global_state(yamnet):
    before = torch.get_rng_state()
    again, other = yamnet.untrained(1), yamnet.untrained(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.weights == yamnet.weights
    assert other.weights.sha256 != yamnet.weights.sha256
    assert (again.weights.kind, again.weights.source) == ("untrained", "random, seed 1")


def test_the_control_keeps_the_hop():
    assert YAMNet(weights="random", hop_s=0.2).untrained(0).hop_samples == 3200


def test_activity_keeps_its_scale_through_the_untrained_network(yamnet, features):
    with torch.no_grad(), capture(yamnet, yamnet.layers) as values:
        yamnet(features[:2])
    sizes = [float(values[name].square().mean().sqrt()) for name in LAYERS]
    assert max(sizes) < 30 * min(sizes)


@pytest.fixture
def saved(yamnet, tmp_path):
    """A folder that holds the untrained weights under the name that `auto` looks for."""
    torch.save(yamnet.network.state_dict(), tmp_path / "yamnet.pth")
    return tmp_path


def test_weights_from_a_folder_and_from_a_path_are_the_same(yamnet, saved, features):
    by_auto, by_path = YAMNet(folder=saved), YAMNet(weights=str(saved / "yamnet.pth"))
    assert by_auto.weights == by_path.weights
    assert (by_auto.weights.kind, by_auto.weights.source) == ("trained", "yamnet.pth")
    assert by_auto.weights.sha256 == yamnet.weights.sha256  # the numbers count, not where they came from
    with torch.no_grad():
        assert torch.equal(by_auto(features), yamnet(features))


def test_weights_from_safetensors(yamnet, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(yamnet.network.state_dict(), tmp_path / "mine.safetensors")
    assert YAMNet(weights=str(tmp_path / "mine.safetensors")).weights.sha256 == yamnet.weights.sha256


def test_auto_without_weights_fails_within_seconds_and_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(YAMNet, "URL", f"http://127.0.0.1:{taken.getsockname()[1]}/yamnet.pth")
        begin = time.monotonic()
        with pytest.raises(
            UserError, match=r"no weights found: looked for yamnet.pth or yamnet_tflite.pth in paths.wei"
        ):
            YAMNet(folder=tmp_path)
        assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("classifier.bias"), r"got 1 missing, 0 unknown, 0 of another shape \(first: classif"),
        (
            lambda state: state.update(extra=torch.ones(1)),
            r"got 0 missing, 1 unknown, 0 of another shape \(first: extra",
        ),
        (
            lambda state: state.update({"classifier.bias": torch.ones(10)}),
            r"got 0 missing, 0 unknown, 1 of another shape \(first: classifier.bias\)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(yamnet, tmp_path, change, message):
    state = dict(yamnet.network.state_dict())
    change(state)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=message) as caught:
        YAMNet(weights=str(tmp_path / "other.pth"))
    assert "give a file saved from torch_vggish_yamnet's YAMNet" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 44100}, r"expected backbone.sample_rate=16000 \(YAMNet hears nothing else\), got 44100"),
        ({"hop_s": 0.0}, r"expected backbone.hop_s above 0 s, got 0.0"),
        ({"hop_s": float("nan")}, r"expected backbone.hop_s above 0 s, got nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        YAMNet(weights="random", **settings)
