"""Any folder of sounds that a CSV file describes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.data.base import nearest
from audiointerp.study import UserError


class Folder(AudioFiles):
    """Sounds listed in a CSV file: a column of paths, and a column per factor.

    A column in which each value is a number is a numeric factor, unless it is named in `categorical`. A column `group`
    tells what was recorded together; without one each file is its own group, which the note says, since takes of
    one object would then lie on both sides of a split.

    Args:
        root: Folder that holds the CSV file, and that its paths are relative to.
        index: Name of the CSV file.
        factors: Names of columns; None for all columns that have several values (text: fewer than there are rows).
        path_column: Column of the paths.
        group_column: Column of the groups; None for `group` where there is one.
        fold_column: Column of the corpus' own folds; None for `fold` where there is one.
        categorical: Columns of numbers that are names of classes.
        normalise: Whether each file is divided by its largest absolute sample.
        name: Name for headings; None for the folder's.
        note: A sentence for the report, added to the one on groups.
        attribution: Source and licence, for the report.
        **reading: As in `Reading`.
    Raises:
        UserError: If the folder, the CSV file or one of the named columns is missing, the file cannot be read as CSV,
            `start_s` or `stop_s` hold something else than numbers, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        index: str = "index.csv",
        *,
        factors: Sequence[str] | None = None,
        path_column: str = "path",
        group_column: str | None = None,
        fold_column: str | None = None,
        categorical: Sequence[str] = (),
        normalise: bool = False,
        name: str | None = None,
        note: str = "",
        attribution: str = "",
        **reading: Unpack[Reading],
    ) -> None:
        folder = data_folder(root, name or "the sounds")
        source = read_table(folder / index)
        for role, column in {"path": path_column, "group": group_column, "fold": fold_column}.items():
            if column is not None and column not in source:
                raise UserError(
                    f"expected a column {column!r} ({role}) in {folder / index}: {nearest(column, source.columns)}: "
                    f"set data.{role}_column"
                )
        group_column = group_column or ("group" if "group" in source else None)
        fold_column = fold_column or ("fold" if "fold" in source else None)
        table = pd.DataFrame({c: source[c] if c in categorical else _numbers(source[c]) for c in source})
        for column in {"start_s", "stop_s"} & set(table):
            if not pd.api.types.is_numeric_dtype(table[column]):
                raise UserError(f"expected seconds in column {column!r} of {folder / index}, found text in it")
        table["path"] = source[path_column].where(source[path_column] != "", "(empty path)")
        table["group"] = source[group_column] if group_column else table["path"]
        if fold_column:
            table["fold"] = source[fold_column]
        notes = [] if group_column else ["No column says what was recorded together: each file is its own group."]
        super().__init__(
            folder,
            table,
            factors=_varying(table, {path_column, group_column, fold_column}) if factors is None else factors,
            normalise=normalise,
            name=name or folder.resolve().name,
            note=" ".join([*notes, note]).strip(),
            attribution=attribution,
            **reading,
        )


def read_table(file: os.PathLike, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV file with all cells as text, missing ones empty.

    Args:
        file: The file.
        columns: Names of columns that it has to have.
    Raises:
        UserError: If it is missing, has no rows or not all of the columns, or cannot be read as CSV in UTF-8.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError as error:
        raise UserError(
            f"expected a table of the sounds at {file}, there is none: write one (columns path, group, and one per "
            "factor), or set data.index"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"expected CSV in UTF-8 with a header in {file}, it cannot be read: {error}") from error
    if table.empty:
        raise UserError(f"expected one row per sound in {file}, it has none")
    table.columns = [str(column).strip() for column in table.columns]
    for column in columns:
        if column not in table:
            raise UserError(f"expected a column {column!r} in {file}: {nearest(column, table.columns)}")
    return table


def _numbers(column: pd.Series) -> pd.Series:
    """The column as numbers where all its filled cells are; empty ones are then missing."""
    filled = column[column != ""]
    try:
        return pd.to_numeric(filled).reindex(column.index) if len(filled) else column
    except ValueError:
        return column


def _varying(table: pd.DataFrame, leave: set) -> list[str]:
    columns = [c for c in table.columns if c not in {"path", "group", "fold", "start_s", "stop_s"} | leave]
    text = {c: not pd.api.types.is_numeric_dtype(table[c]) for c in columns}
    varying = [c for c in columns if 1 < table[c].nunique() and not (text[c] and table[c].nunique() == len(table))]
    if not varying:
        raise UserError(f"expected a column with several classes to serve as a factor, got {columns}: set data.factors")
    return varying
