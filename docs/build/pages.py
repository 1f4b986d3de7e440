"""What the site has beside the pages of docs/: results, the reference, figures of recorded tables, and mathematics."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGE = REPOSITORY / "audiointerp"
DECODED = "experiments/maas_decode/tables/fsdd/layer_decoding.csv"
EDITED = "experiments/maas_flow/tables/fsdd"


def on_files(files: Files, config: Any) -> Files:
    """Adds the experiments' pages, a page of reference per room of the package, and the walkthrough's figures."""
    for readme in sorted((REPOSITORY / "experiments").glob("*/README.md")):
        _add(files, config, f"experiments/{readme.parent.name}.md", readme.read_text(encoding="utf-8"))
    for room, modules in rooms().items():
        _add(files, config, f"reference/{room}.md", reference_page(room, modules))
    for name, draw in FIGURES.items():
        _add(files, config, f"figures/{name}.svg", draw())
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Sends links that lead out of docs/ to where the site has what they mean, or to the file's name."""
    return relinked(markdown, page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Turns TeX into MathML, which browsers draw without a script."""
    html = re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', lambda m: mathml(m[2]), html, flags=re.DOTALL)
    return re.sub(r":math:\s*<code>(.*?)</code>", lambda m: mathml(m[1]), html, flags=re.DOTALL)


def _add(files: Files, config: Any, uri: str, content: str | bytes) -> None:
    files.append(File.generated(config, uri, content=content))


def rooms() -> dict[str, list[str]]:
    """Rooms of the package, those that open it first, to the dotted names of their modules."""
    found: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        if parts[-1] in ("__init__", "__main__"):
            continue
        room = parts[1] if len(parts) > 2 else "audiointerp"
        found.setdefault(room, []).append(".".join(parts))
    return dict(sorted(found.items(), key=lambda item: (item[0] != "audiointerp", item[0])))


def reference_page(room: str, modules: list[str]) -> str:
    """Markdown of a page of reference, filled from docstrings by mkdocstrings."""
    title = "audiointerp" if room == "audiointerp" else f"audiointerp.{room}"
    return "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)]) + "\n"


def relinked(markdown: str, uri: str) -> str:
    """Rewrites links between docs/, experiments/ and the rest of the repository for the site.

    Example:
        >>> relinked("[a](../experiments/strf/README.md) [b](../pyproject.toml)", "howto.md")
        '[a](experiments/strf.md) b (`pyproject.toml`)'
        >>> relinked("[c](../../docs/strf.md) [d](tables)", "experiments/strf.md")
        '[c](../strf.md) d (`experiments/strf/tables`)'
    """
    inside_experiments = uri.startswith("experiments/")
    place = Path(uri).with_suffix("") if inside_experiments else Path("docs")
    up = "../" if inside_experiments else ""

    def rewrite(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if re.match(r"[a-z]+:|#", target) or (not inside_experiments and not target.startswith("..")):
            return match[0]
        path, _, part = target.partition("#")
        meant = _resolve(place / path)
        anchor = f"#{part}" if part else ""
        if re.fullmatch(r"experiments/\w+/README\.md", meant):
            return f"[{words}]({up}experiments/{meant.split('/')[1]}.md{anchor})"
        if meant.startswith("docs/") and meant.endswith(".md"):
            return f"[{words}]({up}{meant.removeprefix('docs/')}{anchor})"
        return f"{words} (`{meant}`)"

    blocks = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        block if block.startswith("```") else re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", rewrite, block)
        for block in blocks
    )


def _resolve(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def mathml(tex: str) -> str:
    r"""Turns TeX between `\(` and `\)` or `\[` and `\]`, or bare, into MathML.

    Example:
        >>> mathml(r"\(a_d\)")[:6], 'display="block"' in mathml(r"\[a\]")
        ('<math ', True)
    """
    import html

    tex = html.unescape(tex).strip()
    display = "block" if tex.startswith(r"\[") else "inline"
    if tex[:2] in (r"\(", r"\["):
        tex = tex[2:-2]
    return convert(tex.strip(), display=display)


def _svg(figure: Any) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
    return drawn.getvalue()


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(REPOSITORY / name, keep_default_na=False, na_values=[""])


def decoding(factor: str) -> bytes:
    """Accuracy by layer, as the report draws it."""
    from audiointerp.report import decoding_figures

    return _svg(
        decoding_figures.layer_curves(
            _read(DECODED), factor=factor, probe="knn", title=f"How well the {factor} is read, layer by layer"
        )
    )


def leakage() -> bytes:
    """The published protocol beside the corrected one."""
    from audiointerp.report import decoding_figures

    frame = _read(DECODED)
    frame = frame[(frame["network"] == "trained") & (frame["probe"] == "knn")]
    return _svg(decoding_figures.leakage(frame, title="What random folds add to the accuracy", network="trained"))


def effects() -> bytes:
    """Effects of edits of the trained network towards the other class, all flows together."""
    from audiointerp.report import edit_figures

    table = _read(f"{EDITED}/transfer.csv")
    own = table[(table["network"] == "trained") & (table["flow_seed"].astype(str) == "all")]
    own = own[(own["protocol"] == "corrected") & (own["reference"] == "Q^") & (own["moved_to"] == "Q^")]
    return _svg(edit_figures.effect_bars(own, title="How far each edit moves the output towards the other class"))


def doses() -> bytes:
    """Strength of an edit against its effect."""
    from audiointerp.report import edit_figures

    return _svg(
        edit_figures.dose_response(
            _read(f"{EDITED}/dose_response.csv"),
            title="More of the edit, more of the effect?",
            ylabel="nearer to Q^ [distance between logits]",
        )
    )


FIGURES: dict[str, Callable[[], bytes]] = {
    "decoding_digit": lambda: decoding("digit"),
    "decoding_speaker": lambda: decoding("speaker"),
    "leakage": leakage,
    "effects": effects,
    "doses": doses,
}
