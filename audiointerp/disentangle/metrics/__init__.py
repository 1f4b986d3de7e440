"""Disentanglement metrics: pure functions of factors `(N, F)` and codes `(N, D)`, every argument by name."""

from audiointerp.disentangle.metrics.baselines import AboveChance, chance, chance_of_all
from audiointerp.disentangle.metrics.efficiency import SampleEfficiency, sample_efficiency
from audiointerp.disentangle.metrics.evaluation import Evaluation, evaluate, evaluate_all
from audiointerp.disentangle.metrics.importance import DCI, dci
from audiointerp.disentangle.metrics.information import (
    InformationTable,
    dcimig,
    information_table,
    jemmig,
    mig,
    mig_sup,
    modularity,
)
from audiointerp.disentangle.metrics.interventions import irs, z_diff, z_max_var, z_min_var
from audiointerp.disentangle.metrics.predictability import explicitness, sap, sap_scores
from audiointerp.disentangle.metrics.ranking import udr

__all__ = [
    "DCI",
    "AboveChance",
    "Evaluation",
    "InformationTable",
    "SampleEfficiency",
    "chance",
    "chance_of_all",
    "dci",
    "dcimig",
    "evaluate",
    "evaluate_all",
    "explicitness",
    "information_table",
    "irs",
    "jemmig",
    "mig",
    "mig_sup",
    "modularity",
    "sample_efficiency",
    "sap",
    "sap_scores",
    "udr",
    "z_diff",
    "z_max_var",
    "z_min_var",
]
