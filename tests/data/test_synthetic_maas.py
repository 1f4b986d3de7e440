"""Synthetic MaAS: the same clip wherever it is rendered, physics that can be measured, and no shortcut by level."""

import pickle

import numpy as np
import pytest

from audiointerp.data import modal, rendered, segments
from audiointerp.data.materials import MATERIALS, draw_body
from audiointerp.data.scene import Scene
from audiointerp.data.splits import assign_roles
from audiointerp.data.synthetic_maas import SyntheticMaAS
from audiointerp.study import UserError, stream

CELLS = 24


@pytest.fixture(scope="module")
def sounds():
    return SyntheticMaAS(clips=10 * CELLS, objects=5)


def test_every_object_is_heard_in_every_action_and_belongs_to_one_material(sounds):
    table = sounds.factors.assign(group=sounds.group)
    assert len(sounds) == 240 and sounds.group.nunique() == 30
    assert (table.groupby("group")["action"].nunique() == 4).all()
    assert (table.groupby("group")["material"].nunique() == 1).all()
    assert (table.value_counts(["material", "action"]) == 10).all()
    assert sounds.path.is_unique and len(set(sounds.clip_keys)) == 240
    assert set(assign_roles(sounds.group, sounds.factors, {"fit": 0.2, "train": 0.4, "test": 0.4}, 0)) == {
        "fit",
        "train",
        "test",
    }


def test_construction_renders_nothing(monkeypatch):
    def forbidden(self, i):
        raise AssertionError("rendered")

    monkeypatch.setattr(SyntheticMaAS, "render", forbidden)
    sounds = SyntheticMaAS(clips=2400)
    assert len(sounds.fingerprint) == 64 and len(sounds.subset([3, 1]).fingerprint) == 64
    with pytest.raises(AssertionError, match="rendered"):
        _ = sounds.levels


def test_a_clip_has_the_same_bits_in_every_batch_subset_thread_and_process(sounds):
    alone = np.stack([SyntheticMaAS(clips=240, objects=5, keep_mb=0, threads=1).waveform(i) for i in range(0, 48, 5)])
    together = SyntheticMaAS(clips=240, objects=5, keep_mb=0, threads=4).waveforms(np.arange(48)[::-1])[::-1][::5]
    assert np.array_equal(alone, together)
    assert np.array_equal(alone, sounds.waveforms(np.arange(0, 48, 5)))
    assert np.array_equal(alone, sounds.waveforms(np.arange(0, 48, 5)))  # now from memory
    view = sounds.subset(np.arange(0, 48, 5))
    assert np.array_equal(alone[3:5], view.waveforms([3, 4])) and np.array_equal(alone[7], view.waveform(7))
    assert np.array_equal(alone, pickle.loads(pickle.dumps(sounds)).waveforms(np.arange(0, 48, 5)))


def test_fewer_clips_are_the_first_ones_of_more():
    few, more = SyntheticMaAS(clips=48, keep_mb=0), SyntheticMaAS(clips=2400, keep_mb=0)
    assert few.clip_keys == more.clip_keys[:48]
    assert np.array_equal(few.waveform(47), more.waveform(47))


def test_what_is_given_may_be_written_into(sounds):
    first = sounds.waveform(2)
    first[:] = 0
    assert sounds.waveform(2).any()


def test_seed_length_and_rate_make_other_clips_and_other_keys():
    plain = SyntheticMaAS(clips=CELLS)
    others = [{"seed": 1}, {"duration_s": 1.5}, {"sample_rate": 22050}]
    for other in others:
        changed = SyntheticMaAS(clips=CELLS, **other)
        assert not set(changed.clip_keys) & set(plain.clip_keys)
        n = min(plain.length, changed.length)
        assert not np.array_equal(changed.waveform(0)[:n], plain.waveform(0)[:n])
    assert SyntheticMaAS(clips=CELLS).fingerprint == plain.fingerprint


def test_clips_are_sound_in_range_and_long_enough(sounds):
    waveforms = sounds.waveforms(np.arange(48))
    assert waveforms.shape == (48, 16000) and waveforms.dtype == np.float32
    assert np.isfinite(waveforms).all() and np.abs(waveforms).max() <= 1.0
    assert (np.abs(waveforms).max(1) > 0.01).all()
    assert (sounds.lengths == 16000).all() and len(sounds.dropped) == 0


def test_segments_ask_for_many_clips_at_once(sounds, monkeypatch):
    asked = []
    ask = rendered.Rendered.waveforms
    monkeypatch.setattr(
        rendered.Rendered, "waveforms", lambda self, indices: asked.append(list(indices)) or ask(self, indices)
    )
    cut = segments.Segments(sounds, 15600)
    batch = cut.batch([5, 0, 9])
    assert asked == [[0, 5, 9]]
    assert np.array_equal(batch[0].numpy(), ask(sounds, [5])[0][:15600])
    cut = segments.Segments(sounds.subset([9, 5]), 15600)
    assert np.array_equal(cut.batch([1])[0].numpy(), batch[0].numpy())


def test_levels_are_those_of_the_waveforms_and_of_a_subset(sounds):
    waveforms = sounds.waveforms(np.arange(len(sounds)))
    rms = 20 * np.log10(np.sqrt((waveforms.astype(float) ** 2).mean(1)))
    assert sounds.levels["rms_db"].to_numpy() == pytest.approx(rms, abs=1e-4)
    assert sounds.levels["peak_db"].to_numpy() == pytest.approx(20 * np.log10(np.abs(waveforms).max(1)), abs=1e-4)
    assert (sounds.levels["duration_s"] == 1.0).all()
    assert sounds.subset([7, 3]).levels["rms_db"].tolist() == sounds.levels["rms_db"].iloc[[7, 3]].tolist()


def test_levels_of_large_corpora_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(rendered, "WORTH_KEEPING", CELLS)
    first = SyntheticMaAS(clips=CELLS, cache=tmp_path).levels
    (file,) = tmp_path.glob("sounds/*/levels.csv")
    monkeypatch.setattr(SyntheticMaAS, "render", lambda self, i: 1 / 0)
    assert SyntheticMaAS(clips=CELLS, cache=tmp_path).levels.equals(first)
    with pytest.raises(ZeroDivisionError):
        _ = SyntheticMaAS(clips=CELLS, cache=tmp_path, seed=1).levels
    file.write_text("broken\n1\n")
    with pytest.raises(ZeroDivisionError):
        _ = SyntheticMaAS(clips=CELLS, cache=tmp_path).levels


def test_level_alone_does_not_tell_the_material(sounds):
    middle = sounds.levels["rms_db"] + sounds.levels["peak_db"]
    for factor in ("material", "action"):
        means = middle.groupby(sounds.factors[factor]).mean()
        spread = middle.groupby(sounds.factors[factor]).std().mean()
        assert means.max() - means.min() < spread, factor  # drawn alike: 40 to 60 clips a class


def test_lossier_materials_die_away_sooner():
    scene = Scene(16000, modal.points_for(16000), 16000)
    assert list(MATERIALS) == ["metal", "glass", "stone", "wood", "plastic", "cardboard"]
    losses, reached = [], []
    for name in MATERIALS:
        bodies = [draw_body(MATERIALS[name], stream(0, "body", name, i)) for i in range(40)]
        assert all((body.frequencies_hz > 0).all() and (body.decays > 0).all() for body in bodies)
        losses.append(np.median(np.concatenate([body.decays / body.frequencies_hz for body in bodies])))
        energy = [modal.irfft(scene.ring(body, stream(1, "ring")), scene.points)[:16000] ** 2 for body in bodies]
        reached.append(np.median([np.searchsorted(np.cumsum(e) / e.sum(), 0.9) / 16000 for e in energy]))
    assert losses == sorted(losses) and losses[-1] > 50 * losses[0]
    # Measured on the sound: the lower pitch of the lossiest makes up for some of their loss.
    assert reached[0] > 2 * reached[1] > 4 * max(reached[2:])


def test_actions_differ_in_how_energy_lies_in_time(sounds):
    waveforms = sounds.waveforms(np.arange(len(sounds))).astype(float)
    frames = (waveforms.reshape(len(sounds), 100, 160) ** 2).mean(2)
    filled = (frames > 0.05 * frames.max(1, keepdims=True)).mean(1)
    median = {action: np.median(filled[(sounds.factors.action == action).to_numpy()]) for action in sounds.actions}
    assert median["tap"] < median["destruct"] < median["rub"] and median["tap"] < median["whirl"]


def test_a_choice_of_materials_leaves_the_clips_as_they_are(sounds):
    chosen = SyntheticMaAS(clips=16, objects=5, materials=["wood", "glass"])
    assert chosen.factors["material"].unique().tolist() == ["glass", "wood"]  # in their own order
    same = sounds.path[sounds.path == "wood/rub/000_000"].index[0]
    mine = chosen.path[chosen.path == "wood/rub/000_000"].index[0]
    assert np.array_equal(chosen.waveform(mine), sounds.waveform(same))
    assert list(SyntheticMaAS(clips=8, materials=["wood"], actions=["tap", "rub"]).factors) == ["action"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": 50}, r"multiple of 24 .* got 50: take 48"),
        ({"clips": 0}, r"multiple of 24 .* take 24"),
        ({"objects": 0}, "data.objects of at least 1"),
        ({"sample_rate": 100}, "data.sample_rate of at least 2000 Hz"),
        ({"duration_s": 0.5}, r"data.duration_s of at least 0.975 s"),
        ({"materials": ["wod"]}, "did you mean 'wood'"),
        ({"actions": "tapping"}, "there is no 'tapping'"),
        ({"materials": []}, "expected data.materials with names"),
        ({"materials": ["wood", "wood"], "clips": 8}, "each once"),
        ({"factors": ["matter"]}, "has no factor 'matter'"),
        ({"factors": ["material"], "materials": ["wood"]}, "at least two classes of 'material'"),
        ({"materials": ["wood"], "actions": ["tap"]}, "expected a factor"),
        ({"pad": "mirror"}, "floor, zeros, repeat"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        SyntheticMaAS(**settings)


def test_modal_response_is_the_sum_of_damped_sinusoids():
    rng = np.random.default_rng(0)
    f, d, a, p = rng.uniform(100, 7000, 30), rng.uniform(1, 300, 30), rng.normal(size=30), rng.uniform(0, 6, 30)
    time = np.arange(5000) / 16000
    expected = (a[:, None] * np.exp(-d[:, None] * time) * np.sin(2 * np.pi * f[:, None] * time + p[:, None])).sum(0)
    assert np.abs(modal.modal_response(f, d, a, 5000, 16000, p) - expected).max() < 1e-4
    assert not modal.modal_response(np.array([8000.0]), np.ones(1), np.ones(1), 100, 16000).any()


def test_impulses_keep_their_strength_and_place():
    train = modal.impulses(np.array([0.01, 0.02003, 9.0]), np.array([1.0, 2.0, 5.0]), 1000, 16000)
    assert train[160] == 1.0 and train[320:322].sum() == pytest.approx(2.0) and train.sum() == pytest.approx(3.0)


@pytest.mark.parametrize("length", [10, 15600, 16000, 24000, 16385])
def test_transforms_are_long_enough_to_convolve(length):
    assert 2 * length <= modal.points_for(length) < 4 * length + 2
