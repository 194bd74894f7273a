"""`write_report`: every file of a report, made in memory and then written whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundtruth import files
from groundtruth.reporting import canvas, csv_file, figures, naming, page
from groundtruth.reporting.aggregate import aggregate
from groundtruth.reporting.runs import read_runs


def write_report(records: Sequence[Mapping[str, Any]], out: str | Path) -> list[Path]:
    """Write results.csv, report.md, report.html and figures/ into `out`.

    The same records give the same bytes. Files of those names are replaced, others left alone.

    Args:
        records: stored run records, as `Store.records()` gives them (`run.record`).
        out: the folder; made if missing.

    Returns:
        The files written.

    Raises:
        StoreError: no records, a record that is none, mixed metric versions, a run counted twice,
            or a folder that cannot be written.
    """
    runs = read_runs(records)
    sections = aggregate(runs)
    looks = canvas.looks(sections)
    drawings = [
        figures.draw_section(section, looks, f"{number:02d}-{naming.slug(section.testbed)}")
        for number, section in enumerate(sections, 1)
    ]
    shown = page.Page(runs, sections, drawings)
    content: dict[str, bytes] = {
        "results.csv": csv_file.csv_text(runs).encode("utf-8", "backslashreplace"),
        "report.md": page.markdown(shown).encode(),
        "report.html": page.html(shown).encode(),
    }
    for drawn in (d for group in drawings for d in group):
        content[f"figures/{drawn.name}.png"] = drawn.png
        content[f"figures/{drawn.name}.svg"] = drawn.svg
    paths = {Path(out) / name: data for name, data in content.items()}
    for path, data in paths.items():
        files.write_atomic(path, data)
    return list(paths)
