"""How reports show each kind of claim: which metrics, in which words."""

from __future__ import annotations

from dataclasses import dataclass

JOINT = "recover.joint"
PRECISION = "recover.joint_precision"
EV = "recon.ev_total"


@dataclass(frozen=True)
class Column:
    """A metric's column; `brief` ones are kept where the page is narrow."""

    metric: str
    heading: str
    interval: bool = False
    digits: int = 3
    brief: bool = False


@dataclass(frozen=True)
class View:
    """A kind of claim as reports show it.

    Fields:
        primary, measure: the metric that methods are ordered by, and its name in a sentence.
        beside, beside_measure: a second one, told with it.
        ceiling: what the ceiling of the primary metric is, in a sentence.
        explained: a metric that orders methods otherwise and is told for that; "" if there is none.
        units: what single runs' intervals are over.
        columns: of the table.
        panels: (metric, label of its axis) of the two panels of dots.
        reading: how to read it, at the head of the page.
        facts: (name, parameter of the primary metric) told in the footer.
    """

    primary: str
    measure: str
    beside: str
    beside_measure: str
    ceiling: str
    explained: str
    units: str
    columns: tuple[Column, ...]
    panels: tuple[tuple[str, str], tuple[str, str]]
    reading: str
    facts: tuple[tuple[str, str], ...]


DICTIONARY = View(
    primary=JOINT,
    measure="joint recall",
    beside=PRECISION,
    beside_measure="joint precision",
    ceiling="linear ceiling",
    explained=EV,
    units="features",
    columns=(
        Column("recon.l0", "L0", digits=1, brief=True),
        Column(EV, "EV", brief=True),
        Column(JOINT, "joint recall", interval=True, brief=True),
        Column(PRECISION, "joint precision", interval=True, brief=True),
        Column("recover.joint_f1", "joint F1"),
        Column("recover.recall", "decoder recall"),
        Column("recover.energy_recall", "energy recall"),
        Column("recover.rare_recall", "rare recall"),
        Column("act.f1", "act. F1"),
    ),
    panels=(
        (JOINT, "joint recall, share of planted features"),
        (PRECISION, "joint precision, share of live latents"),
    ),
    reading=(
        "Joint recall is the share of planted features with a latent of the right direction and "
        "the right activity; read it beside joint precision, the share of live latents that are "
        "such a match. Normalised: 0 is chance, 1 is the best linear detector of each feature "
        "(O2*). EV and L0 are context, never success."
    ),
    facts=(
        ("cosine threshold tau", "threshold"),
        ("activity share phi", "share"),
        ("sign mode", "sign_mode"),
    ),
)


def _circuit(unit: str) -> View:
    auprc, f1 = f"circuit.{unit}_auprc", f"circuit.{unit}_f1"
    return View(
        primary=auprc,
        measure=f"{unit} AUPRC",
        beside=f1,
        beside_measure=f"{unit} F1",
        ceiling="the truth",
        explained="",
        units="inputs",
        columns=(
            Column(auprc, f"{unit} AUPRC", interval=True, brief=True),
            Column(f1, f"{unit} F1", interval=True, brief=True),
            Column(f"circuit.{unit}_best_f1", "best F1", brief=True),
            Column(f"circuit.{unit}_auroc", f"{unit} AUROC"),
            Column(f"circuit.{unit}_class_hit", "class hit"),
            Column("circuit.faith", "faithfulness", brief=True),
            Column("circuit.completeness_wang", "incompleteness"),
            Column("circuit.minimality", "minimality"),
            Column("circuit.cpr", "CPR"),
            Column("circuit.cmd", "CMD"),
        ),
        panels=(
            (auprc, f"average precision over {unit}s"),
            (f1, f"F1 over {unit}s, of as many as are right"),
        ),
        reading=(
            f"AUPRC is the average precision of the ranking of {unit}s against those that the "
            "model uses; F1 is that of the claimed set, of a ranking cut at the size of the truth; "
            "best F1 is against the nearest of the minimal valid circuits. Normalised: 0 is a "
            "random ranking, 1 the truth. All hold under the named ablation alone. Behaviour "
            "(faithfulness to CMD) asks no truth: a circuit may be wrong and behave well."
        ),
        facts=(("tolerance of an output", "tolerance"),),
    )


RANKING = View(
    primary="causal.rank_gap",
    measure="rank gap",
    beside="causal.effect_cos",
    beside_measure="cosine of effects",
    ceiling="the truth",
    explained="",
    units="features",
    columns=(
        Column("causal.rank_gap", "rank gap", interval=True, brief=True),
        Column("causal.rank_gap_90", "over decoys .9", brief=True),
        Column("causal.gap", "gap of effects"),
        Column("causal.effect_cos", "effect cosine", brief=True),
        Column("causal.steer_cos", "steering cosine", brief=True),
        Column("causal.iia", "IIA"),
        Column("causal.specificity", "specificity", brief=True),
        Column("causal.sufficiency", "sufficiency"),
        Column("causal.necessity", "necessity"),
        Column("causal.dormant_r2", "dormant R2"),
    ),
    panels=(
        ("causal.rank_gap", "rank gap: causes over planted decoys"),
        ("causal.effect_cos", "cosine of the effects of ablation"),
    ),
    reading=(
        "Rank gap is the chance that a planted cause is ranked above a decoy that only goes along "
        "with one; 0.5 is chance. A dictionary that ranks nothing has none. The other columns "
        "compare what each cause's latent does in the real model with what was planted. All depend "
        "on the dictionary: where it mixes causes with decoys, no ranking of it is right."
    ),
    facts=(),
)

VECTOR = View(
    primary="steer.curve_error",
    measure="curve error",
    beside="steer.cosine",
    beside_measure="cosine",
    ceiling="the truth",
    explained="",
    units="inputs",
    columns=(
        Column("steer.curve_error", "curve error", interval=True, brief=True),
        Column("steer.side_error", "side error", interval=True, brief=True),
        Column("steer.cosine", "cosine", interval=True, brief=True),
        Column("steer.rank", "rank", digits=1, brief=True),
        Column("steer.gain", "gain"),
    ),
    panels=(
        ("steer.cosine", "cosine with the planted direction"),
        ("steer.curve_error", "curve error; 0 is right"),
    ),
    reading=(
        "Curve error is how far the behaviour moves from what the planted concept would do at the "
        "same doses, relative to that; side error is the same on all other outputs. 0 is right, 1 "
        "is doing nothing; chance is a uniform direction. A direction that tells the concept well "
        "need not steer it."
    ),
    facts=(),
)

TRIGGER = View(
    primary="trojan.verdict",
    measure="share of right verdicts",
    beside="trojan.false_alarm",
    beside_measure="false alarms",
    ceiling="the truth",
    explained="",
    units="inputs",
    columns=(
        Column("trojan.verdict", "verdict", interval=True, brief=True),
        Column("trojan.recall", "recall", interval=True, brief=True),
        Column("trojan.precision", "precision", interval=True, brief=True),
        Column("trojan.false_alarm", "false alarms", interval=True, brief=True),
        Column("trojan.cosine", "cosine"),
        Column("trojan.decoy_cosine", "decoy cosine"),
    ),
    panels=(
        ("trojan.verdict", "share of right verdicts"),
        ("trojan.false_alarm", "share of harmless inputs flagged"),
    ),
    reading=(
        "The verdict is right where a trigger is claimed in a model that has one, or none in its "
        "benign twin: what accuses every model is right in half of them. Recall, precision and "
        "false alarms are over every input there is."
    ),
    facts=(),
)

PROBE = View(
    primary="probe.shifted",
    measure="accuracy after the shift",
    beside="probe.familiar",
    beside_measure="before it",
    ceiling="the truth",
    explained="",
    units="samples",
    columns=(
        Column("probe.shifted", "shifted", interval=True, brief=True),
        Column("probe.familiar", "familiar", interval=True, brief=True),
        Column("probe.drop", "drop", brief=True),
        Column("probe.cosine", "cosine", brief=True),
        Column("probe.rival_cosine", "rival's cosine", brief=True),
    ),
    panels=(
        ("probe.shifted", "accuracy on shifted cases"),
        ("probe.familiar", "accuracy on familiar cases"),
    ),
    reading=(
        "A probe that reads what goes along with the concept is right on familiar cases and wrong "
        "on shifted ones, where the two part. Familiar cases are compared with the best rule of "
        "any kind, shifted ones with the planted direction; chance is the more frequent answer."
    ),
    facts=(),
)

PREDICTOR = View(
    primary="pred.skill.novel",
    measure="skill on novel inputs",
    beside="pred.agreement.novel",
    beside_measure="agreement",
    ceiling="the causal model",
    explained="",
    units="sequences",
    columns=(
        Column("pred.skill.novel", "skill", interval=True, brief=True),
        Column("pred.agreement.novel", "agreement", interval=True, brief=True),
        Column("pred.agreement.iid", "iid", brief=True),
        Column("pred.agreement.combinations", "combinations"),
        Column("pred.agreement.longer", "longer", brief=True),
        Column("pred.agreement.frequencies", "frequencies"),
        Column("pred.agreement.intervened", "intervened", brief=True),
        Column("pred.agreement.mined", "mined"),
        Column("pred.kl.iid", "KL iid"),
        Column("pred.selective_risk.iid", "risk at 80 %"),
    ),
    panels=(
        ("pred.skill.novel", "skill on novel inputs; 0 is a black box"),
        ("pred.agreement.novel", "agreement on novel inputs"),
    ),
    reading=(
        "Agreement is the mean share of positions where the claim is what the model says; novel "
        "inputs are all kinds but iid, each counting the same. Skill is 0 for what the best black "
        "box says that asked as many queries, and 1 for the causal model: below 0 a claim explains "
        "nothing beyond inputs and outputs. That a claim is right does not say why."
    ),
    facts=(("queries", "queries"),),
)


ALIGNMENT = View(
    primary="cv.iia",
    measure="interchange accuracy",
    beside="cv.cause_iso",
    beside_measure="cause and isolation",
    ceiling="the planted subspaces",
    explained="",
    units="pairs",
    columns=(
        Column("cv.iia", "IIA", interval=True, brief=True),
        Column("cv.iia_selectivity", "over untrained", brief=True),
        Column("cv.cause", "cause"),
        Column("cv.iso", "isolation"),
        Column("cv.cause_iso", "cause + iso", brief=True),
        Column("cv.subspace_coverage", "coverage", brief=True),
        Column("cv.subspace_purity", "purity", brief=True),
        Column("cv.subspace_angle", "angle", digits=0),
        Column("probe.accuracy", "probe accuracy"),
        Column("probe.selectivity", "probe selectivity"),
    ),
    panels=(
        ("cv.iia", "interchange accuracy, on pairs that tell"),
        ("cv.cause_iso", "mean of cause and isolation"),
    ),
    reading=(
        "IIA is the share of pairs on which the model, with what is claimed interchanged, answers "
        "as the causal model does with the variable interchanged; only pairs count on which that "
        "changes an answer. It does not say where: the inputs of a variable pass for it, and so "
        "does the whole layer. Isolation (other variables keep their values), coverage and purity "
        "of the planted subspace do. Normalised: 0 is random subspaces of equal dimension at the "
        "claimed sites, 1 the planted ones. Over untrained is IIA less what the same method "
        "reaches on random weights. That a probe reads a value does not say that the model does."
    ),
    facts=(),
)


VIEWS: dict[str, View] = {
    "dictionary": DICTIONARY,
    "circuit.edge": _circuit("edge"),
    "circuit.node": _circuit("node"),
    "ranking": RANKING,
    "vector": VECTOR,
    "trigger": TRIGGER,
    "probe": PROBE,
    "predictor": PREDICTOR,
    "alignment": ALIGNMENT,
}
"""By the name that a testbed's record gives, "dictionary" if it gives none."""
