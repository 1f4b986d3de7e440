"""The documentation builds in one command, whole: pages, reference from docstrings, figures, mathematics, links."""

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

CONFIG = REPOSITORY / "docs" / "build" / "mkdocs.yml"

pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("pages", REPOSITORY / "docs" / "build" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(CONFIG), "-d", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_page_module_and_experiment_is_on_the_site(site, pages):
    docs = {file.stem for file in (REPOSITORY / "docs").glob("*.md")}
    assert docs <= {file.stem for file in site.glob("*.html")}
    for readme in (REPOSITORY / "experiments").glob("*/README.md"):
        assert (site / "experiments" / f"{readme.parent.name}.html").is_file()
    for room, modules in pages.rooms().items():
        text = (site / "reference" / f"{room}.html").read_text(encoding="utf-8")
        for module in modules:
            assert f'id="{module}"' in text, module
    extraction = (site / "reference" / "activations.html").read_text(encoding="utf-8")
    assert "Runs the network over all segments once" in extraction and "AUDIOINTERP_SHARD" in extraction
    readers = (site / "reference" / "data.html").read_text(encoding="utf-8")
    esc50 = readers[readers.index('id="audiointerp.data.esc50.ESC50"') :]
    assert 'href="#audiointerp.data.audio_files.Reading"' in esc50[: esc50.index('id="audiointerp.data.events"')]
    assert "Decoded waveforms stay in memory" in readers


@pytest.mark.slow
def test_mathematics_and_figures_are_drawn_and_nothing_is_fetched(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "arithmatex" not in text and ":math:" not in text, page.name
        fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', text)
        assert [url for url in fetched if "icon" not in url] == [], page.name
    assert "<math" in (site / "maas_flow.html").read_text(encoding="utf-8")
    walkthrough = (site / "walkthrough.html").read_text(encoding="utf-8")
    shown = re.findall(r'src="(figures/[^"]+)"', walkthrough)
    assert len(shown) == 5
    for name in shown:
        assert (site / name).read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_links_out_of_the_docs_are_sent_to_where_the_site_has_them(pages):
    import doctest

    found = doctest.testmod(pages)
    assert found.attempted == 3 and found.failed == 0
    code = "```sh\n[a](../experiments/strf/README.md)\n```\n"
    assert pages.relinked(code, "howto.md") == code
    assert pages.relinked("[a](howto.md#x) [b](https://example.org)", "index.md") == (
        "[a](howto.md#x) [b](https://example.org)"
    )


def test_every_page_has_its_place_in_the_navigation():
    text = CONFIG.read_text(encoding="utf-8")
    named = set(re.findall(r": (\w+\.md)$", text, re.MULTILINE))
    assert named == {file.name for file in (REPOSITORY / "docs").glob("*.md")}


def test_the_command_is_said_where_one_looks():
    said = "mkdocs build -f docs/build/mkdocs.yml"
    for file in (REPOSITORY / "README.md", CONFIG):
        assert said in file.read_text(encoding="utf-8"), file
