"""Run records of the shape that a suite stores, made without running anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from groundtruth.evaluators import METRICS
from groundtruth.result import Result

Record = dict[str, Any]


def result(name: str, value: float | None, **fields: Any) -> Record:
    """One metric as a record holds it."""
    fields = {"floor": 0.0, "ceiling": 1.0, "n_units": 100} | fields
    sign_mode = fields.pop("sign_mode", "signed")
    parameters = {"threshold": 0.9, "share": 0.8, "sign_mode": sign_mode}
    return Result(METRICS[name], value, parameters=parameters, **fields).to_json()


def record(
    method: str = "sae/topk",
    *,
    joint: float | None = 0.4,
    ev: float | None = 0.9,
    seed: int = 0,
    kind: str = "method",
    testbed: str = "sparse/small",
    failed: bool = False,
    sign_mode: str = "signed",
    parameters: dict[str, Any] | None = None,
) -> Record:
    """One run; a joint recall of None is undefined."""
    bounds = {} if joint is None or failed else {"low": joint - 0.1, "high": joint + 0.1}
    state = {"status": "failed", "reason": "the run failed"} if failed else {}
    undefined = {"status": "undefined", "reason": "no latent is live"}
    shared = {"sign_mode": sign_mode} | state
    joint_state = shared | (undefined if joint is None else {}) | bounds
    results = {
        "recover.joint": result("recover.joint", 0.0 if failed else joint, **joint_state),
        "recover.joint_precision": result("recover.joint_precision", 0.5, **shared),
        "recover.recall": result("recover.recall", 0.6, **shared),
        "recon.ev_total": result("recon.ev_total", ev, **shared),
        "recon.l0": result("recon.l0", 20.0, **shared | {"floor": None, "ceiling": 20.0}),
    }
    if ev is None:
        results["recon.ev_total"] = result("recon.ev_total", None, **shared | undefined)
    error = {"type": "MethodError", "message": "it <diverged>", "traceback": "..."}
    return {
        "suite": "dictionary-core",
        "lock": "9f" * 32,
        "testbed": {
            "name": testbed,
            "hash": f"{seed:064x}",
            "recipe": {"name": testbed, "parameters": {"n_features": 512}, "seed": seed},
            "n_features": 512,
            "d": 100,
            "expected_l0": 20.0,
            "noise": 0.0,
            "summary": "independent features",
            "source": "a paper, https://example.org/paper",
            "frontier": {"recall": [0.0, 0.5, 1.0], "explained": [0.0, 0.8, 1.0]},
        },
        "method": {
            "name": method,
            "kind": kind,
            "parameters": parameters or {},
            "summary": f"about {method}",
        },
        "seed": seed,
        "status": "failed" if failed else "ok",
        "error": error if failed else None,
        "flags": [],
        "results": results,
        "verdict": "",
        "scoring": {"n_select": 10_000, "n_score": 20_000, "n_positives": None},
        "n_train": 500_000,
        "provenance": {
            "groundtruth": "0.1.0",
            "git": {"commit": "ab" * 20, "dirty": False},
            "python": "CPython 3.11.9",
            "versions": {"numpy": "2.4.6"},
            "wall_seconds": 90.0,
        },
    }


@pytest.fixture
def make() -> Callable[..., Record]:
    """`record`, for tests."""
    return record


@pytest.fixture
def suite() -> list[Record]:
    """Two worlds, two methods whose explained variance points the wrong way, three other rows."""
    records = []
    for seed in (0, 1):
        shift = 0.02 * seed
        records += [
            record("C2-pca", kind="control", joint=0.0, ev=1.0, seed=seed),
            record("C0-random", kind="control", joint=0.0, ev=-80.0, seed=seed),
            record("sae/relu", joint=0.2 + shift, ev=0.95 + shift, seed=seed),
            record("sae/topk", joint=0.6 + shift, ev=0.8 + shift, seed=seed),
            record("O2*-linear", kind="oracle", joint=0.9, ev=0.85, seed=seed),
            record("O0-identity", kind="oracle", joint=1.0, ev=0.99, seed=seed),
        ]
    return records
