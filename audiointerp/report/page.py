"""The page of a run: what a study says about itself, written to report.json and drawn from the run's files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from audiointerp.study import UserError, write_atomically

FORMAT = 1
"""Version of report.json; raised when an older page could no longer be read."""


@dataclass
class Page:
    """What a study tells its reader, collected while it runs.

    The page holds words and names of files; tables, figures and sounds stay in the run's folder and are read when the
    page is drawn, so that a report can be rebuilt anywhere without the data, the network or a GPU.

    Args:
        title: The study in a few words.
        question: The question that the run answers, one sentence.
    Example:
        >>> page = Page("Factors in YAMNet", "Which layer tells material from action?")
        >>> page.verdict("Material is read best from layer 9.")
        >>> page.section("What was compared", "Two factors, 14 layers.")
        >>> [block["kind"] for block in page.blocks]
        ['section']
    """

    title: str
    question: str
    verdicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    alts: dict[str, str] = field(default_factory=dict)

    def verdict(self, text: str) -> None:
        """Adds a paragraph to the verdict, which opens the page in plain words."""
        self.verdicts.append(str(text))

    def warn(self, text: str) -> None:
        """Says something loudly above the verdict: a stand-in network, untrained weights, too few groups."""
        if str(text) not in self.warnings:
            self.warnings.append(str(text))

    def section(self, title: str, *paragraphs: str) -> None:
        """Starts a section; what is added next belongs to it."""
        self.blocks.append({"kind": "section", "title": str(title), "paragraphs": [str(text) for text in paragraphs]})

    def figure(self, name: str, caption: str) -> None:
        """Shows figures/NAME.svg or .png.

        Args:
            name: The figure's file name without its ending.
            caption: What the figure shows, with what its bands or bars are.
        """
        self.blocks.append({"kind": "figure", "name": inside(name), "caption": str(caption)})

    def describe(self, name: str, alt: str) -> None:
        """Remembers what figure `name` shows, for who cannot see it; called where the figure is saved."""
        self.alts[inside(name)] = str(alt)

    def table(
        self,
        name: str,
        caption: str,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        query: str | None = None,
        folded: bool = True,
    ) -> None:
        """Shows tables/NAME.csv, sortable.

        Args:
            name: The table's file name without its ending.
            caption: What a row is and what was measured.
            columns: The columns to show, in order; a mapping also says what to call them.
            query: Rows to show, in the language of `pandas.DataFrame.query`.
            folded: Whether the reader has to open it first.
        """
        shown = dict(columns) if isinstance(columns, Mapping) else None if columns is None else list(columns)
        block = {"kind": "table", "name": inside(name), "caption": str(caption)}
        self.blocks.append({**block, "columns": shown, "query": query, "folded": bool(folded)})

    def listen(self, title: str, cells: Sequence[Mapping[str, Any]], *, caption: str = "") -> None:
        """Shows players in a grid of rows and columns.

        Args:
            title: What can be heard here.
            cells: One mapping per sound: `row` and `column` (its place; several sounds may share one), `audio`
                (a WAV file inside the run's folder, such as "audio/0.wav"), `caption` (what it plays) and optionally
                `lines`. A line that ends in a score between 0 and 1, such as "Speech 0.93", is drawn as a bar: the
                network's top classes. `scores`, a mapping or pairs of class and score, does the same explicitly.
            caption: A sentence on how to listen, optional.
        Raises:
            UserError: If a cell lacks its sound or names a file outside of the run's folder.
        """
        self.blocks.append({
            "kind": "listen",
            "title": str(title),
            "caption": str(caption),
            "cells": [_cell(cell) for cell in cells],
        })  # fmt: skip

    def cloud(
        self,
        title: str,
        table: str,
        views: Mapping[str, Sequence[str]],
        colours: Sequence[str],
        *,
        says: Sequence[str] = (),
        audio: str = "audio",
        caption: str = "",
    ) -> None:
        """Shows tables/TABLE.csv as dots that can be turned, coloured and, where they have a sound, played.

        Args:
            title: What the dots are.
            table: The table's file name without its ending, one row per dot.
            views: Names of views to two or three columns of coordinates; a view of three can be turned.
            colours: Columns that the dots may be coloured by; text is classes, numbers are a scale.
            says: Columns that are said of a dot.
            audio: Column with a WAV file inside the run's folder, empty for a dot without a sound.
            caption: A sentence on what the views are.
        Raises:
            UserError: If a view has not two or three columns, or there is no view or colour.
        """
        wrong = [name for name, columns in views.items() if len(columns) not in (2, 3)]
        if wrong or not views or not colours:
            raise UserError(f"expected views of two or three columns, and colours, got {dict(views)}, {list(colours)}")
        self.blocks.append({
            "kind": "cloud",
            "title": str(title),
            "name": inside(table),
            "views": {str(name): list(columns) for name, columns in views.items()},
            "colours": list(colours),
            "says": list(says),
            "audio": str(audio),
            "caption": str(caption),
        })  # fmt: skip

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes report.json into `folder`, whole or not at all, and returns its path."""
        content = {
            "format": FORMAT,
            "title": str(self.title),
            "question": str(self.question),
            "verdict": self.verdicts,
            "warnings": self.warnings,
            "blocks": self.blocks,
            "alt": self.alts,
        }
        return write_atomically(Path(folder) / "report.json", json.dumps(content, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Page:
        """Reads report.json of a run's folder.

        Raises:
            UserError: If there is none, or one that this version cannot read.
        """
        path = Path(folder) / "report.json"
        if not path.is_file():
            raise UserError(
                f"expected the folder of a run, with report.json in it, got {folder}: give the folder that the run "
                "printed at its start, such as outputs/EXPERIMENT/DATE_TIME-HASH"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"expected JSON in {path}, got something else ({error}): run the study again") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise UserError(f"expected report.json of format {FORMAT}, got {found}: use the version that wrote {path}")
        return cls(
            title=content["title"],
            question=content["question"],
            verdicts=list(content["verdict"]),
            warnings=list(content["warnings"]),
            blocks=list(content["blocks"]),
            alts=dict(content["alt"]),
        )

    def render(self, folder: str | os.PathLike[str]) -> Path:
        """Saves the page into `folder` and draws report.html there; see `render`."""
        self.save(folder)
        return render(folder)


def render(folder: str | os.PathLike[str], *, limit_mb: float = 25.0) -> Path:
    """Draws report.html from the files of a run's folder: one page that needs no network.

    Args:
        folder: Holds report.json, results.json, tables/, figures/ and audio/; it may have been moved.
        limit_mb: The page stays below this size [10^6 bytes]; players that do not fit are left out from the end, which
            the page says.
    Returns:
        The path of report.html.
    Raises:
        UserError: If the folder is no run's folder, or a table's query cannot be answered.
    """
    from audiointerp.report import html

    page = Page.load(folder)
    text = html.draw(page, Path(folder), limit_bytes=int(limit_mb * 1e6))
    return write_atomically(Path(folder) / "report.html", text)


def inside(name: str) -> str:
    """A path inside the run's folder, with "/" between its parts.

    Raises:
        UserError: If it is absolute or leads out of the folder.
    """
    path = PurePosixPath(str(name).replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"expected a file inside the run's folder, such as audio/0.wav, got {name!r}: save it there")
    return str(path)


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in ("row", "column", "audio", "caption") if key not in cell]
    unknown = [key for key in cell if key not in ("row", "column", "audio", "caption", "lines", "scores")]
    if missing or unknown:
        raise UserError(
            "expected a cell with row, column, audio, caption and optionally lines and scores, got "
            f"{sorted(map(str, cell))}: " + (f"add {', '.join(missing)}" if missing else f"remove {', '.join(unknown)}")
        )
    scores = cell.get("scores") or []
    pairs = scores.items() if isinstance(scores, Mapping) else scores
    return {
        "row": str(cell["row"]),
        "column": str(cell["column"]),
        "audio": inside(cell["audio"]),
        "caption": str(cell["caption"]),
        "lines": [str(line) for line in cell.get("lines") or []],
        "scores": [[str(name), float(score)] for name, score in pairs],
    }
