"""All metrics of one set of codes: the five that share one information table, and every one by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from numpy.typing import ArrayLike

from audiointerp.disentangle.metrics import information as info
from audiointerp.disentangle.metrics.importance import dci
from audiointerp.disentangle.metrics.inputs import Kinds
from audiointerp.disentangle.metrics.interventions import irs, z_diff, z_max_var, z_min_var
from audiointerp.disentangle.metrics.predictability import explicitness, sap


@dataclass(frozen=True)
class Evaluation:
    """The five scores that SynTone reports, better when higher.

    Attributes:
        mig: Mutual information gap.
        sap: Separated attribute predictability.
        dcimig: DCIMIG.
        jemmig: One minus the normalised joint entropy minus mutual information gap.
        modularity: Modularity.
    """

    mig: float
    sap: float
    dcimig: float
    jemmig: float
    modularity: float


def evaluate(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    factor_bins: int | None = None,
    normalise_by: str = "factor",
    protocol: str = "corrected",
    seed: int = 0,
) -> Evaluation:
    """Computes MIG, SAP, DCIMIG, JEMMIG and modularity; entropies are computed once.

    The published evaluation of SynTone passed codes as factors and factors as codes, and divided MIG by the entropy of
    codes: `evaluate(factors=codes, codes=factors, normalise_by="code")`.

    Args:
        factors: Known factors, shape `(N, F)`, two or more.
        codes: Codes of the same sounds, shape `(N, D)`.
        bins: Bins of equal width per code.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
        normalise_by: What MIG is divided by, the entropy of the `factor` or of the `code`.
        protocol: Of SAP for categorical factors: `corrected` or `published`.
        seed: Seed of SAP's halves.
    Raises:
        ValueError: As the metrics.
    Example:
        >>> evaluate(factors=[[0, 0], [0, 1], [1, 0], [1, 1]], codes=[[0, 0], [0, 1], [1, 0], [1, 1]], bins=2)
        Evaluation(mig=1.0, sap=1.0, dcimig=1.0, jemmig=1.0, modularity=1.0)
    """
    table = info.information_table(factors=factors, codes=codes, bins=bins, kinds=kinds, factor_bins=factor_bins)
    return Evaluation(
        mig=info.mig_of(table, normalise_by),
        sap=sap(factors=factors, codes=codes, kinds=kinds, protocol=protocol, seed=seed),
        dcimig=info.dcimig_of(table),
        jemmig=info.jemmig_of(table),
        modularity=info.modularity_of(table),
    )


def evaluate_all(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    protocol: str = "corrected",
    seed: int = 0,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, float]:
    """Computes every metric, by name, in the order of the tables; takes seconds where `evaluate` takes milliseconds.

    Args:
        factors: Known factors, shape `(N, F)`, two or more.
        codes: Codes of the same sounds, shape `(N, D)`, two or more.
        bins: Bins of equal width per code and ordered factor; Z-max-variance has its own.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        protocol: `corrected` or `published`.
        seed: Seed of everything that is drawn.
        settings: Further arguments of single metrics, such as `{"dci": {"model": "forest"}}`; the metrics are `dci`,
            `explicitness`, `irs`, `z_diff`, `z_min_var` and `z_max_var`.
    Returns:
        Names to scores, better when higher.
    Raises:
        ValueError: As the metrics, or if settings name another metric.
    """
    own = {name: {} for name in ("dci", "explicitness", "irs", "z_diff", "z_min_var", "z_max_var")}
    unknown = sorted(set(settings or {}) - set(own))
    if unknown:
        raise ValueError(f"expected settings of {', '.join(own)}, got {', '.join(unknown)}: correct the name")
    own.update({name: dict(given) for name, given in (settings or {}).items()})
    both = {"factors": factors, "codes": codes, "kinds": kinds}
    table = info.information_table(**both, bins=bins)
    scores = {f"mig_by_{by}": info.mig_of(table, by) for by in ("factor", "code")}
    scores["mig_sup"] = info.mig_sup_of(table)
    scores["sap"] = sap(**both, protocol=protocol, seed=seed)
    scores["jemmig"] = info.jemmig_of(table)
    scores["dcimig"] = info.dcimig_of(table)
    scores["modularity"] = info.modularity_of(table)
    parts = asdict(dci(**{**both, "protocol": protocol, "seed": seed, **own["dci"]}))
    scores.update({f"dci_{name}": parts[name] for name in ("disentanglement", "completeness", "informativeness")})
    both["bins"] = bins
    scores["explicitness"] = explicitness(**{**both, "protocol": protocol, "seed": seed, **own["explicitness"]})
    scores["irs"] = irs(**{**both, **own["irs"]})
    scores["z_diff"] = z_diff(**{**both, "seed": seed, **own["z_diff"]})
    scores["z_min_var"] = z_min_var(**{**both, "seed": seed, **own["z_min_var"]})
    scores["z_max_var"] = z_max_var(**{**both, "bins": min(bins, 3), "seed": seed, **own["z_max_var"]})
    return scores
