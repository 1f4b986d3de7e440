import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from audiointerp import audio
from audiointerp.report import __main__ as command
from audiointerp.report.page import Page, render
from audiointerp.study import UserError


class Outline(HTMLParser):
    """What a reader of the page meets: tags with their attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def drawn(folder, **options):
    return Outline(render(folder, **options).read_text(encoding="utf-8"))


def test_the_page_is_drawn_from_files_alone_wherever_they_are(run, tmp_path):
    first = render(run).read_bytes()
    moved = tmp_path / "else where" / "moved"
    shutil.move(run, moved)
    (moved / "report.html").unlink()
    assert render(moved).read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_a_saved_page_is_the_same_page(tmp_path, make_run):
    page = make_run(tmp_path / "run")
    assert Page.load(tmp_path / "run") == page


def test_nothing_is_fetched(run):
    page = drawn(run)
    links = [a[key] for _, a in page.tags for key in ("src", "href") if a.get(key)]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_warnings_stand_above_the_verdict_and_that_above_all_else(run):
    text = "".join(drawn(run).texts)
    places = [
        text.index(words) for words in ("Stand-in network", "Material is read best", "What was compared", "Tones")
    ]
    assert places == sorted(places)


def test_hostile_words_are_shown_as_text(run, hostile):
    page = drawn(run)
    assert len(page.all("script")) == 1
    text = "".join(page.texts)
    assert text.count(hostile) >= 6
    assert "49" not in "".join(t for t in page.texts if "7 * 7" in t)
    assert any(image["alt"] == f"Accuracy by layer {hostile}" for image in page.all("img"))
    assert all(hostile in a["aria-label"] for a in page.all("audio"))


def test_every_player_says_what_it_plays_and_every_figure_what_it_shows(run):
    page = drawn(run)
    assert [a["aria-label"].split(" <")[0] for a in page.all("audio")] == ["tone 0", "tone 1", "tone 2"]
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("h1")) == 1


def test_scores_are_bars_and_other_lines_are_words(run):
    page = drawn(run)
    widths = [a["style"] for a in page.all("li")]
    assert widths == ["--score: 93.0%", "--score: 21.0%"] * 3
    assert "".join(page.texts).count("one take, 3 s") == 3


def test_tables_show_three_digits_and_keep_the_full_value(run):
    cells = {a["title"] for a in drawn(run).all("td") if "title" in a}
    accuracy = pd.read_csv(run / "tables" / "decoding.csv")["accuracy"].iloc[0]
    assert repr(float(accuracy)) in cells
    text = (run / "report.html").read_text(encoding="utf-8")
    assert f">{accuracy:.3f}<" in text and ">2.50 × 10⁻⁶<" in text and 'title="not measured"' in text


def test_a_query_chooses_rows(run):
    page = Page.load(run)
    page.table("decoding", "Chosen", query="factor == 'action' and protocol == 'published'", folded=False)
    text = page.render(run).read_text(encoding="utf-8")
    assert "5 rows; full precision in tables/decoding.csv" in text


@pytest.mark.parametrize("query", ["nothing > 1", "factor ==", "@pd.read_csv('x')", "layer.__class__"])
def test_a_wrong_query_is_told(run, query):
    page = Page.load(run)
    page.table("decoding", "Chosen", query=query)
    with pytest.raises(UserError, match="query"):
        page.render(run)


def test_a_missing_column_is_told(run):
    page = Page.load(run)
    page.table("decoding", "Chosen", columns=["layer", "colour"])
    with pytest.raises(UserError, match="colour"):
        page.render(run)


def test_players_are_dropped_from_the_end_and_the_page_says_so(tmp_path, make_run):
    make_run(tmp_path / "run", n_sounds=6, seconds=12.0)
    audio.write(tmp_path / "run" / "audio" / "5.wav", np.full(400, 0.1), 16000)  # would fit, but comes last
    whole = render(tmp_path / "run").stat().st_size
    limit = 0.8 * whole / 1e6
    page = drawn(tmp_path / "run", limit_mb=limit)
    kept = [a["aria-label"].split(" <")[0] for a in page.all("audio")]
    assert 0 < len(kept) < 6 and kept == [f"tone {i}" for i in range(len(kept))]
    assert f"{6 - len(kept)} of 6 players are left out" in "".join(page.texts)
    assert (tmp_path / "run" / "report.html").stat().st_size <= limit * 1e6


def test_missing_files_are_said_and_the_rest_is_drawn(run):
    (run / "audio" / "1.wav").unlink()
    (run / "figures" / "decoding.svg").unlink()
    (run / "figures" / "decoding.png").unlink()
    (run / "tables" / "odd.csv").unlink()
    page = drawn(run)
    text = "".join(page.texts)
    assert len(page.all("audio")) == 2
    assert "figures/decoding is not in this run's folder" in text
    assert "tables/odd.csv is not in this run's folder" in text and "there is none" in text


@pytest.mark.parametrize(("status", "said"), [("failed", "did not come to its end"), (None, "has not finished")])
def test_an_unfinished_run_is_said_loudly(run, status, said):
    if status is None:
        (run / "results.json").write_text('{"status": "compl')
    else:
        results = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps({**results, "status": status}))
    text = "".join(drawn(run).texts)
    assert text.index(said) < text.index("Material is read best")


def test_provenance_is_folded(run):
    text = render(run).read_text(encoding="utf-8")
    folded = re.findall(r"<details>\s*<summary><span>([^<]*)", text)
    assert {"Configuration", "Versions", "Files left out", "Seconds and memory by step"} <= set(folded)
    assert "silent" in text and "1 min 15 s" in text


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.wav", "audio/../../secret.wav", "C:/secret.wav", ""])
def test_sounds_outside_of_the_run_are_refused(path):
    with pytest.raises(UserError, match="inside the run's folder"):
        Page("a", "b").listen("c", [{"row": "r", "column": "c", "audio": path, "caption": "x"}])


def test_a_record_that_was_tampered_with_reads_nothing_outside(run):
    text = (run / "report.json").read_text(encoding="utf-8").replace("audio/0.wav", "../0.wav")
    (run / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="inside the run's folder"):
        render(run)


@pytest.mark.parametrize(
    "cell", [{"row": "r"}, {"row": "", "column": "", "audio": "a.wav", "caption": "", "colour": 1}]
)
def test_a_wrong_cell_is_told(cell):
    with pytest.raises(UserError, match="add column|remove colour"):
        Page("a", "b").listen("c", [cell])


@pytest.mark.parametrize(("content", "said"), [(None, "report.json"), ("{", "JSON"), ('{"format": 99}', "format 1")])
def test_what_is_no_run_is_told_and_leaves_nothing(tmp_path, content, said):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said):
        render(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_draws_the_page(run, capsys):
    assert command.main([str(run)]) == 0
    assert (run / "report.html").is_file() and "report.html" in capsys.readouterr().out


def test_the_command_tells_a_mistake_without_a_traceback(tmp_path, capsys):
    assert command.main([str(tmp_path)]) == 2
    assert "expected the folder of a run" in capsys.readouterr().err


def test_importing_the_page_is_light():
    code = (
        "import sys, audiointerp.report.page; "
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'wandb', 'jinja2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
