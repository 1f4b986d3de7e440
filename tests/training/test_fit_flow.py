import dataclasses
import functools
import json

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, label_matrix, nats_per_dim
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.study import UserError
from audiointerp.training.fit_flow import VALIDATION_PAIRS, FlowFit, FlowSettings, fit_flows, round_trip
from audiointerp.training.flow import PairBatches
from tests.disentangle.planted import linear_world

BLOCKS = {"kind": 3, "size": 2}
TRAIN, SELECT, TEST = np.arange(480), np.arange(480, 720), np.arange(720, 1200)
SETTINGS = FlowSettings(batch=256, pairs_per_sound=4.0, learning_rate=5e-3, epochs=6, patience=3)
make_flow = functools.partial(FactorFlow, stages=2, hidden=16, depth=1)
make_trainer = functools.partial(
    pl.Trainer,
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
    num_sanity_val_steps=0,
)


class Trained(Exception):
    """Somebody asked for a trainer."""


def refuse(**settings):
    raise Trained


def fit(folder, scores, labels, *, settings=SETTINGS, seed=0, flow=make_flow, trainer=make_trainer, **changed):
    return flow_fit(folder, scores, labels, settings=settings, seed=seed, flow=flow, trainer=trainer, **changed).fit()


def flow_fit(folder, scores, labels, *, settings=SETTINGS, seed=0, flow=make_flow, trainer=make_trainer, **changed):
    given = {"train": TRAIN, "select": SELECT} | changed
    return FlowFit(
        *(flow, trainer, scores, labels),
        **given,
        blocks=BLOCKS,
        settings=settings,
        seed=seed,
        folder=folder,
        cache=folder / "cache",
    )


@pytest.fixture(scope="module")
def world():
    scores, labels, _ = linear_world(1200)
    return scores, labels


@pytest.fixture(scope="module")
def fitted(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    return fit(folder, *world), folder


def latents(flow, scores):
    with torch.no_grad():
        return flow(torch.from_numpy(scores))[0].numpy()


def read(flow, scores, labels):
    """Accuracy of each factor from each block, on rows that nothing was chosen on."""
    values = latents(flow, scores)
    return {
        (block, factor): float(
            balanced_accuracy(y, LayerReader(values[:, part]).predict("knn", y, [Split(TRAIN, TEST)]))
        )
        for block, part in flow.blocks.items()
        for factor, y in labels.items()
    }


def test_a_planted_world_is_pulled_apart(world, fitted):
    accuracy = read(fitted[0].flow, *world)
    assert accuracy["kind", "kind"] > 0.95 and accuracy["size", "size"] > 0.95
    # Four standard errors at 480 test rows.
    for block, factor, chance in [("size", "kind", 1 / 4), ("kind", "size", 1 / 3)]:
        assert abs(accuracy[block, factor] - chance) < 0.09
        assert abs(accuracy[RESIDUAL, factor] - chance) < 0.09
    assert fitted[0].round_trip < 1e-4


def test_unaligned_training_finds_the_blocks_too(world, tmp_path):
    settings = dataclasses.replace(SETTINGS, align=False, epochs=1)
    start = read(make_flow(features=8, blocks=BLOCKS, seed=0), *world)
    after = read(fit(tmp_path, *world, settings=settings).flow, *world)
    assert start["kind", "kind"] < after["kind", "kind"] - 0.02
    assert start["size", "size"] < after["size", "size"] - 0.02


def test_meaningless_labels_are_read_from_no_block(world, tmp_path):
    scores, labels = world
    rng = np.random.default_rng(0)
    permuted = {name: rng.permutation(values) for name, values in labels.items()}
    flow = fit(tmp_path, scores, permuted, settings=dataclasses.replace(SETTINGS, epochs=2)).flow
    for (_, factor), accuracy in read(flow, scores, permuted).items():
        assert abs(accuracy - {"kind": 1 / 4, "size": 1 / 3}[factor]) < 0.09


def test_the_numbers_are_those_of_the_flow_that_comes_back(world, fitted):
    scores, labels = world
    flow = fitted[0].flow
    assert not flow.training and fitted[0].round_trip == round_trip(flow, scores[TRAIN])
    pairs = PairBatches(
        scores[SELECT], label_matrix(labels, list(BLOCKS))[SELECT], VALIDATION_PAIRS, 1, 0, "validation pairs"
    )
    (first, second, shared) = next(iter(pairs))
    with torch.no_grad():
        (a, log_a), (b, log_b) = flow(first), flow(second)
    loss = PairLikelihood({name: flow.blocks[name] for name in BLOCKS})(a, b, log_a, log_b, shared).mean()
    assert fitted[0].nats_per_dim == pytest.approx(nats_per_dim(loss, 8), abs=1e-5)


def test_training_stops_early_and_keeps_the_best_weights(world, tmp_path):
    # Two dozen sounds are learnt by heart: the likelihood of other sounds gets worse after a few epochs.
    settings = dataclasses.replace(SETTINGS, epochs=80, patience=4, pairs_per_sound=10.0)
    few = fit(tmp_path, *world, train=TRAIN[:24], settings=settings)
    best = few.epochs - settings.patience
    assert 1 < best < 70
    # Stopped at its best epoch, training gives the same weights; stopped before, worse ones.
    again = fit(tmp_path, *world, train=TRAIN[:24], settings=dataclasses.replace(settings, epochs=best))
    assert again.epochs == best and again.nats_per_dim == few.nats_per_dim and same(again.flow, few.flow)
    before = fit(tmp_path, *world, train=TRAIN[:24], settings=dataclasses.replace(settings, epochs=best - 1))
    assert before.nats_per_dim > few.nats_per_dim and not same(before.flow, few.flow)


def same(a, b):
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


def test_checkpoint_and_cache_hold_the_same_bits(world, fitted):
    scores, labels = world
    flow, folder = fitted[0].flow, fitted[1]
    (checkpoint,) = (folder / "checkpoints").glob("*.ckpt")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    reloaded = make_flow(features=8, blocks=BLOCKS, seed=3)
    reloaded.load_state_dict({name.removeprefix("flow."): value for name, value in state.items()})
    assert same(flow, reloaded.eval()) and (latents(reloaded, scores) == latents(flow, scores)).all()
    # Found in the cache, nothing is trained.
    cached = fit(folder, scores, labels, trainer=functools.partial(refuse, **make_trainer.keywords))
    assert same(flow, cached.flow) and (latents(cached.flow, scores) == latents(flow, scores)).all()
    assert not cached.flow.training
    for name in ("nats_per_dim", "epochs", "round_trip"):
        assert getattr(cached, name) == getattr(fitted[0], name)
    # What Lightning shows and where it computes is no part of the address.
    quiet = functools.partial(refuse, **make_trainer.keywords | {"enable_progress_bar": True, "accelerator": "auto"})
    assert same(flow, fit(folder, scores, labels, trainer=quiet).flow)
    assert [file.name for file in (folder / "cache").rglob("*.part")] == []


def changed_scores(scores):
    scores = scores.copy()
    scores[0, 0] += 1e-6
    return scores


def changed_labels(labels):
    kind = labels["kind"].copy()
    kind[0] = (kind[0] + 1) % 4
    return labels | {"kind": kind}


FIELDS = dataclasses.fields(FlowSettings)


def another(name):
    """Gives another value of a setting than that of `SETTINGS`."""
    value = getattr(SETTINGS, name)
    if isinstance(value, str):
        return {"form": "no-log"}[name]
    return not value if isinstance(value, bool) else value / 2 if isinstance(value, float) and value else value + 1


@pytest.mark.parametrize(
    "change",
    [
        {"scores": changed_scores},
        {"labels": changed_labels},
        {"train": TRAIN[1:]},
        {"select": SELECT[::-1]},
        {"seed": 1},
        *({"settings": dataclasses.replace(SETTINGS, **{field.name: another(field.name)})} for field in FIELDS),
        {"flow": functools.partial(make_flow, stages=3)},
        {"flow": functools.partial(make_flow, hidden=8)},
        {"flow": functools.partial(make_flow, depth=2)},
        {"flow": functools.partial(make_flow, coupling="affine")},
        {"flow": functools.partial(make_flow, mixing="permutation")},
        {"flow": functools.partial(make_flow, reflections=4)},
        {"keywords": {"gradient_clip_val": 1.0}},
        {"keywords": {"limit_train_batches": 2}},
        {"keywords": {"precision": "bf16-mixed"}},
    ],
    ids=str,
)
def test_whatever_changes_the_weights_is_trained_anew(world, fitted, change):
    scores, labels = world
    scores = change.get("scores", lambda x: x)(scores)
    labels = change.get("labels", lambda x: x)(labels)
    held = make_trainer.keywords | change.get("keywords", {})
    rest = {name: value for name, value in change.items() if name not in ("scores", "labels", "keywords")}
    with pytest.raises(Trained):
        fit(fitted[1], scores, labels, trainer=functools.partial(refuse, **held), **rest)


def test_the_clamp_of_affine_couplings_is_told_apart(world, tmp_path):
    quick = dataclasses.replace(SETTINGS, epochs=1, pairs_per_sound=0.5)
    affine = functools.partial(make_flow, coupling="affine")
    fit(tmp_path, *world, flow=affine, settings=quick)
    held = functools.partial(refuse, **make_trainer.keywords)
    fit(tmp_path, *world, flow=affine, settings=quick, trainer=held)
    with pytest.raises(Trained):
        fit(tmp_path, *world, flow=functools.partial(affine, clamp=2.0), settings=quick, trainer=held)


def test_the_same_seed_gives_the_same_bits(world, tmp_path):
    quick = dataclasses.replace(SETTINGS, epochs=2, pairs_per_sound=1.0)
    flows = []
    for index, seed in enumerate((4, 4, 5)):
        torch.manual_seed(index)
        flows.append(fit(tmp_path / str(index), *world, settings=quick, seed=seed).flow)
    assert same(flows[0], flows[1]) and not same(flows[0], flows[2])


def test_a_training_that_diverges_says_so_and_is_not_kept(world, tmp_path):
    wild = dataclasses.replace(SETTINGS, learning_rate=1e6)
    with pytest.raises(UserError, match="finite validation loss, got .* learning rate of 1000000.0: lower study"):
        fit(tmp_path, *world, settings=wild)
    assert not list((tmp_path / "cache").rglob("manifest.json"))


def test_a_half_written_model_is_no_hit(world, fitted, tmp_path):
    (manifest,) = (fitted[1] / "cache").rglob("manifest.json")
    assert set(json.loads(manifest.read_text())) == {"nats_per_dim", "epochs", "round_trip", "history"}
    half = tmp_path / "cache" / manifest.parent.relative_to(fitted[1] / "cache")
    half.mkdir(parents=True)
    (half / "flow.pt").write_bytes((manifest.parent / "flow.pt").read_bytes()[:100])
    with pytest.raises(Trained):
        fit(tmp_path, *world, trainer=functools.partial(refuse, **make_trainer.keywords))


def test_side_by_side_flows_are_the_same_bits(world, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=2)
    alone = [fit(tmp_path / "alone", *world, settings=settings, seed=seed) for seed in (0, 1)]
    both = [flow_fit(tmp_path / "both", *world, settings=settings, seed=seed) for seed in (0, 1)]
    trained = fit_flows(both)
    for one, other in zip(alone, trained, strict=True):
        assert same(one.flow, other.flow) and one.history == other.history
        assert [epoch["epoch"] for epoch in one.history] == [1, 2]
        assert (one.nats_per_dim, one.epochs, one.round_trip) == (other.nats_per_dim, 2, other.round_trip)
    assert not same(trained[0].flow, trained[1].flow)
    # Both are in the cache now, beside one that is not: only that one is trained, the order stays.
    new = flow_fit(tmp_path / "both", *world, settings=settings, seed=2)
    refusing = functools.partial(refuse, **make_trainer.keywords)
    found = fit_flows([dataclasses.replace(both[0], make_trainer=refusing), new, both[1]])
    assert same(found[0].flow, alone[0].flow) and same(found[2].flow, alone[1].flow)
    assert same(found[1].flow, fit(tmp_path / "alone", *world, settings=settings, seed=2).flow)


def test_flows_that_take_an_accelerator_or_fail_are_told(world, tmp_path):
    # Where the trainer takes whatever there is, nothing is handed to other processes: the refusal comes from here.
    anywhere = functools.partial(refuse, accelerator="auto")
    with pytest.raises(Trained):
        fit_flows([flow_fit(tmp_path, *world, trainer=anywhere, seed=seed) for seed in (0, 1)])
    scores = np.full_like(world[0], 1e30)
    with pytest.raises(UserError, match="expected"):
        fit_flows([flow_fit(tmp_path, scores, world[1], seed=seed) for seed in (0, 1)])
