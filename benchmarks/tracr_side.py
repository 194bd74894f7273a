"""Tracr's own library, compiled by Tracr: the other side of `benchmarks.compiling`.

Needs `tracr` (`tracr-pypi` in package indices) with jax and dm-haiku; without it ours alone is
measured. Programs have the parameters and vocabularies of our library's examples.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from groundtruth.compiled_models.values import Value

INSTALLED = importlib.util.find_spec("tracr") is not None


def programs(max_length: int) -> dict[str, Callable[[], Any]]:
    """By the names of our library."""
    from tracr.compiler import lib
    from tracr.rasp import rasp

    tokens = rasp.tokens
    return {
        "length": lib.make_length,
        "reverse": lambda: lib.make_reverse(tokens),
        "frac_prevs": lambda: lib.make_frac_prevs(tokens == "a"),
        "pair_balance": lambda: lib.make_pair_balance(tokens, "(", ")"),
        "shuffle_dyck": lambda: lib.make_shuffle_dyck(["()"]),
        "shuffle_dyck2": lib.make_shuffle_dyck2,
        "hist": lib.make_hist,
        "sort_unique": lambda: lib.make_sort_unique(tokens, tokens),
        "sort": lambda: lib.make_sort(tokens, tokens, max_seq_len=max_length, min_key=1),
        "sort_freq": lambda: lib.make_sort_freq(max_length),
        "shift_by": lambda: lib.shift_by(1, tokens),
        "detect_pattern": lambda: lib.detect_pattern(tokens, "ab"),
        "count_less_freq": lambda: lib.make_count_less_freq(2),
        "count": lambda: lib.make_count(tokens, "a"),
        "nary_map": lambda: lib.make_nary_sequencemap(
            lambda x, y, z: x + y - z, tokens, tokens, rasp.indices
        ),
    }


def compiled(name: str, vocab: Sequence[Value], max_length: int) -> Any:
    """Compiled with Tracr's defaults, nothing kept from programs compiled before."""
    import jax
    from tracr.compiler import compiling

    jax.clear_caches()
    program = programs(max_length)[name]()
    return compiling.compile_rasp_to_model(
        program, vocab=set(vocab), max_seq_len=max_length, compiler_bos="BOS"
    )


def sizes(model: Any) -> str:
    """As ours are printed."""
    import jax
    import numpy as np

    arrays = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(model.params)]
    config = model.model_config
    return (
        f"d_model {len(model.residual_labels)}, {config.num_layers} blocks of "
        f"{config.num_heads} heads and {config.mlp_hidden_size} neurons, "
        f"{sum(np.count_nonzero(array) for array in arrays):,} of "
        f"{sum(array.size for array in arrays):,} parameters not 0"
    )


def forward(model: Any, sequences: Sequence[Sequence[Value]]) -> Callable[[], None]:
    """One jitted pass over sequences of one length, compiled before it is called."""
    import jax
    import jax.numpy as jnp

    tokens = jnp.array([model.input_encoder.encode(["BOS", *row]) for row in sequences])
    run = jax.jit(lambda parameters, ids: model.forward(parameters, ids).unembedded_output)
    run(model.params, tokens).block_until_ready()

    def once() -> None:
        run(model.params, tokens).block_until_ready()

    return once
