"""The tables and figures of docs/reproductions/sanity_checks.md, from the stored runs.

    groundtruth run sanity-checks --out runs/sanity --jobs 2
    groundtruth run sanity-checks-long --out runs/sanity-long --jobs 2
    python -m reproductions.sanity_checks runs/sanity runs/sanity-long --out docs/reproductions

Each folder adds its runs to `sanity_checks.csv`; a run that the file holds already is replaced, so
that the suites can be run at different times. Tables are then made from the file alone.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from groundtruth.rescoring import rebuild
from groundtruth.store import Store, StoredRun

DECILES = 10
ABOVE = 0.8
METRICS = {
    "above_08": "recover.above_08",
    "recall": "recover.recall",
    "joint": "recover.joint",
    "precision": "recover.joint_precision",
    "ev": "recon.ev_total",
    "l0": "recon.l0",
    "dead_frac": "recon.dead_frac",
}
KEY = ("testbed", "reading", "seed", "method", "start", "dead", "n_samples", "at")
COLUMNS = (*KEY, "kind", *METRICS, "floor", *(f"decile_{i}" for i in range(1, DECILES + 1)))

# arXiv 2602.14111: explained variance and share of features with signed cosine above 0.8. Its text
# gives no training budget, learning rate, batch or seeds for these runs.
PAPER = {
    ("sparse/sanity-constant", "sae/batchtopk"): ("0.67", "0.09 % (3 of 3,200)"),
    ("sparse/sanity-constant", "sae/jumprelu"): ("0.67", "0.09 % (3 of 3,200)"),
    ("sparse/sanity-constant", "sae/topk"): ("", "99.9 %"),
    ("sparse/sanity-constant", "sae/matryoshka"): ("", "0.03 %"),
    ("sparse/sanity-variable", "sae/batchtopk"): ("0.71", "9 %"),
    ("sparse/sanity-variable", "sae/jumprelu"): ("0.71", "7 %"),
    ("sparse/sanity-variable", "sae/topk"): ("", "43 %"),
    ("sparse/sanity-variable", "sae/matryoshka"): ("", "7 % to 43 %"),
}


def main() -> None:
    options = _options()
    table = options.out / "sanity_checks.csv"
    rows = merged(read(table), [row for folder in options.runs for row in exported(folder)])
    write(table, rows)
    text = "\n\n".join((results_table(rows), ladder_table(rows), decile_table(rows)))
    (options.out / "sanity_checks_tables.md").write_text(text + "\n")
    draw_samples(rows, options.out / "sanity_checks_samples.png")
    print(text)


def exported(folder: Path) -> list[dict[str, Any]]:
    """One row per finished run and per point of its history."""
    rows = []
    for run in Store(folder).records():
        rows.append(_row(run))
        for point in run.record.get("history", [])[:-1]:
            row = {key: _row_key(run)[key] for key in KEY} | {"kind": "history"}
            row["at"] = point["n_samples"]
            values = point["values"]
            rows.append(row | {name: values.get(metric) for name, metric in METRICS.items()})
    return rows


def _row_key(run: StoredRun) -> dict[str, Any]:
    record, parameters = run.record, run.record["method"]["parameters"]
    n_samples = parameters.get("n_samples", "")
    sigma = record["testbed"]["recipe"]["parameters"]["magnitude"]["sigma"]
    return {
        "testbed": record["testbed"]["name"],
        "reading": {0.25: "sigma", 0.5: "variance"}[sigma],
        "seed": record["seed"],
        "method": record["method"]["name"],
        "start": parameters.get("start", ""),
        "dead": parameters.get("dead", ""),
        "n_samples": n_samples,
        "at": n_samples,
    }


def _row(run: StoredRun) -> dict[str, Any]:
    results = run.record["results"]
    row = _row_key(run) | {"kind": run.record["method"]["kind"]}
    row |= {name: results[metric]["value"] for name, metric in METRICS.items()}
    row["floor"] = results["recover.above_08"]["floor"]
    tensors = run.tensors()
    if "decoder" in tensors:
        shares = recovered_by_decile(run.record["testbed"], tensors["decoder"])
        row |= {f"decile_{i}": share for i, share in enumerate(shares, 1)}
    return row


def recovered_by_decile(testbed: dict[str, Any], decoder: np.ndarray) -> list[float]:
    """Share of features with a decoder row of signed cosine above 0.8, by tenths of the features
    from the most frequent to the rarest."""
    truth = rebuild(testbed).truth.features
    unit = decoder / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-30)
    found = (truth.directions @ unit.T).max(axis=1) > ABOVE
    order = np.argsort(-truth.firing_probability, kind="stable")
    return [float(found[part].mean()) for part in np.array_split(order, DECILES)]


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, a newer one in place of an older one of the same run; sorted."""
    rows = {tuple(str(row[key]) for key in KEY): row for row in [*old, *new]}
    return [rows[key] for key in sorted(rows)]


def read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _short(row.get(name)) for name in COLUMNS})


def results_table(rows: list[dict[str, Any]]) -> str:
    """Every variant, world and budget beside the paper: means over seeds with the range."""
    lines = [
        "| world | reading | variant | dead latents | samples | seeds | explained variance "
        "| cosine above 0.8 | recall at 0.9 | joint recall | L0 | dead | paper: variance "
        "| paper: above 0.8 |",
        "|" + "---|" * 14,
    ]
    for key, group in _groups(rows, "sae/"):
        world, reading, method, dead, n_samples = key
        ev, above = PAPER[world, method]
        cells = [_mean(group, "ev", "{:.3f}")]
        cells += [_mean(group, name, "{:.2%}") for name in ("above_08", "recall", "joint")]
        cells += [_mean(group, "l0", "{:.1f}", spread=False), _mean(group, "dead_frac", "{:.0%}")]
        lines.append(
            f"| {_world(world)} | {reading} | {method[4:]} | {dead} | {int(n_samples):,} "
            f"| {len(group)} | " + " | ".join(cells) + f" | {ev} | {above} |"
        )
    return "\n".join(lines)


def ladder_table(rows: list[dict[str, Any]]) -> str:
    """Oracles, controls and frozen baselines on the world with the whole ladder."""
    lines = [
        "| world | row | explained variance | cosine above 0.8 | recall at 0.9 | joint recall |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ladder = row["kind"] in ("oracle", "control")
        if ladder and row["reading"] == "sigma" and str(row["seed"]) == "0":
            name = f"{row['method']} {row['start']}".strip()
            cells = [_mean([row], "ev", "{:.3f}")]
            cells += [_mean([row], n, "{:.2%}") for n in ("above_08", "recall", "joint")]
            lines.append(f"| {_world(row['testbed'])} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def decile_table(rows: list[dict[str, Any]]) -> str:
    """Share above 0.8 by tenths of the features, the most frequent first."""
    tenths = range(1, DECILES + 1)
    lines = [
        "| world | reading | variant | dead latents | samples | "
        + " | ".join(str(i) for i in tenths)
        + " |",
        "|" + "---|" * (5 + DECILES),
    ]
    for (world, reading, method, dead, n_samples), group in _groups(rows, "sae/"):
        if "variable" in world:
            cells = " | ".join(_mean(group, f"decile_{i}", "{:.1%}", spread=False) for i in tenths)
            lines.append(
                f"| {_world(world)} | {reading} | {method[4:]} | {dead} | {int(n_samples):,} "
                f"| {cells} |"
            )
    return "\n".join(lines)


def draw_samples(rows: list[dict[str, Any]], path: Path) -> None:
    """Share above 0.8 against training samples, one panel per world and reading.

    Thin lines are the short runs, one per seed; dashed ones leave dead latents alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = sorted({(row["reading"], row["testbed"]) for row in rows})
    readings = sorted({reading for reading, _ in panels})
    figure = Figure(figsize=(9.5, 3.4 * max(1, len(readings))), layout="constrained")
    FigureCanvasAgg(figure)
    colours = dict(zip(sorted({m for _, m in PAPER}), ("#0072b2", "#d55e00", "#009e73", "#cc79a7")))
    axes = figure.subplots(max(1, len(readings)), 2, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    named: set[str] = set()
    for axis, (reading, world) in zip(axes.flat, panels):
        for line in _lines(rows, world, reading):
            method, long = line[0]["method"], int(line[0]["n_samples"]) > 3_000_000
            axis.plot(
                [int(row["at"]) for row in line],
                [100 * float(row["above_08"]) for row in line],
                color=colours[method],
                linewidth=1.8 if long else 0.8,
                linestyle="--" if line[0]["dead"] == "none" else "-",
                label=None if method in named else method[4:],
            )
            named.add(method)
        axis.set(xscale="log", title=f"{_world(world)}, {reading} = 0.25")
        axis.set_xticks([3e5, 1e6, 3e6, 1e7, 3e7], ["300k", "1M", "3M", "10M", "30M"], minor=False)
        axis.minorticks_off()
        axis.set(xlim=(2.5e5, 3.6e7), ylim=(-2, 102))
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("training samples")
    figure.supylabel("features with cosine above 0.8 (%)", fontsize=10)
    figure.savefig(path, dpi=150)


def _lines(rows: list[dict[str, Any]], world: str, reading: str) -> list[list[dict[str, Any]]]:
    """The points of each training on `world` in this reading, by samples."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        mine = row["testbed"] == world and row["reading"] == reading
        if mine and row["method"].startswith("sae/") and row["above_08"] not in ("", None):
            key = (row["method"], row["dead"], str(row["n_samples"]), str(row["seed"]))
            found.setdefault(key, []).append(row)
    return [sorted(line, key=lambda row: int(row["at"])) for _, line in sorted(found.items())]


def _groups(
    rows: list[dict[str, Any]], prefix: str
) -> list[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["kind"] == "method" and row["method"].startswith(prefix):
            key = tuple(str(row[n]) for n in ("testbed", "reading", "method", "dead", "n_samples"))
            found.setdefault(key, []).append(row)
    return sorted(found.items(), key=lambda item: (*item[0][:-1], int(item[0][-1])))


def _mean(group: list[dict[str, Any]], name: str, form: str, *, spread: bool = True) -> str:
    values = [float(row[name]) for row in group if row.get(name) not in ("", None)]
    if not values:
        return "undefined"
    middle = form.format(sum(values) / len(values))
    if not spread or len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def _world(name: str) -> str:
    return name.removeprefix("sparse/sanity-")


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished suites")
    parser.add_argument("--out", type=Path, default=Path("docs/reproductions"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
