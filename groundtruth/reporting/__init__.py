"""From stored runs to what a researcher reads: a table, two figures and a page per testbed.

runs        plain records, checked                    naming    labels, and text made safe
aggregate   the mean over worlds of every number      verdicts  what the numbers say, in words
tables      the table                                 footer    what is needed to redo it
figures, dots, placing                                page      Markdown and HTML
"""

from groundtruth.reporting.aggregate import Mean, Row, Section, aggregate
from groundtruth.reporting.runs import Run, World, read_runs
from groundtruth.reporting.tables import render_text
from groundtruth.reporting.write import write_report

__all__ = [
    "Mean",
    "Row",
    "Run",
    "Section",
    "World",
    "aggregate",
    "read_runs",
    "render_text",
    "write_report",
]
