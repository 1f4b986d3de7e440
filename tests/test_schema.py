"""Keys held against the schema and against signatures that are read from source."""

import importlib
import inspect
import subprocess
import sys
import textwrap

import pytest
from omegaconf import OmegaConf

from audiointerp import cli, schema, signatures
from audiointerp.study import UserError

EXPERIMENTS = sorted(cli.experiments([cli.conf_dir()]))


def composed(**groups):
    return OmegaConf.merge(OmegaConf.structured(schema.RootConfig), groups)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that must not be imported, with every way to define and to pass on a name."""
    files = {
        "__init__.py": "raise RuntimeError('imported')\nfrom .parts import Renamed as Passed\nfrom .parts import *\n",
        "parts.py": """
            from __future__ import annotations
            import dataclasses
            from dataclasses import dataclass, field
            from typing import ClassVar, Unpack
            import typing_extensions as more
            from .base import Base, Settings
            from . import base as other

            class Own:
                def __init__(self, a, /, b=1, *, c, d=None): ...
                @classmethod
                def make(cls, size): ...
                @staticmethod
                def plain(size, other=1): ...

            class Inherited(Base):
                pass

            class ByModule(other.Base):
                pass

            class Open:
                def __init__(self, a, **rest): ...

            class Typed:
                def __init__(self, a: str, *, b: int = 1, **rest: Unpack[Settings]): ...

            class InheritedTyped(Typed):
                pass

            class Strict:
                def __init__(self, a, **rest: more.Unpack[other.StrictSettings]): ...

            class OpenValues:
                def __init__(self, a, **rest: int): ...

            class OpenUnknown:
                def __init__(self, a, **rest: Unpack[Elsewhere]): ...

            class OpenDynamic:
                def __init__(self, a, **rest: Unpack[Made]): ...

            Made = dict(x=int)

            @dataclass(frozen=True)
            class Data:
                x: int
                kind: ClassVar[str] = "k"
                y: float = 1.0
                z: list = field(default_factory=list)
                hidden: int = field(default=0, init=False)

            @dataclasses.dataclass
            class Wider(Data):
                w: str = ""

            def function(u, v=2, *, w): ...

            Renamed = Own

            if True:
                def conditional(q): ...
            """,
        "base.py": """
            from typing import Annotated, NotRequired, Required, TypedDict

            class Base:
                def __init__(self, p, q=0): ...
                def run(self, context, data, model=None): ...

            class Wide(TypedDict, total=False):
                rate: int

            class Settings(Wide, total=False):
                "How it is read."
                seed: int | None
                must: Required[float]

            class StrictSettings(TypedDict):
                rate: int
                seed: NotRequired[int]
                level: Annotated[NotRequired[int], "dB"]
            """,
        "dynamic.py": "def __getattr__(name):\n    raise RuntimeError('imported')\n",
    }
    folder = tmp_path / "planted"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    for cached in (signatures._locate, signatures._module):
        cached.cache_clear()
    yield "planted"
    for cached in (signatures._locate, signatures._module):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("target", "names", "required"),
    [
        ("parts.Own", "a b c d", "a c"),
        ("parts.Own.make", "size", "size"),
        ("parts.Own.plain", "size other", "size"),
        ("parts.Inherited", "p q", "p"),
        ("parts.ByModule", "p q", "p"),
        ("parts.Data", "x y z", "x"),
        ("parts.Wider", "x y z w", "x"),
        ("parts.function", "u v w", "u w"),
        ("parts.Renamed", "a b c d", "a c"),
        ("parts.conditional", "q", "q"),
        ("parts.Typed", "a b rate seed must", "a must"),
        ("parts.InheritedTyped", "a b rate seed must", "a must"),
        ("parts.Strict", "a rate seed level", "a rate"),
        ("Passed", "a b c d", "a c"),
        ("function", "u v w", "u w"),
    ],
)
def test_signature_is_read_from_source_alone(package, target, names, required):
    signature = signatures.signature_of(f"{package}.{target}")
    assert signature.names == tuple(names.split())
    assert signature.required == set(required.split())
    assert not signature.accepts_any
    assert package not in sys.modules


def test_annotations_are_read_as_they_stand(package):
    assert signatures.signature_of(f"{package}.parts.Wider").annotations == {
        "x": "int",
        "y": "float",
        "z": "list",
        "w": "str",
    }
    assert signatures.signature_of(f"{package}.parts.Typed").annotations == {
        "a": "str",
        "b": "int",
        "rate": "int",
        "seed": "int | None",
        "must": "float",
    }
    assert signatures.signature_of("tiny_study.Tiny").annotations["offset"] == "float | None"


@pytest.mark.parametrize("name", ["Open", "OpenValues", "OpenUnknown", "OpenDynamic"])
def test_kwargs_take_every_name_where_source_does_not_list_them(package, name):
    signature = signatures.signature_of(f"{package}.parts.{name}")
    assert signature.accepts_any and signature.names == ("a",)
    assert package not in sys.modules


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("parts.Owm", "planted.parts.Own"),
        ("party.Own", "planted.parts"),
        ("parts.Own.mak", "make"),
    ],
)
def test_an_unknown_target_names_the_nearest_without_an_import(package, target, hint):
    with pytest.raises(signatures.TargetError, match=f"did you mean '{hint}'"):
        signatures.signature_of(f"{package}.{target}")
    assert package not in sys.modules


def test_a_target_in_no_package_is_refused():
    with pytest.raises(signatures.TargetError, match="no package called 'absent_package'"):
        signatures.signature_of("absent_package.Thing")
    with pytest.raises(signatures.TargetError, match="dotted name"):
        signatures.signature_of("Thing")


def test_where_source_does_not_tell_the_target_is_imported():
    assert signatures.signature_of("math.isclose").names == ("a", "b", "rel_tol", "abs_tol")
    assert not signatures.signature_of("math.isclose").accepts_any


@pytest.mark.parametrize(
    "target",
    [
        "pytorch_lightning.Trainer",
        "torch.optim.Adam",
        "torch.nn.Linear",
        "torch.optim.lr_scheduler.StepLR",
        "sklearn.svm.SVC",
    ],
)
def test_source_agrees_with_inspect(target):
    module, _, name = target.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    signature = signatures._static(target)[0]
    assert signature.names == tuple(parameters)
    assert signature.required == {key for key, value in parameters.items() if value.default is value.empty}


def test_reading_lightning_imports_nothing_heavy():
    code = (
        "import sys; from audiointerp import cli, job, schema, signatures\n"
        "signatures.signature_of('pytorch_lightning.Trainer')\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_run_parts_follow_the_study_class(package):
    assert signatures.run_parts(f"{package}.parts.Inherited") == {"data": True, "model": False}
    assert signatures.run_parts("tiny_study.Tiny") == {"data": True}


NUMBERS = {"_target_": "tiny_study.Numbers", "count": 3}
TINY = {"_target_": "tiny_study.Tiny"}


def test_a_sound_configuration_passes():
    schema.check(composed(study=TINY, data=NUMBERS))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"data": {**NUMBERS, "cuont": 1}}, "data has no key 'cuont'.*did you mean 'count'"),
        ({"data": {**NUMBERS, "_partail_": True}}, "did you mean '_partial_'"),
        ({"data": {**NUMBERS, "count": "???"}}, "data.count is missing"),
        ({"data": {"count": 3}}, "data to be a group with a `_target_`, got the keys count"),
        (
            {"data": {**NUMBERS, "root": {**NUMBERS, "rootfolder": 1}}},
            "data.root has no key 'rootfolder'.*takes count, root",
        ),
        ({"data": {**NUMBERS, "root": [{**NUMBERS, "rootfolder": 1}]}}, r"data.root\[0\] has no key 'rootfolder'"),
        ({"data": {**NUMBERS, "root": "${paths.dota}"}}, "data.root: .*paths.dota"),
        ({"data": {"_target_": "tiny_study.Numbrs"}}, "data._target_.*did you mean 'tiny_study.Numbers'"),
        ({"model": {"_target_": "torch.optim.Adam"}}, "model.params is missing: torch.optim.Adam needs it"),
        ({"model": {"_target_": "torch.optim.Adam", "_partial_": True, "lrr": 1}}, "did you mean 'lr'"),
        ({"data": {**NUMBERS, "count": "three"}}, "expected data.count to be a whole number, got 'three'"),
        ({"data": {**NUMBERS, "count": "${logger.mode}"}}, "expected data.count to be a whole number, got 'offline'"),
        ({"data": {**NUMBERS, "root": [1]}}, r"expected data.root to be text or null, got \[1\]"),
        ({"study": {**TINY, "scale": {**NUMBERS, "count": None}}}, "expected study.scale.count to be a whole number"),
        ({"study": TINY}, "this study needs the group 'data'"),
        ({"device": "cudda"}, "device to be one of auto, cpu, cuda, got 'cudda'.*did you mean 'cuda'"),
        ({"protocol": "publishd"}, "did you mean 'published'"),
        ({"logger": {"mode": "ofline"}}, "did you mean 'offline'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_told_with_the_nearest_name(groups, message):
    with pytest.raises(UserError, match=message):
        schema.check(composed(**groups))


def test_a_partial_may_lack_what_is_given_later():
    schema.check(composed(model={"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3}))


def test_the_origin_of_a_key_is_its_override_or_its_line(tmp_path):
    file = tmp_path / "numbers.yaml"
    file.write_text("_target_: tiny_study.Numbers\ncuont: 3\n")
    with pytest.raises(UserError, match=r"numbers.yaml, line 2\)"):
        schema.check(composed(data={**NUMBERS, "cuont": 3}), schema.Origin((), ((file, "data"),)))
    with pytest.raises(UserError, match=r"\(command line: \+data.cuont=3\)"):
        schema.check(composed(data={**NUMBERS, "cuont": 3}), schema.Origin(("+data.cuont=3",), ((file, "data"),)))


def composed_wrongly(*overrides):
    with pytest.raises(UserError) as raised:
        cli.compose_config([*overrides])
    return str(raised.value)


def test_a_target_taken_from_another_key_is_told_by_that_key():
    said = composed_wrongly("experiment=maas_flow", "backbone=module", "backbone.target=torch.nn.Lineer")
    assert said == (
        "backbone.target: 'torch.nn.Lineer' does not exist: did you mean 'torch.nn.Linear'? "
        "(command line: backbone.target=torch.nn.Lineer)"
    )
    said = composed_wrongly("experiment=maas_flow", "backbone=module", "backbone.target=nowhere.Net")
    assert said.startswith("backbone.target: 'nowhere.Net' does not exist: no package called 'nowhere'")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+data.clps=3", "data has no key 'clps' (command line: +data.clps=3): did you mean 'clips'?"),
        ("+data.sed=3", "data has no key 'sed' (command line: +data.sed=3): did you mean 'seed'?"),
        ("data.clips=ten", "expected data.clips to be a whole number or null, got 'ten'"),
        ("data.where=dog", "expected data.where to be {name: a list} or null, got 'dog'"),
    ],
)
def test_settings_that_readers_share_are_held_as_their_own_are(override, said):
    assert composed_wrongly("experiment=maas_decode", "data=esc50", override).startswith(said)


OWN = {
    "backbone/mine.yaml": "defaults:\n  - module\nlayers: [a]\ntarget: torch.nn.Lineer\n",
    "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /study: maas_flow\n"
    "  - override /data: folder\n"
    "  - override /backbone: yamnet\n  - override /model: factor_flow\nstudy:\n  decode:\n    folds: many\n",
    "study/mine.yaml": "defaults:\n  - maas_decode@decode\n  - few@decode\n  - _self_\n"
    "_target_: audiointerp.studies.maas_flow.MaasFlow\n",
    "study/few.yaml": "folds: many\n",
}


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        (["experiment=maas_flow", "backbone=mine"], "conf/backbone/mine.yaml, line 4"),
        (["experiment=mine", "data.root=."], "conf/experiment/mine.yaml, line 9"),
        (["experiment=maas_flow", "study=mine"], "conf/study/few.yaml, line 1"),
        (["experiment=maas_flow", "study=mine", "study.decode.folds=few"], "command line: study.decode.folds=few"),
        (["experiment=maas_flow", "data._target_=a.B", "data._target_=audiointerp.study.No"],
         "command line: data._target_=audiointerp.study.No"),
        (["experiment=maas_flow", "+trainer.callbacks={a: [{_target_: nowhere.Net}]}"],
         "command line: +trainer.callbacks={a: [{_target_: nowhere.Net}]}"),
    ],
)  # fmt: skip
def test_the_file_that_set_a_value_is_told_with_its_line(tmp_path, overrides, place):
    for name, text in OWN.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.raises(UserError) as raised:
        cli.compose_config(overrides, [tmp_path / "conf", cli.conf_dir()])
    assert str(raised.value).endswith(f"({place})") or f"({place}):" in str(raised.value), raised.value


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_binds(name):
    config = cli.compose_config([f"experiment={name}"])
    assert config.study is not None
    assert config.experiment == name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_misspelt_setting_of_every_experiment_fails(name):
    with pytest.raises(UserError, match="'zzz_misspelt'"):
        cli.compose_config([f"experiment={name}", "+study.zzz_misspelt=1"])


def test_every_experiment_says_its_command_and_what_it_is():
    for name, description in cli.experiments([cli.conf_dir()]).items():
        text = (cli.conf_dir() / "experiment" / f"{name}.yaml").read_text()
        assert f"python -m audiointerp experiment={name}" in text
        assert len(description) > 10, name


# What has no default, as the user has to say it.
SAID = {"module": ["backbone.target=torch.nn.Identity"], "huggingface": ["backbone.model=name/of-a-model"]}


@pytest.mark.parametrize("group", schema.BUILT_GROUPS)
def test_every_option_of_every_group_binds(group):
    from omegaconf.errors import OmegaConfBaseException

    for name in cli.options([cli.conf_dir()], group):
        with cli._composer([cli.conf_dir()]) as composer:
            node = composer([f"{group}={name}", *SAID.get(name, [])])[group]
            if "_target_" in node:
                try:
                    schema._check_node(node, group, schema.Origin())
                except OmegaConfBaseException as error:
                    pytest.fail(f"{group}={name}: {error}")
