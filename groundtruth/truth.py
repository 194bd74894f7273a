"""What was planted. Truth is exact, float64 and read-only; nothing here is estimated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groundtruth import equivalence
from groundtruth.equivalence import EquivalenceClass, SparseOptimum
from groundtruth.errors import InputError, reject
from groundtruth.magnitude import MagnitudeLaw
from groundtruth.manifold import Manifold
from groundtruth.moments import covariance
from groundtruth.neighbours import neighbour_cosine
from groundtruth.population import ListedMagnitude, Population
from groundtruth.structure import Structure

IDENTIFIABLE = "identifiable"
NEVER_ACTIVE = "never_active"
SAMPLE_LIMITED = "sample_limited"
ALWAYS_CONSTANT = "always_constant"


@dataclass(frozen=True)
class Identifiability:
    """Which features anyone could recover from `n_train` samples, and why not the others.

    Fields:
        n_train: the training budget, in samples, that this holds for.
        threshold: the cosine that recovery asks for.
        classes: (n_features,) one of the class names of this module.
        reasons: class name -> one sentence.
    """

    n_train: int
    threshold: float
    classes: np.ndarray
    reasons: dict[str, str]

    @property
    def identifiable(self) -> np.ndarray:
        """(n_features,) bool."""
        return self.classes == IDENTIFIABLE


@dataclass(frozen=True)
class FeatureTruth:
    """A planted dictionary: x = sum_i a_i d_i + bias + noise, and what manifolds add.

    a_i is 0 with probability 1 - p_i and a draw of the magnitude law with probability p_i. Features
    fire independently, by a `Structure`, or as a `Population` lists; manifolds (features of several
    dimensions) stand beside them and fire independently.

    Fields:
        directions: (n_features, d) unit rows d_i.
        firing_probability: (n_features,) p_i = P(a_i != 0), exact; or, where a structure has no
            closed form, to the standard error that `structure.marginal` states.
        magnitude: the law of a_i given that it fires, in activation units; of a child that its
            parent scales, before that.
        bias: (d,) in activation units.
        noise: standard deviation per dimension of isotropic Gaussian noise, >= 0.
        signed: whether a_i may be negative. If not, a sign-flipped decoder row is wrong.
        names: one per feature; "f0", "f1", ... if not given.
        site: where the activations are read.
        structure: how features fire together; None if independently or by a population.
        population: how they fire together, as a list; None where there is a law. Magnitudes are
            then its own.
        parts: widths of the spaces that lie side by side in the activations (models, layers); ()
            if they are one.
        manifolds: features of several dimensions; () if there are none. No count or mean over
            features includes them.

    Raises:
        InputError: wrong shapes, non-finite values, rows that are not unit, p outside [0, 1].
    """

    directions: np.ndarray
    firing_probability: np.ndarray
    magnitude: MagnitudeLaw | ListedMagnitude
    bias: np.ndarray
    noise: float = 0.0
    signed: bool = False
    names: tuple[str, ...] = ()
    site: str = "activations"
    structure: Structure | None = None
    population: Population | None = None
    parts: tuple[int, ...] = ()
    manifolds: tuple[Manifold, ...] = ()

    def __post_init__(self) -> None:
        directions = _frozen("truth.directions", self.directions, 2)
        n, d = directions.shape
        if n == 0 or d == 0:
            raise reject(
                "truth.directions", directions.shape, "at least one feature in one dimension"
            )
        norms = np.sqrt(np.einsum("ij,ij->i", directions, directions))
        bad = np.flatnonzero(np.abs(norms - 1) > 1e-9)
        if bad.size:
            raise InputError(
                f"truth.directions: expected unit rows, got norm {norms[bad[0]]:.6g} in row "
                f"{bad[0]} ({bad.size} such rows). Divide each row by its norm."
            )
        p = _frozen("truth.firing_probability", self.firing_probability, 1)
        if p.shape != (n,) or np.any(p < 0) or np.any(p > 1):
            raise InputError(
                f"truth.firing_probability: expected shape ({n},) within [0, 1], got shape "
                f"{p.shape} within [{p.min(initial=0):.4g}, {p.max(initial=0):.4g}]."
            )
        bias = _frozen("truth.bias", self.bias, 1)
        if bias.shape != (d,):
            raise reject("truth.bias", bias.shape, f"shape ({d},)")
        if self.structure is not None and self.structure.n_features != n:
            raise reject("truth.structure", self.structure.n_features, f"{n} features")
        if self.population is not None:
            self._check_population(self.population, p)
        if self.parts and (sum(self.parts) != d or min(self.parts) < 1):
            raise reject("truth.parts", self.parts, f"widths >= 1 that sum to {d}")
        for manifold in self.manifolds:
            if manifold.basis.shape[1] != d:
                raise reject(
                    f"manifold {manifold.name}: basis", manifold.basis.shape, f"(dims, {d})"
                )
        if not (np.isfinite(self.noise) and self.noise >= 0):
            raise reject("truth.noise", self.noise, "a finite number >= 0")
        names = self.names or tuple(f"f{i}" for i in range(n))
        every = {*names, *(manifold.name for manifold in self.manifolds)}
        if len(names) != n or len(every) != n + len(self.manifolds):
            different = f"{n + len(self.manifolds)} different names"
            raise reject("truth.names", len(every), different)
        self.magnitude.check_features(n)
        for key, value in {
            "directions": directions,
            "firing_probability": p,
            "bias": bias,
            "names": names,
        }.items():
            object.__setattr__(self, key, value)

    def _check_population(self, population: Population, p: np.ndarray) -> None:
        if self.structure is not None or self.signed:
            raise InputError("truth.population: expected no structure and no signs beside it.")
        found = population.firing_probability
        if found.shape != p.shape or np.abs(found - p).max() > 1e-12:
            raise reject("truth.firing_probability", p, "that of the population")
        if self.magnitude != population.magnitude:
            raise reject("truth.magnitude", self.magnitude.name, "population.magnitude")

    @property
    def independent(self) -> bool:
        """Whether features fire independently of one another."""
        return self.structure is None and self.population is None

    @property
    def n_features(self) -> int:
        return self.directions.shape[0]

    @property
    def d(self) -> int:
        return self.directions.shape[1]

    @property
    def expected_l0(self) -> float:
        """E #{i: a_i != 0} = sum_i p_i, in features per sample."""
        return float(self.firing_probability.sum())

    @cached_property
    def size_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_features,) E[|a_i|] and E[a_i^2], given that feature i fires."""
        first, second = self.magnitude.mean, self.magnitude.second_moment
        if self.structure is not None:
            first, second = self.structure.scaled_moments(first, second)
        n = self.n_features
        return _locked(np.broadcast_to(first, n).copy()), _locked(np.broadcast_to(second, n).copy())

    @cached_property
    def mean_activity(self) -> np.ndarray:
        """(n_features,) E[a_i]; 0 if both signs are equally likely."""
        mean = self.firing_probability * self.size_moments[0]
        return _locked(np.zeros(self.n_features) if self.signed else mean)

    @cached_property
    def variance(self) -> np.ndarray:
        """(n_features,) Var(a_i) = p_i E[m^2] - E[a_i]^2: the energy v_i of the feature."""
        second = self.firing_probability * self.size_moments[1]
        return _locked(np.maximum(0.0, second - self.mean_activity**2))

    @cached_property
    def energy_share(self) -> np.ndarray:
        """(n_features,) v_i / sum v; zeros if nothing varies."""
        total = self.variance.sum()
        return _locked(self.variance / total if total > 0 else np.zeros(self.n_features))

    @cached_property
    def mean(self) -> np.ndarray:
        """(d,) E[x], exact."""
        mean = self.bias + self.mean_activity @ self.directions
        return _locked(sum((manifold.mean for manifold in self.manifolds), mean))

    @cached_property
    def covariance(self) -> np.ndarray:
        """(d, d) Cov(x): D^T diag(v) D + noise^2 I if features fire independently, or have a
        sign of their own; else by `moments.covariance`, or of the population. Manifolds add
        theirs."""
        beside = sum((m.covariance for m in self.manifolds), self.noise**2 * np.eye(self.d))
        if self.population is not None:
            moments = self.directions.T @ (self.population.second_moments @ self.directions)
            mean = self.mean_activity @ self.directions
            return _locked(moments - np.outer(mean, mean) + beside)
        if self.structure is None or self.signed:
            weighted = self.directions * self.variance[:, None]
            return _locked(self.directions.T @ weighted + beside)
        first, second = self.size_moments
        return _locked(covariance(self.structure, self.directions, first, second) + beside)

    @cached_property
    def decoder(self) -> np.ndarray:
        """(n_rows, d) rows that write every sample with codes >= 0: the directions, then each
        manifold's axes, U before -U."""
        axes = [rows for m in self.manifolds for rows in (m.basis, -m.basis)]
        return _locked(np.concatenate([self.directions, *axes])) if axes else self.directions

    @property
    def decoder_l0(self) -> float:
        """Mean codes that are not 0 on `decoder`: expected_l0, and one per axis of each manifold
        that fires."""
        return self.expected_l0 + sum(m.firing_probability * m.chart.dims for m in self.manifolds)

    @cached_property
    def coherence(self) -> float:
        """max over i != j of <d_i, d_j>, streamed; -1 for a single feature."""
        if self.n_features == 1:
            return -1.0
        return max(-1.0, float(neighbour_cosine(self.directions, absolute=False).max()))

    def coactivation(self, first: int, second: int) -> float:
        """P(a_first != 0 and a_second != 0), exact; see `Structure.joint` for its error, if any."""
        if self.population is not None:
            return self.population.joint([first, second])
        if self.structure is not None:
            return float(self.structure.joint([first, second]).value)
        p = self.firing_probability
        return float(p[first] if first == second else p[first] * p[second])

    def explained_by_top(self, n_learned: np.ndarray | int) -> np.ndarray:
        """Capacity frontier: explained variance if exactly the R most energetic atoms are learned.

        EV*(R) = sum of the R largest v_i / (sum v + d noise^2 + variance of the manifolds). It
        counts each feature's own energy and ignores interference and the covariance of features
        that fire together, so it is a frontier for honest dictionaries, not a bound: a rotated pair
        of atoms reaches EV 1 with no feature recovered.

        Args:
            n_learned: R, whole numbers in [0, n_features].
        """
        energy = np.concatenate([[0.0], np.cumsum(np.sort(self.variance)[::-1])])
        total = energy[-1] + self.d * self.noise**2
        total += sum(float(np.trace(manifold.covariance)) for manifold in self.manifolds)
        if total <= 0:
            raise InputError("capacity frontier: nothing varies in this world; it has no variance.")
        return energy[np.asarray(n_learned)] / total

    @cached_property
    def equivalence_classes(self) -> tuple[EquivalenceClass, ...]:
        """Groups of features that no activations tell apart, whatever their number."""
        return equivalence.equivalence_classes(self)

    @cached_property
    def sparse_optimum(self) -> SparseOptimum:
        """The planted code beside the sparsest exact rewriting known; see `equivalence.py`."""
        return equivalence.sparse_optimum(self)

    def identifiability(self, n_train: int, threshold: float = 0.9) -> Identifiability:
        """Class of every feature at a training budget of `n_train` samples.

        A direction reaches cosine t by averaging labelled samples once the feature has fired
        about L0 t^2 / (1 - t^2) times (first order, interference of the other features); below
        that it is sample-limited. This is a floor for supervised averaging: a method without
        labels needs more.
        """
        if n_train < 0:
            raise reject("n_train", n_train, "a number >= 0")
        needed = self.expected_l0 * threshold**2 / (1 - threshold**2)
        occurrences = n_train * self.firing_probability
        classes = np.full(self.n_features, IDENTIFIABLE, dtype=object)
        classes[occurrences < needed] = SAMPLE_LIMITED
        for one in self.equivalence_classes:
            classes[list(one.members)] = one.name
        size = self.firing_probability * self.size_moments[1]
        constant = (self.firing_probability == 1) & (self.variance <= 1e-18 * size)
        classes[constant] = ALWAYS_CONSTANT
        classes[occurrences == 0] = NEVER_ACTIVE
        reasons = {
            IDENTIFIABLE: "enough occurrences, and a direction of its own",
            SAMPLE_LIMITED: (
                f"fewer than {needed:.0f} expected occurrences in {n_train} training samples: "
                f"too few for cosine {threshold}, even with labels"
            ),
            **equivalence.REASONS,
            ALWAYS_CONSTANT: "always on at a constant value: absorbed in the bias",
            NEVER_ACTIVE: "never fires",
        }
        return Identifiability(n_train, threshold, classes, reasons)


@dataclass(frozen=True)
class Truth:
    """All that a testbed knows about its own workings; a kind that it has not is None."""

    features: FeatureTruth


def _frozen(name: str, value: object, ndim: int) -> np.ndarray:
    """A read-only float64 copy; an array that is one already, and nobody's view, is taken as is."""
    own = isinstance(value, np.ndarray) and value.base is None and not value.flags.writeable
    array = np.asarray(value, np.float64) if own else np.array(value, dtype=np.float64)
    if array.ndim != ndim:
        raise reject(name, array.shape, f"an array with {ndim} axes")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{name}: expected finite values, got {len(bad)} NaN or infinite, first at "
            f"{tuple(int(i) for i in bad[0])}."
        )
    return _locked(array)


def _locked(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
