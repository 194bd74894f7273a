"""Suites: locked lists of worlds, methods and seeds, with one primary metric fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from groundtruth import circuit_rows, ladder, prediction_rows, variable_rows
from groundtruth.errors import UnknownName
from groundtruth.evaluators.comparison import SHARE, THRESHOLD
from groundtruth.generators.gates import GATES
from groundtruth.score_data import Scoring
from groundtruth.trials import CircuitScoring, metrics_beside


@dataclass(frozen=True)
class MethodSpec:
    """A method by name, with its parameters.

    Fields:
        watch_at: sample counts at which its training is scored on the way, for methods that train
            on our trainer; the points go into the run's record as its history.
    """

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    watch_at: tuple[int, ...] = ()


@dataclass(frozen=True)
class WorldSpec:
    """A testbed by name with changed parameters, the seeds of its worlds, and who runs on it.

    The method runs with the seed of the world, so a suite of n seeds has n worlds with one
    training seed each. `rows` are the ladder rows run there; None: those of the suite.
    """

    testbed: str
    methods: tuple[MethodSpec, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    parameters: dict[str, Any] = field(default_factory=dict)
    n_train: int = ladder.N_TRAIN
    rows: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Suite:
    """What is run, fixed before the first result.

    Fields:
        rows: ladder rows run on every world.
        primary: the metric that a claim is made on; several where testbeds of several kinds are in
            the suite, one for each kind.
        scoring: how much data scores, or what circuits are compared with; None: the default of
            each kind of testbed.
    """

    name: str
    version: int
    summary: str
    worlds: tuple[WorldSpec, ...]
    rows: tuple[str, ...] = tuple(ladder.row_ids())
    primary: str | tuple[str, ...] = "recover.joint"
    scoring: Scoring | CircuitScoring | None = field(default_factory=Scoring)
    threshold: float = THRESHOLD
    share: float = SHARE

    @property
    def primaries(self) -> tuple[str, ...]:
        return (self.primary,) if isinstance(self.primary, str) else self.primary

    def manifest(self) -> dict[str, Any]:
        """Plain JSON of everything that fixes the suite; its hash is the suite's lock."""
        return {
            "suite": self.name,
            "version": self.version,
            "primary": self.primary if isinstance(self.primary, str) else list(self.primary),
            "metrics": sorted(
                metric.key for one in self.primaries for metric in metrics_beside(one).values()
            ),
            "rows": list(self.rows),
            "scoring": None if self.scoring is None else self.scoring.description(),
            "threshold": self.threshold,
            "share": self.share,
            "worlds": [
                {
                    "testbed": world.testbed,
                    "parameters": world.parameters,
                    "seeds": list(world.seeds),
                    "n_train": world.n_train,
                    "rows": None if world.rows is None else list(world.rows),
                    "methods": [
                        {"name": m.name, "parameters": m.parameters, "watch_at": list(m.watch_at)}
                        for m in world.methods
                    ],
                }
                for world in self.worlds
            ],
        }


def _saes(width: int, l0: float, n_samples: int) -> tuple[MethodSpec, ...]:
    parameters = {"width": width, "l0": l0, "n_samples": n_samples}
    return tuple(
        MethodSpec(f"sae/{name}", dict(parameters)) for name in ("relu", "topk", "batchtopk")
    )


_SHORT, _LONG = 3_000_000, 30_000_000
_LAWS = ("sparse/sanity-constant", "sparse/sanity-variable")
# Learning rates of highest explained variance among 0.001, 0.003 and 0.01 after a million samples
# on world 0: what a developer who cannot see the truth would take.
_RATES = {
    "sae/batchtopk": (3e-3, 3e-3),
    "sae/jumprelu": (1e-2, 1e-2),
    "sae/topk": (3e-3, 1e-2),
    "sae/matryoshka": (3e-3, 3e-3),
}
# Those of which most latents die in these worlds unless something is done about it.
_MORTAL = ("sae/batchtopk", "sae/jumprelu", "sae/matryoshka")


def _sanity_methods(
    law: str, n_samples: int, dead: str, names: tuple[str, ...] = tuple(_RATES)
) -> tuple[MethodSpec, ...]:
    """The variants of arXiv 2602.14111 at its width and L0. It does not state the budget, batch,
    learning rate or treatment of dead latents of its synthetic runs; these are ours."""
    common = {"width": 3200, "l0": 20, "n_samples": n_samples, "batch_size": 1024, "dead": dead}
    points = tuple(n_samples * tenth // 10 for tenth in range(1, 11))
    more = {"sae/matryoshka": {"groups": [0.5, 0.3, 0.2]}}
    return tuple(
        MethodSpec(
            name, {**common, "lr": _RATES[name][_LAWS.index(law)], **more.get(name, {})}, points
        )
        for name in names
    )


def _frozen_methods(n_samples: int) -> tuple[MethodSpec, ...]:
    common = {"width": 3200, "l0": 20, "n_samples": n_samples, "batch_size": 1024, "lr": 3e-3}
    return tuple(
        MethodSpec(f"frozen/{part}", {**common, "start": start})
        for part in ("decoder", "soft-decoder", "encoder")
        for start in ("isotropic", "covariance")
    )


_LEAST_ROWS = ("O0-identity", "O1-prior", "O2*-linear", "C0-random")


def _sanity_worlds(
    n_samples: int, seeds: tuple[int, ...], reading: str, dead: str = "auxiliary", *names: str
) -> tuple[WorldSpec, ...]:
    """A world of each law, in one reading of the log-normal parameter, with the variants `names`
    or all four."""
    return tuple(
        WorldSpec(
            law,
            _sanity_methods(law, n_samples, dead, names or tuple(_RATES)),
            seeds,
            {"log_normal": reading},
            _SHORT,
            _LEAST_ROWS,
        )
        for law in _LAWS
    )


def _frozen_worlds() -> tuple[WorldSpec, ...]:
    """One world of each law, with the frozen baselines and the whole ladder."""
    frozen, first = _frozen_methods(_SHORT), {"log_normal": "sigma"}
    return tuple(WorldSpec(law, frozen, (0,), first, _SHORT) for law in _LAWS)


def _failure_worlds() -> tuple[WorldSpec, ...]:
    """Methods at settings that break them, and at one that does not, where there is one."""
    n = {"n_samples": 200_000}
    relu = lambda l1, width: MethodSpec("sae/relu", {**n, "width": width, "l1": l1})  # noqa: E731
    selecting = lambda name, l0, width: MethodSpec(  # noqa: E731
        f"sae/{name}", {**n, "width": width, "l0": l0}
    )
    crosscoder = lambda l1: MethodSpec(  # noqa: E731
        "sae/crosscoder", {**n, "width": 48, "l1": l1}
    )
    meta = MethodSpec(
        "sae/meta",
        {**n, "width": 24, "l0": 1, "base": "topk", "meta_width": 12, "meta_l0": 1.5},
    )
    l0s = (1, 1.5, 1.8, 2, 2.5, 3)
    by_l0 = tuple(selecting("batchtopk", l0, 5) for l0 in l0s)
    tree = (relu(0.1, 20), selecting("batchtopk", 1.12, 20), selecting("matryoshka", 1.12, 20))
    worlds = {
        "failure/absorption": tuple(relu(l1, 8) for l1 in (0.01, 0.03, 0.1, 0.3)),
        "failure/tree": tree,
        "failure/hedging": (relu(0.01, 1), relu(0.01, 2)),
        "failure/wrong-l0": by_l0,
        "failure/wrong-l0-negative": by_l0,
        "failure/composed": (selecting("topk", 1, 24), meta, selecting("batchtopk", 1, 24)),
        "failure/one-of-each": tuple(relu(0.1, width) for width in (8, 16, 32)),
        "failure/dark-matter": tuple(selecting("batchtopk", 4, w) for w in (32, 128, 512)),
        "manifold/circle": tuple(relu(0.05, width) for width in (26, 32, 64, 128)),
        "failure/splitting": tuple(relu(0.1, width) for width in (2, 8, 10, 20)),
        "pair/models": (
            *(crosscoder(l1) for l1 in (0.03, 0.1, 0.3, 1.0)),
            selecting("batchtopk", 2.4, 48),
        ),
    }
    # A tenth of the preset: its tail is long enough, and the references take seconds.
    smaller = {"failure/dark-matter": {"n_features": 1000, "d": 64}}
    return tuple(
        WorldSpec(name, specs, (0, 1, 2), smaller.get(name, {}), n_train=200_000)
        for name, specs in worlds.items()
    )


_FIXED = tuple(
    MethodSpec(f"circuit/{name}")
    for name in (
        "acdc",
        "eap",
        "eap-ig-inputs",
        "eap-ig-activations",
        "information-flow",
        "edge-patching",
        "group-ablation",
    )
)
"""Methods of edges that draw nothing, so that another seed gives the same on the same inputs."""

_DRAWN = (MethodSpec("circuit/edge-pruning"), MethodSpec("circuit/random"))
_OF_NODES = (
    MethodSpec("circuit/activation-patching"),
    MethodSpec("circuit/attribution-patching"),
    MethodSpec("circuit/group-ablation", {"unit": "node"}),
    MethodSpec("circuit/random", {"unit": "node"}),
)
_GATES = tuple(f"circuit/gate-{name}" for name in GATES)
_ATTENTION = tuple(
    f"attention-{name}" for name in ("induction", "max-of-k", "skip-trigrams", "ov-incoherent")
)
_SEEDS = (0, 1, 2)


def _gate_worlds() -> tuple[WorldSpec, ...]:
    """Gates are the same at every seed: methods that draw nothing run once."""
    return tuple(
        world
        for name in _GATES
        for world in (
            WorldSpec(name, _FIXED, (0,)),
            WorldSpec(name, _DRAWN, _SEEDS, rows=()),
            WorldSpec(name, _OF_NODES, (0,), {"unit": "node"}),
        )
    )


def _circuit_worlds(
    names: tuple[str, ...], ablations: tuple[str, ...], **sizes: Any
) -> tuple[WorldSpec, ...]:
    """Edges under each ablation, and nodes under the first, on inputs that differ by the seed."""
    edges = [(ablation, "edge", (*_FIXED, *_DRAWN)) for ablation in ablations]
    return tuple(
        WorldSpec(f"circuit/{name}", methods, _SEEDS, {"ablation": ablation, "unit": unit, **sizes})
        for name in names
        for ablation, unit, methods in (*edges, (ablations[0], "node", _OF_NODES))
    )


_SHORT_PROGRAMS = (
    "hist",
    "reverse",
    "frac_prevs",
    "sort_unique",
    "detect_pattern",
    "count_less_freq",
    "count",
    "induction_agreed",
    "second_largest",
    "argmax",
    "peaks",
    "next_greater",
    "occurrence_number",
    "keep_first",
    "most_frequent",
    "frequency",
    "running_parity",
    "running_sum",
    "sum_mod",
    "above_average",
)
"""Programs whose circuits can be enumerated under zero ablation as well."""

_LONG_PROGRAMS = (
    "sort",
    "sort_freq",
    "induction",
    "repeat_prefix",
    "dense_rank",
    "median",
    "is_sorted",
    "deduplicate",
    "count_distinct",
    "depth",
    "matching_bracket",
    "contains",
    "sentiment",
    "ioi",
    "pronoun",
    "agreement",
    "two_hop",
)
_CIRCUIT_ROWS = tuple(row.id for row in circuit_rows.ROWS)


def _synthsaebench_methods(n_samples: int) -> tuple[MethodSpec, ...]:
    """The published width, L0, batch and rate; Matryoshka's groups are the published prefixes."""
    common = {"width": 4096, "l0": 25, "n_samples": n_samples, "batch_size": 1024, "lr": 3e-4}
    points = tuple(n_samples * tenth // 10 for tenth in range(1, 11))
    more = {"sae/matryoshka": {"groups": [0.03125, 0.09375, 0.375, 0.5]}}
    names = ("batchtopk", "matryoshka", "jumprelu", "relu", "matching-pursuit")
    return tuple(
        MethodSpec(f"sae/{name}", {**common, **more.get(f"sae/{name}", {})}, points)
        for name in names
    )


def _cause_worlds() -> tuple[WorldSpec, ...]:
    """Each testbed of causes with what answers it; the trojan beside its benign twin. On three
    worlds rankings could not be told apart, and runs take seconds: there are eight."""

    def methods(*names: str) -> tuple[MethodSpec, ...]:
        return tuple(MethodSpec(f"causes/{name}") for name in names)

    rankings = methods("targeted-ablation", "correlation", "random-ranking")
    probes = (
        *methods("probe-raw", "random-probe"),
        *(MethodSpec("causes/probe-latents", {"n_latents": n}) for n in (1, 4)),
    )
    audits = methods("trigger-search", "spectral-signature")
    vectors = methods("mean-difference", "probe-vector", "random-vector")
    asked: tuple[tuple[str, dict[str, Any], str, tuple[MethodSpec, ...]], ...] = (
        ("dictionary", {}, "ranking", (*rankings, *_saes(38, 5, 200_000))),
        ("steering", {}, "vector", vectors),
        ("trojan", {}, "trigger", audits),
        ("trojan", {"benign": True}, "trigger", audits),
        ("belief", {}, "probe", probes),
        ("concept-shift", {}, "probe", probes),
    )
    return tuple(
        WorldSpec(f"causes/{name}", specs, tuple(range(8)), changes, rows=(f"O0-{kind}",))
        for name, changes, kind, specs in asked
    )


_BLACK_BOXES = ("nearest-neighbour", "random-forest", "majority")
_BY_CIRCUIT = ("acdc", "eap", "eap-ig-inputs", "edge-patching", "information-flow")


def _prediction_worlds() -> tuple[WorldSpec, ...]:
    """Programs with variables between tokens and output, three of words and two of numbers."""
    names = (*_BLACK_BOXES, *_BY_CIRCUIT, "random-circuit")
    methods = tuple(MethodSpec(f"prediction/{name}") for name in names)
    programs = ("reverse", "sort_unique", "induction", "frac_prevs", "running_sum")
    return tuple(WorldSpec(f"prediction/{name}", methods, _SEEDS) for name in programs)


_COMPILED = {
    "hist": (0.5, 16, 3, None),
    "reverse": (0.5, 48, 7, "blocks.1.hook_resid_mid"),
    "sort_unique": (0.7, 64, 6, "blocks.0.hook_resid_post"),
    "frac_prevs": (0.9, 24, 4, "blocks.0.hook_resid_post"),
    "detect_pattern": (0.5, 32, 7, "blocks.1.hook_resid_mid"),
    "induction": (0.6, 40, 6, "blocks.1.hook_resid_mid"),
}
"""Program -> about the least share of its directions that a twin can be proven on, a width just
above its number of features, the L0 of its last site, and a site in the middle of the twin."""


def _compiled_worlds(n_samples: int) -> tuple[WorldSpec, ...]:
    """Of each program the last site, of the model and of a superposed twin, and a site in the
    middle of the twin; and inside a head of one what it writes: 10 values on 4 coordinates."""

    def world(program: str, width: int, l0: int, place: dict[str, Any]) -> WorldSpec:
        parameters = {"width": width, "l0": l0, "n_samples": n_samples}
        others = (MethodSpec(f"sae/{name}", parameters) for name in ("jumprelu", "matryoshka"))
        methods = (*_saes(width, l0, n_samples), *others)
        return WorldSpec(f"compiled/{program}", methods, (0, 1), place, n_train=n_samples)

    worlds = []
    for program, (share, width, l0, middle) in _COMPILED.items():
        twin: dict[str, Any] = {"twin": {"superpose": share}}
        places = [{}, twin] if middle is None else [{}, twin, {**twin, "site": middle}]
        worlds += [world(program, width, l0, place) for place in places]
    inside = {"twin": {"superpose": 0.6}, "site": "blocks.1.attn.hook_z"}
    return (*worlds, world("induction", 16, 1, inside))


_VARIABLES: dict[str, dict[str, Any]] = {
    "count": {},
    "sort_unique": {"variables": ["target"]},
    "reverse": {"variables": ["length", "opposite"]},
    "induction": {"variables": ["previous_token", "latest"]},
}
"""Program -> parameters. Of the longer ones the output, which any method finds, is not asked."""


def _variable_worlds() -> tuple[WorldSpec, ...]:
    """Programs and a twin of each, and the two equalities. Searches are shorter than by default:
    every one is made for each variable and site, and on the untrained model too."""
    short = {"steps": 200}
    methods = (
        MethodSpec("variables/das", short),
        MethodSpec("variables/boundless-das", short),
        *(
            MethodSpec(f"variables/{name}")
            for name in (
                "linear-probe",
                "difference-of-means",
                "logit-lens",
                "pca",
                "random-subspace",
                "whole-layer",
            )
        ),
    )
    twin = {"twin": {"superpose": 0.9, "rotate": True, "decoys": 2}}
    return (
        WorldSpec("variables/hierarchical_equality", methods, _SEEDS),
        *(
            WorldSpec(f"variables/{name}", methods, _SEEDS, {**parameters, **which})
            for name, parameters in _VARIABLES.items()
            for which in ({}, twin)
        ),
    )


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "demo",
            1,
            "Three sparse autoencoders and dictionary learning on a small world and a harder one, "
            "with the whole ladder: about five minutes on two cores.",
            (
                WorldSpec(
                    "sparse/small",
                    (
                        *_saes(128, 5, 300_000),
                        MethodSpec("linear/dictionary-learning", {"width": 128, "l0": 5}),
                    ),
                    n_train=300_000,
                ),
                WorldSpec(
                    "sparse/zipf",
                    _saes(512, 5, 300_000),
                    seeds=(0,),
                    n_train=300_000,
                ),
            ),
        ),
        Suite(
            "sanity-checks",
            1,
            "The synthetic experiment of arXiv 2602.14111: both worlds, both readings of its "
            "log-normal parameter, 3 million samples a run, with what it left out: dead latents "
            "left alone, frozen baselines, the ladder. An hour on two cores; it resumes.",
            (
                *_sanity_worlds(_SHORT, (0, 1, 2), "sigma"),
                *_sanity_worlds(_SHORT, (0, 1, 2), "variance"),
                *_sanity_worlds(_SHORT, (0, 1, 2), "sigma", "none", *_MORTAL),
                *_frozen_worlds(),
            ),
            primary="recover.recall",
            scoring=Scoring(n_score=100_000),
        ),
        Suite(
            "sanity-checks-long",
            1,
            "The same variants with ten times the samples, since recovery can set in late. An "
            "hour and a half on two cores; it resumes, in the middle of a run too.",
            (
                *_sanity_worlds(_LONG, (0,), "sigma"),
                *_sanity_worlds(_LONG, (0,), "variance", "auxiliary", "sae/topk"),
            ),
            primary="recover.recall",
            scoring=Scoring(n_score=100_000),
        ),
        Suite(
            "synthsaebench",
            1,
            "Five autoencoders at the settings of arXiv 2602.14687 (width 4,096, L0 25) on its "
            "distribution, with a twentieth of its 200 million samples. Some hours; it resumes.",
            (
                WorldSpec(
                    "synthsaebench-16k",
                    _synthsaebench_methods(10_000_000),
                    (0,),
                    n_train=10_000_000,
                ),
            ),
            rows=("O0-identity", "O2*-linear", "C0-random"),
            primary="recover.recall",
            scoring=Scoring(n_select=16_384, n_score=100_000, n_positives=20),
        ),
        Suite(
            "failure-modes",
            1,
            "What breaks dictionaries: absorption, hedging, a wrong L0, splitting, composed and "
            "rare features, a manifold, a crosscoder's penalty; in worlds with closed forms. A "
            "quarter of an hour on two cores.",
            _failure_worlds(),
            rows=_LEAST_ROWS,
            primary="recover.joint",
            scoring=Scoring(n_select=4096, n_score=8192, n_positives=100),
        ),
        Suite(
            "circuits-small",
            1,
            "Circuit discovery where all minimal valid circuits are known: six gates, an induction "
            "circuit by hand, four compiled programs; nodes, and edges under resample and zero "
            "ablation. Minutes on two cores.",
            (
                *_gate_worlds(),
                *_circuit_worlds(
                    ("attention-induction", "hist", "reverse", "frac_prevs", "sort_unique"),
                    ("resample", "zero"),
                ),
            ),
            rows=_CIRCUIT_ROWS,
            primary="circuit.edge_auprc",
            scoring=CircuitScoring(),
        ),
        Suite(
            "circuits-full",
            1,
            "Circuit discovery on 41 circuits by hand and programs, on longer inputs, under "
            "resample, mean and, where all circuits can be tried, zero ablation. Some hours on two "
            "cores; it resumes.",
            (
                *_circuit_worlds(_ATTENTION, ("resample", "mean", "zero"), n_inputs=64),
                *_circuit_worlds(
                    _SHORT_PROGRAMS, ("resample", "mean", "zero"), max_length=6, n_inputs=64
                ),
                *_circuit_worlds(_LONG_PROGRAMS, ("resample", "mean"), max_length=6, n_inputs=64),
            ),
            rows=_CIRCUIT_ROWS,
            primary="circuit.edge_auprc",
            scoring=CircuitScoring(),
        ),
        Suite(
            "causal-features",
            1,
            "Features as causes: rankings of latents against inert decoys, steering vectors, "
            "audits for a trigger, probes before and after a shift, each beside its oracle and a "
            "random control. Minutes on two cores.",
            _cause_worlds(),
            rows=(),
            primary=("causal.rank_gap", "steer.curve_error", "trojan.verdict", "probe.shifted"),
            scoring=None,
        ),
        Suite(
            "prediction-small",
            1,
            "What five programs do on novel inputs: new combinations, lengths and frequencies, "
            "interventions, mined inputs; black boxes, and circuits that predict, beside the "
            "causal model. Minutes on two cores.",
            _prediction_worlds(),
            rows=tuple(row.id for row in prediction_rows.ROWS),
            primary="pred.skill.novel",
            scoring=None,
        ),
        Suite(
            "variables-small",
            1,
            "Causal variables: distributed alignment search, boundless too, probes, means, the "
            "logit lens and PCA on hierarchical equality, four compiled programs and their "
            "superposed twins, beside untrained models and controls. Twenty minutes on two cores.",
            _variable_worlds(),
            rows=tuple(row.id for row in variable_rows.ROWS),
            primary="cv.iia",
            scoring=None,
        ),
        Suite(
            "compiled-features",
            1,
            "Five autoencoders on the residual streams of six compiled programs and of their "
            "superposed twins, and inside a head: are the variables found? PCA and ICA are rows. "
            "Half an hour on two cores.",
            _compiled_worlds(200_000),
            rows=(*_LEAST_ROWS, "C1-rows", "C2-pca", "C2-ica"),
            primary="recover.joint",
            scoring=Scoring(n_select=4096, n_score=8192, n_positives=100),
        ),
    )
}


def suite(name: str) -> Suite:
    """The suite called `name`."""
    if name not in SUITES:
        raise UnknownName("suite", name, SUITES)
    return SUITES[name]
