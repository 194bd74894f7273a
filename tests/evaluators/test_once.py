"""What is made once for a record: kept with it, not shared with another, and never an error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from groundtruth.errors import Undefined
from groundtruth.evaluators.once import once


@dataclass(frozen=True)
class Record:
    x: int


def test_it_is_made_once_for_each_record_and_each_function():
    made = []

    @once
    def double(record: Record) -> int:
        made.append(record.x)
        return 2 * record.x

    @once
    def triple(record: Record) -> int:
        return 3 * record.x

    first = Record(4)
    assert [double(first), double(first), triple(first)] == [8, 8, 12]
    assert double(replace(first, x=5)) == 10
    assert made == [4, 5]
    assert first == Record(4)  # what is kept is no part of the record


def test_an_error_is_raised_again():
    @once
    def broken(record: Record) -> int:
        raise Undefined(f"no {record.x}")

    record = Record(1)
    for _ in range(2):
        with pytest.raises(Undefined, match="no 1"):
            broken(record)
