"""Labels: names told apart by their parameters, and foreign text made safe to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from groundtruth import hashing

_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~&$])")


def distinct(items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """One label per (name, parameters): the name, with the parameters that tell it apart.

    Example:
        >>> distinct([("sae", {"k": 4, "lr": 1}), ("sae", {"k": 8, "lr": 1}), ("pca", {"k": 4})])
        ['sae (k=4)', 'sae (k=8)', 'pca']
    """
    telling = {name: _telling([p for n, p in items if n == name]) for name in {n for n, _ in items}}
    return [_label(name, parameters, telling[name]) for name, parameters in items]


def _telling(namesakes: Sequence[Mapping[str, Any]]) -> list[str]:
    fields = sorted({field for parameters in namesakes for field in parameters})
    return [f for f in fields if len({_text(p.get(f)) for p in namesakes}) > 1]


def _label(name: str, parameters: Mapping[str, Any], fields: Sequence[str]) -> str:
    shown = ", ".join(f"{field}={_text(parameters.get(field))}" for field in fields)
    return f"{name} ({one_line(shown)})" if shown else name


def _text(value: Any) -> str:
    return hashing.canonical_json(value).strip('"')


def one_line(text: object) -> str:
    """`text` on one line, without control characters or characters no font or file can hold."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(text))
    clean = "".join(c for c in kept if unicodedata.category(c) not in ("Cs", "Cf", "Cn"))
    return re.sub(r" {2,}", " ", clean).strip()


def shorten(text: str, length: int) -> str:
    """`text` cut in its middle to at most `length` characters: both ends tell names apart.

    Example:
        >>> shorten("my_module:my_long_method", 13)
        'my_mod…method'
    """
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1) :]}"


def markdown(text: object) -> str:
    """`text` so that Markdown shows it as it is, also inside a table cell."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def slug(text: str) -> str:
    """`text` as part of a file name."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return plain[:40].strip("-") or "testbed"
