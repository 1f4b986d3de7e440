"""What becomes of a paper's claims: holds, holds only without its control, does not hold, cannot be told here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

HOLDS = "holds"
UNCONTROLLED = "holds only without its control"
FAILS = "does not hold"
UNKNOWN = "cannot be told here"
ALPHA = 0.05
SMALLEST_GAIN = 0.05
SMALLEST_EFFECT = 0.2
EMPTY = 0.1


def verdict(corrected: bool | None, published: bool | None, control: bool | None) -> str:
    """Gives the word for a claim.

    Args:
        corrected: Whether the corrected protocol shows it; None if it cannot tell.
        published: Whether the published protocol shows it; None if it was not run.
        control: Whether the control, which must not show it, shows it; None if there is none.
    Example:
        >>> verdict(corrected=True, published=True, control=False)
        'holds'
        >>> verdict(corrected=False, published=True, control=False)
        'holds only without its control'
    """
    if corrected is None:
        return UNKNOWN
    if corrected:
        return UNCONTROLLED if control else HOLDS
    return UNCONTROLLED if published else FAILS


def judge_decoding(curves: pd.DataFrame, tests: pd.DataFrame, network: str, probe: str = "knn") -> pd.DataFrame:
    """Holds the paper's claims on decoding by layer against the tables of a run.

    Args:
        curves: The table `layer_decoding`.
        tests: The table `layer_tests`.
        network: The network that the claims are about.
        probe: The probe that the claims are about.
    Returns:
        One row per claim: factor, claim, verdict, evidence, control.
    """
    rows = []
    between = tests[tests["comparison"].isin(["best against first", "best against last"]) & (tests["probe"] == probe)]
    for factor in dict.fromkeys(curves["factor"]):
        mine = between[between["factor"] == factor]
        outcome = {}
        for end in ("first", "last"):
            rows_of = mine[mine["comparison"] == f"best against {end}"]
            corrected = rows_of[rows_of["protocol"] == "corrected"]
            own = corrected[corrected["network"] == network].iloc[0]
            controls = [shown(row) for _, row in corrected[corrected["network"] != network].iterrows()]
            published = rows_of[(rows_of["protocol"] == "published") & (rows_of["network"] == network)].iloc[0]
            outcome[end] = (shown(own), shown(published, 0.01), majority(controls))
            rows.append(
                {
                    "factor": factor,
                    "claim": f"the best layer is read better than the {end}",
                    "verdict": verdict(*outcome[end]),
                    "evidence": describe(own),
                    "control": f"{sum(map(bool, controls))} of {len(controls)} untrained networks show it too",
                }
            )
        both = [together(pair) for pair in zip(outcome["first"], outcome["last"], strict=True)]
        layers = list(dict.fromkeys(curves.loc[curves["network"] == network, "layer"]))
        best = mine[(mine["protocol"] == "corrected") & (mine["network"] == network)].iloc[0]["layer_a"]
        inner = best not in (layers[0], layers[-1])
        rows.append(
            {
                "factor": factor,
                "claim": "an intermediate layer is read best",
                "verdict": verdict(together([both[0], inner]), both[1], both[2]),
                "evidence": f"{best} is chosen most often ({layers[0]} to {layers[-1]})",
                "control": "as in the two comparisons",
            }
        )
        trained = tests[
            (tests["comparison"] == "trained against untrained, each at its best layer")
            & (tests["factor"] == factor)
            & (tests["probe"] == probe)
        ]
        if len(trained):
            found = [shown(row) for _, row in trained.iterrows()]
            rows.append(
                {
                    "factor": factor,
                    "claim": "training makes it more readable",
                    "verdict": verdict(together(found), None, None),
                    "evidence": "; ".join(describe(row) for _, row in trained.iterrows()),
                    "control": "the untrained networks are the comparison",
                }
            )
    return pd.DataFrame(rows)


def judge_transfer(table: pd.DataFrame, disentanglement: pd.DataFrame, network: str) -> pd.DataFrame:
    """Holds the paper's claims on disentanglement and latent transfer against the tables of a run.

    Args:
        table: The table `transfer` with the networks in question and, where it was run, the untrained one.
        disentanglement: The table `disentanglement` of the same networks.
        network: The network that the claims are about.
    """
    rows = []
    overall = table[table["flow_seed"] == "all"].set_index(["network", "factor", "edit", "moved_to", "reference"])
    control = next((name for name in dict.fromkeys(table["network"]) if name != network), None)
    moves = {
        "moving to Q^ brings the output nearer to Q^": ("Q^", "Q^", 1),
        "moving to Q^ takes the output away from P^": ("Q^", "P^", -1),
        "moving an atypical sound to P^ brings the output nearer to P^": ("P^", "P^", 1),
    }
    for factor in dict.fromkeys(table["factor"]):
        for claim, (moved_to, reference, sign) in moves.items():
            own = overall.loc[(network, factor, "flow", moved_to, reference)]
            # Random directions were made for the move to Q^; they are the measure of what any edit of that size does.
            by_chance = overall.loc[(network, factor, "random direction", "Q^", reference)]
            came_out = excludes_zero(own, sign)
            random = excludes_zero(by_chance, sign)
            untrained = None
            said = f"random direction: {effect(by_chance)}"
            if control is not None:
                other = overall.loc[(control, factor, "flow", moved_to, reference)]
                untrained = excludes_zero(other, sign)
                said += f"; untrained network: {effect(other)}"
            rows.append(
                {
                    "factor": factor,
                    "claim": claim,
                    "verdict": verdict(came_out, None, bool(random) or bool(untrained)),
                    "evidence": f"d_z = {effect(own)}",
                    "control": said,
                }
            )
        read = disentanglement[
            (disentanglement["network"] == network)
            & (disentanglement["factor"] == factor)
            & (disentanglement["probe"] == "knn")
        ]
        by_role = read.groupby("role", sort=False)["accuracy"].mean()
        leaks = {role: by_role[role] for role in ("another factor's block", "residual") if role in by_role}
        chance = float(read["chance"].iloc[0])
        elsewhere = read[read["role"].isin(list(leaks))]
        own_read = together(
            [None if pd.isna(low) else bool(low > chance) for low in read.loc[read["role"] == "own block", "ci_low"]]
        )
        # Above chance elsewhere refutes it; within 10 points of chance is what can be called empty.
        clean = together(
            False if row["ci_low"] > chance else True if row["ci_high"] < chance + EMPTY else None
            for _, row in elsewhere.iterrows()
        )
        rows.append(
            {
                "factor": factor,
                "claim": "the flow holds it in its own dimensions only",
                "verdict": verdict(together([own_read, clean]), None, None),
                "evidence": f"own {by_role['own block']:.3f}; "
                + "; ".join(f"{role} {value:.3f}" for role, value in leaks.items())
                + f"; chance {chance:.3f}",
                "control": "chance is wanted outside of its own block",
            }
        )
    return pd.DataFrame(rows)


def excludes_zero(row: pd.Series, sign: int) -> bool | None:
    """Whether an effect's interval lies on the claimed side of zero; None if it cannot be told.

    It does not if the interval leaves no room for a small effect (d_z of 0.2) on that side.
    """
    if pd.isna(row["ci_low"]):
        return None
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    if low > 0:
        return True
    return False if high < SMALLEST_EFFECT else None


def effect(row: pd.Series) -> str:
    """Says an effect size with its interval."""
    if pd.isna(row["ci_low"]):
        return f"{row['d_z']:.2f} ({row['interval']})"
    return f"{row['d_z']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"


def shown(row: pd.Series, alpha: float = ALPHA) -> bool | None:
    """Whether a comparison came out positive after correction; None if it cannot be told.

    It did not if a layer was compared with itself, or if the interval reaches zero and leaves no room for 5 points.
    """
    if row["protocol"] != "corrected":
        return bool(row["p_corrected"] < alpha and row["difference"] > 0)
    if pd.isna(row["ci_low"]) or pd.isna(row["p_corrected"]):
        return False if row["layer_a"] == row["layer_b"] else None
    if row["p_corrected"] < alpha and row["ci_low"] > 0:
        return True
    return False if row["ci_low"] <= 0 and row["ci_high"] < SMALLEST_GAIN else None


def together(found: Iterable[bool | None]) -> bool | None:
    """Whether all of several parts of a claim hold: one that does not decides, one that cannot be told leaves it open.

    Example:
        >>> together([True, None]), together([False, None]), together([True, True])
        (None, False, True)
    """
    found = list(found)
    return False if False in found else None if None in found else True


def majority(found: Sequence[bool | None]) -> bool | None:
    """Whether more than half of the controls show it."""
    return sum(map(bool, found)) * 2 > len(found) if found else None


def describe(row: pd.Series) -> str:
    """Says a difference with its interval and corrected p."""
    if pd.isna(row["difference"]):
        return str(row.get("test", "not tested"))
    interval = "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    p = "" if pd.isna(row["p_corrected"]) else f", p = {row['p_corrected']:.2g} ({row['correction']})"
    return f"{row['difference']:+.3f}{interval}{p}"
