"""Every figure holds what is in its table, and says what is missing in it."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest

from audiointerp.report import class_figures, decoding_figures, edit_figures, palette
from audiointerp.report.canvas import number
from audiointerp.report.labels import spread
from audiointerp.study import UserError


def words(figure):
    texts = [
        text for ax in figure.axes for text in (*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label)
    ]
    return [text.get_text() for text in (*texts, *figure.texts)] + [figure.get_suptitle(), figure.get_supxlabel()]


def overlapping(figure, texts):
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def saved(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=40)
    return stream.tell()


def effects():
    rows = []
    for factor in ("material", "action"):
        for edit, effect in (("flow", 0.62), ("class-mean shift", 0.58), ("random direction", 0.02), ("no-op", 0.0)):
            rows.append({
                "factor": factor, "edit": edit, "d_z": effect, "ci_low": effect - 0.1, "ci_high": effect + 0.1,
                "interval": "cluster bootstrap", "p_corrected": 0.001 if effect > 0.1 else 0.7,
            })  # fmt: skip
    return pd.DataFrame(rows)


def transfer():
    rows = []
    for reference, values in (("P^", (0.5, 0.3, 0.7)), ("Q^", (0.6, 0.6, 0.4))):
        for edit, value, p in zip(
            ("unedited", "moved to P^", "moved to Q^"), values, (np.nan, 0.001, 0.2), strict=True
        ):
            rows.append({"factor": "material", "reference": reference, "edit": edit, "distance": value,
                         "ci_low": value - 0.05, "ci_high": value + 0.05, "p_corrected": p})  # fmt: skip
    return pd.DataFrame(rows)


def test_curves_draw_what_is_in_the_table(decoding_table):
    figure = decoding_figures.layer_curves(
        decoding_table, factor="material", title="It rises", probe="knn", best="layer3"
    )
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 5]
    rows = decoding_table[(decoding_table["factor"] == "material") & (decoding_table["layer"] != "duration and level")]
    expected = sorted(tuple(g["accuracy"]) for _, g in rows.groupby(["network", "protocol", "seed"], dropna=False))
    assert sorted(tuple(line.get_ydata()) for line in lines) == expected
    assert len(expected) == 5


def test_curves_show_chance_controls_rivals_and_the_chosen_layer(decoding_table):
    figure = decoding_figures.layer_curves(
        decoding_table, factor="material", title="It rises", probe="knn", best="layer3"
    )
    said = words(figure)
    labels = ["chance", "duration and level only", "stand-in, corrected", "stand-in, published"]
    for expected in (*labels, "untrained, corrected, 3 seeds", "bands: 95 % intervals (cluster bootstrap)", "It rises"):
        assert expected in said
    best = decoding_table.query("factor == 'material' and network == 'standin' and protocol == 'corrected'").iloc[2]
    assert f"chosen: layer 3, {number(best['accuracy'])} [" in " ".join(said)
    flat = [line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert pytest.approx(1 / 6) in flat and pytest.approx(1 / 6 + 0.1) in flat


def test_labels_at_lines_never_overlap(decoding_table):
    close = decoding_table.assign(accuracy=0.5 + 0.001 * np.arange(len(decoding_table)) / len(decoding_table))
    figure = decoding_figures.layer_curves(close, factor="material", title="All alike", probe="knn")
    labels = [text for text in figure.axes[0].texts if text.get_text()]
    assert len(labels) == 5
    assert overlapping(figure, labels) == []


def test_a_curve_without_intervals_says_so(decoding_table):
    bare = decoding_table.drop(columns=["ci_low", "ci_high", "interval"])
    assert "no intervals" in words(decoding_figures.layer_curves(bare, factor="action", title="None"))
    few = decoding_figures.layer_curves(bare.assign(n_groups=4), factor="action", title="Few groups")
    assert "no intervals: too few groups" in words(few)


def test_leakage_tells_the_gap(decoding_table):
    figure = decoding_figures.leakage(decoding_table, title="The published protocol leaks", probe="knn")
    means = decoding_table.query("network == 'standin' and factor == 'material'").groupby("protocol")["accuracy"].mean()
    gap = means["published"] - means["corrected"]
    assert f"material: gap +{number(gap)} on average" in words(figure)
    assert len(figure.axes) == 2


def test_leakage_needs_both_protocols(decoding_table):
    with pytest.raises(UserError, match="published"):
        decoding_figures.leakage(decoding_table.query("protocol == 'corrected'"), title="Nothing")


def test_effect_bars_are_as_long_as_the_effects():
    figure = edit_figures.effect_bars(effects(), title="The flow moves the output")
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.62, 0.58, 0.02, 0.0]
    said = words(figure)
    assert ".62 [.52, .72] *" in said and ".02 [−.08, .12]" in said
    colours = [bar.get_alpha() for bar in figure.axes[0].patches]
    assert colours[0] > colours[2] == colours[3]


def test_dose_response_draws_each_edit_by_strength():
    rows = [{"edit": e, "strength": s, "effect": s * g, "ci_low": s * g - 0.1, "ci_high": s * g + 0.1}
            for e, g in (("flow", 0.6), ("no-op", 0.0)) for s in (1.0, 0.0, 0.5)]  # fmt: skip
    figure = edit_figures.dose_response(pd.DataFrame(rows), title="It grows")
    flow = next(line for line in figure.axes[0].lines if line.get_color() == palette.EDITS["flow"])
    assert list(flow.get_xdata()) == [0.0, 0.5, 1.0] and list(flow.get_ydata()) == pytest.approx([0.0, 0.3, 0.6])
    assert {"flow", "no-op"} <= set(words(figure))


def test_distances_star_only_what_differs():
    figure = edit_figures.distances(transfer(), title="Nearer to P^", label="distance")
    upper, lower = figure.axes
    assert [bar.get_height() for bar in upper.patches] == [0.5, 0.3, 0.7]
    assert [text.get_text() for text in upper.texts].count("*") == 1
    assert [text.get_text() for text in upper.texts].count("n.s.") == 1
    assert "distance\nto P\u0302" in words(figure) and "distance\nto Q\u0302" in words(figure)
    assert lower.get_ylim() == upper.get_ylim()


def test_scatter_shows_the_same_dots_in_each_panel_and_names_the_classes():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({
        "a": generator.normal(size=60), "b": generator.normal(size=60),
        "material": ["wood", "metal", "glass"] * 20, "action": ["tap", "rub"] * 30,
    })  # fmt: skip
    figure = class_figures.scatter(frame, "a", "b", ["material", "action"], title="Apart")
    panels = [np.sort(np.concatenate([c.get_offsets()[:, 0] for c in ax.collections])) for ax in figure.axes]
    assert np.array_equal(panels[0], np.sort(frame["a"])) and np.array_equal(panels[0], panels[1])
    for ax, names in zip(figure.axes, ({"wood", "metal", "glass"}, {"tap", "rub"}), strict=True):
        assert {text.get_text() for text in ax.texts} == names
        assert overlapping(figure, ax.texts) == []


def test_a_numeric_factor_gets_a_colour_bar():
    frame = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0), "pitch": np.arange(30.0)})
    assert "pitch" in words(class_figures.scatter(frame, "a", "b", "pitch", title="Pitch"))


def test_class_scores_draw_the_extremes_in_order():
    frame = pd.DataFrame({"class": [f"c{i}" for i in range(20)], "change": np.linspace(-1, 1, 20)})
    figure = edit_figures.class_scores(frame, title="Some rise", top=2)
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([1, 17 / 19, -17 / 19, -1])
    assert "16 classes in between are not drawn" in " ".join(" ".join(words(figure)).split())


def test_confusion_draws_shares_of_the_true_class():
    frame = pd.DataFrame({"true": ["a", "a", "b"], "predicted": ["a", "b", "b"], "count": [3, 1, 7]})
    figure = class_figures.confusion(frame, title="Few are confused")
    assert np.array_equal(figure.axes[0].images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["a (4)", "b (7)"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda t: decoding_figures.layer_curves(t, factor="material", title="t"),
        lambda t: decoding_figures.leakage(t, title="t"),
        lambda t: edit_figures.effect_bars(t, title="t"),
        lambda t: edit_figures.dose_response(t, title="t"),
        lambda t: edit_figures.distances(t, title="t"),
        lambda t: class_figures.scatter(t, "x", "y", "f", title="t"),
        lambda t: edit_figures.class_scores(t, title="t"),
        lambda t: class_figures.confusion(t, title="t"),
    ],
)
def test_a_missing_column_is_told(draw):
    with pytest.raises(UserError, match="expected a table with columns .* add "):
        draw(pd.DataFrame({"other": [1]}))


def test_a_factor_that_is_not_there_is_told(decoding_table):
    with pytest.raises(UserError, match="factor 'colour'"):
        decoding_figures.layer_curves(decoding_table, factor="colour", title="t")


def test_an_empty_table_is_told():
    with pytest.raises(UserError, match="got none"):
        edit_figures.effect_bars(effects().iloc[:0], title="t")


def test_odd_names_are_drawn_as_they_are(decoding_table, hostile):
    odd = "<b>$x_{$ \\frac & 'q'"
    figure = decoding_figures.layer_curves(decoding_table.replace("material", odd), factor=odd, title=odd)
    assert saved(figure) > 1000
    assert figure.get_suptitle() == odd


def test_the_global_style_is_left_alone(decoding_table):
    import matplotlib

    before = dict(matplotlib.rcParams)
    decoding_figures.layer_curves(decoding_table, factor="material", title="t")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("wishes", [[0.1, 0.1, 0.1], [0, 0.01, 0.5, 0.99, 1.0], [0.5], [1.0, 1.0, 0.0]])
def test_labels_are_moved_apart_and_stay_inside(wishes):
    placed = spread(wishes, 0.1, 0.0, 1.0)
    assert np.diff(np.sort(placed)).min(initial=1) >= 0.1 - 1e-9
    assert min(placed) >= 0 and max(placed) <= 1 + 1e-9
    assert [x for _, x in sorted(zip(wishes, placed, strict=True))] == sorted(placed)
