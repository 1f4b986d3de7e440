"""What README and docs say is so: Python runs as it stands, commands compose, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from audiointerp import cli
from tests.conftest import REPOSITORY
from tests.studies.small_world import write_sounds, write_weights

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
READMES = sorted((REPOSITORY / "experiments").glob("*/README.md"))
MODULES = {"audiointerp", "audiointerp.report", "audiointerp.collect", "audiointerp.sweep"}


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, as they stand."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Every `python -m audiointerp...` of shell blocks and of inline code, in words, without comments."""
    lines = [line for block in blocks(text, "(?:sh|bash|shell|console)") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", without_blocks(text))
    found = []
    for line in lines:
        for part in re.split(r"&&|;|\|", line.split(" #")[0]):
            words = shlex.split(part) if "python" in part or "torchrun" in part else []
            starts = [
                at
                for at, word in enumerate(words)
                if word.split(".")[0] == "audiointerp" and at and words[at - 1] == "-m"
            ]
            found += [words[at:] for at in starts[:1]]
    return found


def links(text: str) -> list[str]:
    """Targets of Markdown links and pictures that lie in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks(text))
    return [target for target in targets if not re.match(r"[a-z]+:", target) and not target.startswith("#")]


def parametrised(items: list[tuple[Path, object]]):
    return [pytest.param(page, item, id=f"{name_of(page)}-{index}") for index, (page, item) in enumerate(items)]


def test_the_readers_of_this_test_find_what_is_there():
    text = "`python -m audiointerp -m experiment=a b=1,2`\n\n"
    text += "```sh\npip install . && python -m audiointerp x=1  # so\n```\n"
    text += "```sh\nRANK=1 srun -n 2 python -m audiointerp.sweep x\n```\n"
    text += "```python\nprint(1)\n```\n[here](docs/howto.md) [there](https://example.org) [part](#part)\n"
    assert commands(text) == [
        ["audiointerp", "x=1"],
        ["audiointerp.sweep", "x"],
        ["audiointerp", "-m", "experiment=a", "b=1,2"],
    ]
    assert blocks(text, "python") == ["print(1)\n"] and links(text) == ["docs/howto.md"]


PYTHON = [(page, block) for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), "python")]
COMMANDS = [(page, words) for page in [*PAGES, *READMES] for words in commands(page.read_text(encoding="utf-8"))]


def test_the_readme_shows_python_and_commands():
    readme = REPOSITORY / "README.md"
    assert readme in {page for page, _ in PYTHON}
    assert sum(page == readme for page, _ in COMMANDS) >= 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as the pages suppose it: sounds of one's own, and weights."""
    folder = tmp_path_factory.mktemp("reader")
    write_sounds(folder / "sounds")
    write_weights(folder / "weights")
    return folder


@pytest.mark.parametrize("page", sorted({page for page, _ in PYTHON}), ids=name_of)
def test_python_runs_as_it_stands_block_after_block(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    namespace = {"__name__": "__main__"}
    for block in [block for other, block in PYTHON if other == page]:
        exec(compile(block, name_of(page), "exec"), namespace)
        assert capsys.readouterr().out.strip() or "print(" not in block


@pytest.mark.parametrize(("page", "words"), parametrised(COMMANDS))
def test_commands_compose(page, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module, *arguments = words
    assert module in MODULES, words
    if module != "audiointerp" or "--help" in arguments:
        return
    sweep = bool({"-m", "--multirun"} & set(arguments))
    overrides = [word for word in arguments if not word.startswith("-")]
    cli._check_before(overrides, [cli.conf_dir()], sweep=sweep)
    if not sweep and "experiment=NAME" not in overrides:
        assert f"experiment={cli.compose_config(overrides).experiment}" in overrides


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=name_of)
def test_links_lead_somewhere(page):
    drawn = re.findall(r'^    "(\w+)": ', (REPOSITORY / "docs" / "build" / "pages.py").read_text("utf-8"), re.MULTILINE)
    targets = set(links(page.read_text(encoding="utf-8"))) - {f"figures/{name}.svg" for name in drawn}  # by the site
    assert [target for target in targets if not (page.parent / target.split("#")[0]).exists()] == []


WRAPPED = [
    cli.compose_config(["experiment=maas_decode", "backbone=module", "backbone.target=torch.nn.Identity"]),
    cli.compose_config(["experiment=maas_decode", "backbone=huggingface", "backbone.model=some/model"]),
]


def keys_of(node, path: str) -> set[str]:
    """All dotted keys below a node of a configuration."""
    found = set()
    for key in node:
        found.add(f"{path}.{key}")
        if OmegaConf.is_dict(node._get_node(key)):
            found |= keys_of(node[key], f"{path}.{key}")
    return found


def test_settings_that_the_pages_name_exist():
    """`study.KEY`, `data.KEY` and so on in inline code are keys of a shipped configuration."""
    groups = ("study", "data", "backbone", "model", "trainer", "paths", "logger")
    known: set[str] = set()
    for experiment in cli.experiments([cli.conf_dir()]):
        configs = [cli.compose_config([f"experiment={experiment}"])]
        if configs[0].backbone is not None:  # sounds of one's own take their rate from it
            configs.append(cli.compose_config([f"experiment={experiment}", "data=folder"]))
        for config in configs + WRAPPED:
            known |= {key for group in groups if config[group] is not None for key in keys_of(config[group], group)}
    for page in PAGES:
        text = without_blocks(page.read_text(encoding="utf-8"))
        named = re.findall(rf"`((?:{'|'.join(groups)})\.[a-z_]+(?:\.[a-z_]+)*)", text)
        assert set(named) <= known, f"{name_of(page)}: {sorted(set(named) - known)}"


@pytest.mark.parametrize("page", READMES, ids=name_of)
def test_results_stand_between_their_markers(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- (\w+):begin -->", text) or ["results"]:
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        assert text.count(begin) == text.count(end) == 1 and text.index(begin) < text.index(end)
