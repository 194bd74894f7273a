"""The values of an s-op on a batch, as whole numbers, and the operations on them.

A categorical column holds codes of its domain, a numerical one its values times the domain's
denominator, so that everything is exact. Arrays of a run are (position, sequence): each operation
then runs along the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from groundtruth.compiled_models.domains import Domain, linear_factors, whole_dtype
from groundtruth.compiled_models.expressions import Aggregate, LinearSequenceMap
from groundtruth.compiled_models.values import READERS, Value, number

_BEYOND = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Column:
    """The values of an s-op on a batch.

    Fields:
        domain: what the array's entries mean.
        array: (batch, width) codes of a categorical s-op; of a numerical one, values times
            `domain.denominator`. Undefined from each sequence's length on.
        none: (batch, width) where a numerical s-op is None, or None if it is nowhere; None for a
            categorical s-op, whose None has a code.
    """

    domain: Domain
    array: np.ndarray
    none: np.ndarray | None = None

    def codes(self) -> np.ndarray:
        """The code of each value, None's included."""
        if self.domain.kind == "categorical":
            return self.array
        codes = np.searchsorted(self.domain.scaled, self.array)
        return codes if self.none is None else np.where(self.none, self.domain.none_code, codes)

    def gone(self) -> np.ndarray:
        """Where it is None."""
        if self.domain.kind == "categorical":
            return self.array == self.domain.none_code
        return np.zeros(self.array.shape, dtype=bool) if self.none is None else self.none

    def at(self, there: np.ndarray) -> Column:
        """The entries where `there` (batch, width) holds, in one row."""
        none = None if self.none is None else self.none[there]
        return Column(self.domain, self.array[there], none)

    def lists(self, lengths: np.ndarray) -> list[list[Value]]:
        """The values of each sequence, as the plain interpreter gives them."""
        rows = zip(self.array.tolist(), self.gone().tolist(), lengths.tolist())
        return [[self._value(*entry) for entry in zip(row[:n], gone)] for row, gone, n in rows]

    def _value(self, entry: int, gone: bool) -> Value:
        if gone:
            return None
        if self.domain.kind == "categorical":
            return self.domain.listed[entry]
        return number(Fraction(entry, self.domain.denominator))


def looked_up(domain: Domain, codes: np.ndarray) -> Column:
    """The column with the values that `codes` stand for."""
    if domain.kind == "categorical":
        return Column(domain, codes)
    none = codes == domain.none_code if domain.none else None
    return Column(domain, np.append(domain.scaled, 0)[codes], none)


def linear(e: LinearSequenceMap, first: Column, second: Column, domain: Domain) -> Column:
    """first_factor * first + second_factor * second."""
    factors, domains = (e.first_factor, e.second_factor), (first.domain, second.domain)
    a, b, common = linear_factors(factors, domains)
    bound = abs(a) * first.domain.largest + abs(b) * second.domain.largest
    total = a * _wide(first.array, bound) + b * _wide(second.array, bound)
    none = None if first.none is None and second.none is None else first.gone() | second.gone()
    return Column(domain, _rescaled(total, bound, common, domain), none)


def aggregated(e: Aggregate, seen: np.ndarray, values: Column, domain: Domain) -> Column:
    """`values` (key, batch) aggregated where `seen` (query, key, batch)."""
    if values.domain.none:
        seen = seen & ~values.gone()
    count = counted(seen)
    array, none = _HOW[e.how](seen, count, values, domain)
    empty, default = count == 0, READERS[e.kind](e.default)
    if domain.kind == "categorical":
        return Column(domain, np.where(empty, domain.code.get(default, -1), array))
    if default is None:
        return Column(domain, array, empty if none is None else none | empty)
    return Column(domain, np.where(empty, int(default * domain.denominator), array), none)


def counted(seen: np.ndarray) -> np.ndarray:
    """(query, batch) how many keys are seen."""
    return sum((seen[:, key] for key in range(seen.shape[1])), np.zeros((1, 1), dtype=np.int64))


Aggregated = tuple[np.ndarray, "np.ndarray | None"]


def _total(seen: np.ndarray, array: np.ndarray) -> np.ndarray:
    start = np.zeros((1, 1), dtype=array.dtype)
    return sum((seen[:, key] * array[key] for key in range(seen.shape[1])), start)


def _sum(seen: np.ndarray, count: np.ndarray, values: Column, domain: Domain) -> Aggregated:
    bound = values.domain.largest * seen.shape[1]
    total = _total(seen, _wide(values.array, bound))
    return _rescaled(total, bound, values.domain.denominator, domain), None


def _mean(seen: np.ndarray, count: np.ndarray, values: Column, domain: Domain) -> Aggregated:
    bound = values.domain.largest * seen.shape[1]
    total = _total(seen, _wide(values.array, bound))
    step = values.domain.denominator
    by = _wide(np.maximum(count, 1), seen.shape[1] * step) * step
    return _rescaled(total, bound, by, domain), None


def _extreme(
    seen: np.ndarray, values: Column, extreme: Callable[..., np.ndarray], worst: int
) -> np.ndarray:
    """The extreme code (or scaled value) at the seen keys; `worst` where there are none."""
    found = np.full((1, 1), worst, dtype=values.array.dtype)
    for key in range(seen.shape[1]):
        found = extreme(found, np.where(seen[:, key], values.array[key], worst))
    return found


def _max(seen: np.ndarray, count: np.ndarray, values: Column, domain: Domain) -> Aggregated:
    return _moved(_extreme(seen, values, np.maximum, -_BEYOND), count, values.domain, domain)


def _min(seen: np.ndarray, count: np.ndarray, values: Column, domain: Domain) -> Aggregated:
    return _moved(_extreme(seen, values, np.minimum, _BEYOND), count, values.domain, domain)


def _only(seen: np.ndarray, count: np.ndarray, values: Column, domain: Domain) -> Aggregated:
    greatest = _extreme(seen, values, np.maximum, -_BEYOND)
    least = _extreme(seen, values, np.minimum, _BEYOND)
    agreed = np.where(greatest == least, greatest, values.domain.none_code)
    return _moved(agreed, count, values.domain, domain)


def _moved(found: np.ndarray, count: np.ndarray, source: Domain, domain: Domain) -> Aggregated:
    """Entries of `source` as entries of `domain`; anything where nothing is counted."""
    found = np.where(count == 0, 0, found)
    if domain.kind == "numerical":
        return _rescaled(found, source.largest, source.denominator, domain), None
    translation = [domain.code.get(value, -1) for value in (*source.listed, None)]
    return np.array(translation)[found], None


_HOW: dict[str, Callable[[np.ndarray, np.ndarray, Column, Domain], Aggregated]] = {
    "mean": _mean,
    "sum": _sum,
    "max": _max,
    "min": _min,
    "only": _only,
}


def _rescaled(total: np.ndarray, bound: int, by: int | np.ndarray, domain: Domain) -> np.ndarray:
    """total / by in units of the domain's denominator; exact, since the quotient is one of its
    values. `bound`: of the absolute value of `total`."""
    scaled = _wide(total, bound * domain.denominator) * domain.denominator // by
    return _wide(scaled, domain.largest)


def _wide(array: np.ndarray, bound: int) -> np.ndarray:
    """`array` as int64 where `bound` fits into it, else as Python's whole numbers."""
    return array.astype(whole_dtype(bound), copy=False)
