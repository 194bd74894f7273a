"""A program: an output expression with all that it is computed from, named and in order."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from groundtruth.compiled_models.expressions import (
    Aggregate,
    Constant,
    Expression,
    LinearSequenceMap,
    Map,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    Vote,
)
from groundtruth.compiled_models.functions import function_text
from groundtruth.compiled_models.interpreter import evaluate
from groundtruth.compiled_models.redundancy import rebuilt, voted
from groundtruth.compiled_models.values import READERS, Value, explain
from groundtruth.errors import InputError, ProgramError, UnknownName, reject


@dataclass(frozen=True)
class Node:
    """An expression of a program: its name and the names of what it is computed from."""

    name: str
    expression: Expression
    parents: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """An s-op as a function of sequences.

    Args:
        output: the s-op that the program computes.
        name: what it is called.
        causal: whether a position sees only itself and those before it. Every selector is then
            cut to keys <= queries where an Aggregate or SelectorWidth uses it.
        also: s-ops of other programs that are computed and that the output does not need; see
            `beside`.

    Raises:
        ProgramError: kinds that do not fit, functions of the wrong arity, two expressions with
            one name; all at once.

    Example:
        >>> from groundtruth.compiled_models import Select, SelectorWidth, tokens
        >>> same = Select(tokens, tokens, "==", name="same_token")
        >>> hist = Program(SelectorWidth(same, name="hist"), name="hist")
        >>> hist("abac")
        [2, 1, 2, 1]
        >>> print(hist)
        hist: bidirectional, 3 expressions
            tokens
            same_token = select(tokens, tokens, key == query)
            hist = selector_width(same_token)
        output: hist, categorical
    """

    output: SOp
    name: str = "program"
    causal: bool = False
    also: tuple[SOp, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.output, SOp):
            fix = "Turn a selector into values with SelectorWidth or Aggregate."
            raise reject("output", self.output, "an s-op", fix)
        if not isinstance(self.name, str):
            raise reject("name", self.name, "a string")
        if not isinstance(self.causal, bool):
            raise reject("causal", self.causal, "True or False")
        reasons = [*_repeated_names(self.expressions), *self._faults()]
        if reasons:
            raise ProgramError(f"program {self.name!r} is not well formed", reasons)

    def __call__(self, sequence: Sequence[Value]) -> list[Value]:
        """The output at each position, by the plain interpreter."""
        return evaluate(self.expressions, sequence, causal=self.causal)[self.output]

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """All expressions, each after its parents."""
        return tuple(_in_order((*self.also, self.output)))

    def beside(self, *others: Program) -> Program:
        """This program, which computes the outputs of `others` as well: several in one model.

        They share what they have in common, such as tokens. The model's output is this one's; the
        others are in the residual stream, and `compiled.run(..., of=name)` reads them there. What
        would have a name that is taken is called "name of program".

        Raises:
            InputError: what is no program, or one that is causal where this is not.
            ProgramError: two expressions with one name all the same.

        Example:
            >>> from groundtruth.compiled_models import compile_program, library
            >>> both = library.program("hist").beside(library.program("reverse"))
            >>> compiled = compile_program(both, vocab="abc", max_length=4)
            >>> compiled.run(["aab"]), compiled.run(["aab"], of="reverse")
            ([[2, 2, 1]], [['b', 'a', 'a']])
        """
        for other in others:
            if not isinstance(other, Program):
                raise reject("beside", other, "programs", 'Pass library.program("reverse"), say.')
            if other.causal != self.causal:
                kinds = ("bidirectional", "causal")
                raise InputError(
                    f"beside: expected programs that are {kinds[self.causal]}, as {self.name} is; "
                    f"{other.name} is {kinds[other.causal]}. One model attends in one way."
                )
        outputs = list(self.also)
        taken = {e.name: e for e in self.expressions}
        for other in others:
            clashing = {
                e: f"{e.name} of {other.name}"
                for e in other.expressions
                if e.name is not None and taken.get(e.name, e) is not e
            }
            made = rebuilt(other.expressions, {}, clashing)
            outputs += [made[s] for s in (*other.also, other.output)]
            taken |= {e.name: e for e in made.values()}
        return replace(self, also=tuple(dict.fromkeys(outputs)))

    def redundant(self, name: str) -> Program:
        """This program with the s-op called `name` computed three times, of which two suffice.

        Raises:
            UnknownName: no such expression.
            InputError: it is no s-op, not categorical, or the input itself.

        Example:
            >>> from groundtruth.compiled_models import library
            >>> program = library.program("hist").redundant("hist")
            >>> [node.name for node in program.graph()]
            ['tokens', 'same_token', 'hist.1', 'hist.2', 'hist.3', 'hist']
            >>> program("aba")
            [2, 1, 2]
        """
        target = self[name]
        if not isinstance(target, SOp) or not target.parents or target.kind != "categorical":
            raise reject(
                "name", name, "a categorical s-op that is computed", "Others cannot be voted on."
            )
        made = rebuilt(self.expressions, {target: voted(target, name)})
        output, also = made[self.output], tuple(made[s] for s in self.also)
        assert isinstance(output, SOp)
        return replace(self, output=output, also=also)  # type: ignore[arg-type]

    @cached_property
    def names(self) -> dict[Expression, str]:
        """The name of each expression: its own, or what it is with a number."""
        taken = {expression.name for expression in self.expressions}
        names, count = {}, Counter()
        for expression in self.expressions:
            name = expression.name
            while name is None:
                count[expression.word] += 1
                proposed = f"{expression.word}_{count[expression.word]}"
                name = None if proposed in taken else proposed
            names[expression] = name
        return names

    def __getitem__(self, name: str) -> Expression:
        """The expression called `name`.

        Raises:
            UnknownName: there is none.
        """
        for expression, own in self.names.items():
            if own == name:
                return expression
        raise UnknownName(f"expression of {self.name}", name, self.names.values())

    def text(self, name: str) -> str:
        """The expression called `name` as it is printed, its parents by name.

        Raises:
            UnknownName: there is none.
        """
        return _described(self[name], self.names)

    def graph(self) -> tuple[Node, ...]:
        """The expressions in order with the names of their parents.

        Example:
            >>> from groundtruth.compiled_models import length
            >>> [(node.name, node.parents) for node in Program(length).graph()]
            [('indices', ()), ('everything', ('indices', 'indices')), ('length', ('everything',))]
        """
        names = self.names
        return tuple(Node(names[e], e, tuple(names[p] for p in e.parents)) for e in names)

    def __str__(self) -> str:
        direction = "causal" if self.causal else "bidirectional"
        lines = [f"{self.name}: {direction}, {len(self.expressions)} expressions"]
        for expression, name in self.names.items():
            text = _described(expression, self.names)
            lines.append(f"    {name}" if text == name else f"    {name} = {text}")
        if self.also:
            lines.append(f"also: {', '.join(self.names[s] for s in self.also)}")
        lines.append(f"output: {self.names[self.output]}, {self.output.kind}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Program {self.name}>"

    def _faults(self) -> list[str]:
        return [
            f"{self.names[expression]}: {fault}"
            for expression in self.expressions
            for fault in _faults(expression, self.names)
        ]


def _in_order(outputs: Sequence[Expression]) -> Iterator[Expression]:
    """Depth first, parents before children, each once."""
    seen: set[Expression] = set()
    for output in outputs:
        if output not in seen:
            yield from _up_to(output, seen)


def _up_to(output: Expression, seen: set[Expression]) -> Iterator[Expression]:
    """What is not `seen` yet of what `output` is computed from, and itself."""
    stack = [(output, iter(output.parents))]
    seen.add(output)
    while stack:
        expression, parents = stack[-1]
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
                stack.append((parent, iter(parent.parents)))
                break
        else:
            stack.pop()
            yield expression


def _repeated_names(expressions: Sequence[Expression]) -> list[str]:
    count = Counter(e.name for e in expressions if e.name is not None)
    return [
        f"{many} different expressions are called {name!r}; give each a name of its own"
        for name, many in count.items()
        if many > 1
    ]


def _faults(expression: Expression, names: dict[Expression, str]) -> Iterator[str]:
    """What is wrong with `expression`, whatever the vocabulary."""
    match expression:
        case Map():
            yield from _arity(expression.function, 1)
            yield from _unreadable(expression.default, expression)
        case SequenceMap(first=first, second=second):
            yield from _arity(expression.function, 2)
            yield from _of_kind("categorical", (first, second), names)
        case LinearSequenceMap(first=first, second=second):
            yield from _of_kind("numerical", (first, second), names)
        case Vote(first=first, second=second, third=third):
            yield from _of_kind("categorical", (first, second, third), names)
        case Select(keys=keys, queries=queries):
            yield from _arity(expression.function, 2)
            yield from _of_kind("categorical", (keys, queries), names)
        case Aggregate(values=values, how=how):
            needed = {"mean": "numerical", "sum": "numerical", "only": "categorical"}.get(how)
            if needed is not None and values.kind != needed:
                given = f"{names[values]} is {values.kind}"
                yield f"{how!r} takes {needed} values, {given}; {_INSTEAD[how]}"
            yield from _unreadable(expression.default, expression)
        case _:
            pass


_INSTEAD = {
    "mean": 'average numerical(...) of it, or copy it with "only"',
    "sum": "add up numerical(...) of it",
    "only": 'copy categorical(...) of it, or use "mean"',
}


def _of_kind(kind: str, given: Sequence[SOp], names: dict[Expression, str]) -> Iterator[str]:
    for argument in dict.fromkeys(given):
        if argument.kind != kind:
            yield f"takes {kind} s-ops, {names[argument]} is {argument.kind}; wrap it in {kind}()"


def _arity(function: Callable[..., Value], n: int) -> Iterator[str]:
    try:
        inspect.signature(function).bind(*range(n))
    except TypeError:
        yield f"its function {function_text(function)} cannot be called with {n} argument" + (
            "s" if n > 1 else ""
        )
    except ValueError:
        pass  # some builtins do not tell


def _unreadable(default: Value, expression: SOp) -> Iterator[str]:
    try:
        READERS[expression.kind](default)
    except InputError as error:
        yield f"its default is no {expression.kind} value: {explain(error)}"


def _described(expression: Expression, names: dict[Expression, str]) -> str:
    """The expression as text, its parents by name."""
    given = [names[parent] for parent in expression.parents]
    match expression:
        case Constant(value=value):
            given = [repr(value)]
        case Map(function=function) | SequenceMap(function=function):
            given = [function_text(function), *given]
        case LinearSequenceMap():
            given = [
                f"{expression.first_factor} * {given[0]}, {expression.second_factor} * {given[1]}"
            ]
        case Select(predicate=str(predicate)):
            shown = predicate if predicate in ("true", "false") else f"key {predicate} query"
            given = [*given, shown]
        case Select():
            given = [*given, function_text(expression.function)]
        case Aggregate(how=how):
            given = [*given, how]
        case _ if not given:
            return expression.word
    if isinstance(expression, (Map, Aggregate)) and expression.default is not None:
        given.append(f"default={expression.default!r}")
    if isinstance(expression, (Constant, Map, SequenceMap, SelectorWidth)):
        given += ["numerical"] * (expression.kind == "numerical")
    return f"{expression.word}({', '.join(given)})"
