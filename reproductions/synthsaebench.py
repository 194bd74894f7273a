"""The table and figure of docs/reproductions/synthsaebench.md, from the stored runs.

    groundtruth run synthsaebench --out runs/synthsaebench
    python -m reproductions.synthsaebench runs/synthsaebench --out docs/reproductions

Runs add to `synthsaebench.csv`, from which the table and the figure are made.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from groundtruth.store import Store
from reproductions.sanity_checks import read

METRICS = {
    "mcc_all": "recover.mcc_all",
    "uniqueness_all": "recover.uniqueness_all",
    "latent_f1_all": "act.latent_f1_all",
    "ev": "recon.ev_total",
    "l0": "recon.l0",
    "dead_frac": "recon.dead_frac",
    "above_08": "recover.above_08",
    "recall": "recover.recall",
    "joint": "recover.joint",
    "rare_recall": "recover.rare_recall",
}
COLUMNS = ("method", "kind", "at", *METRICS)

# Table at L0 25 of the benchmark's documentation: MCC, uniqueness, F1, explained variance; means
# of 5 seeds after 200 million samples.
PUBLISHED = {
    "sae/batchtopk": (0.7574, 0.9837, 0.7316, 0.7923),
    "sae/matryoshka": (0.7927, 0.9987, 0.8793, 0.7792),
    "sae/jumprelu": (0.7527, 0.9885, 0.7317, 0.7951),
    "sae/relu": (0.6039, 0.8976, 0.5562, 0.7654),
    "sae/matching-pursuit": (0.6930, 0.8281, 0.4464, 0.8351),
}
COMPARED = ("mcc_all", "uniqueness_all", "latent_f1_all", "ev")
OURS = ("l0", "dead_frac", "above_08", "recall", "joint", "rare_recall")


def main() -> None:
    options = _options()
    table = options.out / "synthsaebench.csv"
    rows = {(row["method"], str(row["at"])): row for row in read(table)}
    for folder in options.runs:
        rows |= {(row["method"], str(row["at"])): row for row in exported(folder)}
    ordered = sorted(rows.values(), key=lambda row: (row["method"], int(row["at"] or 0)))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)
    text = f"{beside_published(ordered)}\n\n{ours(ordered)}\n"
    (options.out / "synthsaebench_tables.md").write_text(text)
    draw_curves(ordered, options.out / "synthsaebench_samples.png")
    print(text)


def exported(folder: Path) -> list[dict[str, Any]]:
    """One row per finished run and per point of its history before the end."""
    rows = []
    for run in Store(folder).records():
        method = run.record["method"]
        own = {"method": method["name"], "kind": method["kind"]}
        results = {name: result["value"] for name, result in run.record["results"].items()}
        rows.append(own | {"at": method["parameters"].get("n_samples", "")} | _values(results))
        for point in run.record.get("history", [])[:-1]:
            at = {"kind": "history", "at": point["n_samples"]}
            rows.append(own | at | _values(point["values"]))
    return rows


def _values(results: dict[str, float | None]) -> dict[str, str]:
    found = {name: results.get(metric) for name, metric in METRICS.items()}
    return {name: "" if value is None else f"{value:.6g}" for name, value in found.items()}


def beside_published(rows: list[dict[str, Any]]) -> str:
    """The benchmark's four scores by its own definitions, ours and the published."""
    heads = ("MCC", "uniqueness", "F1", "explained variance")
    lines = [
        "| | samples | " + " | ".join(f"{head} | published" for head in heads) + " |",
        "|" + "---|" * (2 + 2 * len(heads)),
    ]
    for row in rows:
        if row["kind"] != "history":
            published = PUBLISHED.get(row["method"], ("",) * len(COMPARED))
            pairs = zip((_shown(row[name]) for name in COMPARED), published, strict=True)
            cells = " | ".join(f"{own} | {theirs}" for own, theirs in pairs)
            lines.append(f"| {row['method']} | {_millions(row['at'])} | {cells} |")
    return "\n".join(lines)


def ours(rows: list[dict[str, Any]]) -> str:
    """What the benchmark does not show: over all features, and by how often they fire."""
    heads = ("L0", "dead", "cosine above 0.8", "recall at 0.9", "joint recall", "rare recall")
    lines = ["| | " + " | ".join(heads) + " |", "|" + "---|" * (1 + len(heads))]
    for row in rows:
        if row["kind"] != "history":
            cells = " | ".join(_shown(row[name]) for name in OURS)
            lines.append(f"| {row['method']} | {cells} |")
    return "\n".join(lines)


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Recall at 0.9 and explained variance against training samples."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    colours = dict(zip(PUBLISHED, ("#0072b2", "#cc79a7", "#d55e00", "#009e73", "#e69f00")))
    shown = {"recall": "recall at cosine 0.9", "ev": "explained variance"}
    for axis, (name, label) in zip(figure.subplots(1, 2), shown.items()):
        for method, colour in colours.items():
            line = [row for row in rows if row["method"] == method and row[name] != ""]
            if not line:
                continue
            at = [int(row["at"]) / 1e6 for row in line]
            values = [float(row[name]) for row in line]
            axis.plot(at, values, ".-", color=colour, label=method[4:] if name == "recall" else "")
        axis.set(xlabel="training samples (millions)", ylabel=label, ylim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=150)


def _shown(value: str) -> str:
    return "undefined" if value == "" else f"{float(value):.4g}"


def _millions(at: Any) -> str:
    return "" if at in ("", None) else f"{int(at) / 1e6:g} M"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished suites")
    parser.add_argument("--out", type=Path, default=Path("docs/reproductions"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
