"""The report as Markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from groundtruth.reporting import naming, tables, verdicts
from groundtruth.reporting.aggregate import Section
from groundtruth.reporting.canvas import Drawing
from groundtruth.reporting.footer import failures, footer
from groundtruth.reporting.inline import STYLE, inline_svg
from groundtruth.reporting.runs import Kind, Run

_GROUPS: dict[Kind, str] = {
    "oracle": "Oracles: made from the truth",
    "method": "Methods",
    "control": "Controls: know nothing, or are built to game a score",
}


@dataclass(frozen=True)
class Page:
    """What both forms show: the runs, their sections, and the figures of each section."""

    runs: Sequence[Run]
    sections: Sequence[Section]
    drawings: Sequence[Sequence[Drawing]]

    @property
    def reading(self) -> list[str]:
        """How to read each kind of claim that there is."""
        return list(dict.fromkeys(section.view.reading for section in self.sections))

    @property
    def title(self) -> str:
        """The suite, or the testbeds where there is none."""
        suites = sorted({run.suite for run in self.runs if run.suite})
        named = suites or [section.testbed for section in self.sections[:3]]
        return f"Report: {naming.one_line(', '.join(named))}"


def world_line(section: Section) -> str:
    """What kind of world this is, in one line."""
    world, n = section.worlds[0], len(section.worlds)
    if section.n_testbeds > 1:
        return f"{section.n_testbeds} testbeds, each counted once; intervals are over testbeds."
    facts = [world.summary.rstrip(".")] if world.summary else []
    if world.n_features is not None and world.d is not None:
        facts.append(f"{world.n_features:,} features in {world.d:,} dimensions")
    if world.expected_l0 is not None:
        facts.append(f"expected L0 {world.expected_l0:.3g}")
    facts += world.facts
    facts.append(f"{n} world{'s' * (n != 1)}")
    return "; ".join(facts) + "." + (f" Source: {world.source}" if world.source else "")


def row_meanings(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """What each row is: (label, summary), every label once."""
    rows = {row.label: row.runs[0].summary for section in sections for row in section.rows}
    return [(label, summary) for label, summary in rows.items() if summary]


# --- Markdown -------------------------------------------------------------------------------


def markdown(page: Page) -> str:
    """The report in Markdown; figures are linked by relative path."""
    say = naming.markdown
    out = [f"# {say(page.title)}", *map(say, page.reading)]
    for section, drawn in zip(page.sections, page.drawings):
        shown = tables.table(section)
        out += [f"## {say(section.testbed)}", f"**{say(verdicts.section_verdict(section))}**"]
        out += [say(world_line(section)), _image(drawn[0]), tables.markdown_table(shown)]
        out += [_bullets(shown.notes), _bullets(map(verdicts.method_verdict, section.of("method")))]
        out += [_bullets(verdicts.flag_notes(section)), *map(_image, drawn[1:])]
    failed = failures(page.runs)
    out += ["## Failed runs", _bullets(failed)] if failed else []
    meanings = [f"{label}: {summary}" for label, summary in row_meanings(page.sections)]
    out += ["## Rows", _bullets(meanings)] if meanings else []
    out += ["## Provenance", _bullets(f"{name}: {value}" for name, value in footer(page.runs))]
    return "\n\n".join(part for part in out if part) + "\n"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {naming.markdown(line)}" for line in lines)


def _image(drawn: Drawing) -> str:
    return f"![{naming.markdown(drawn.caption)}](figures/{drawn.name}.png)"


# --- HTML -----------------------------------------------------------------------------------


def html(page: Page) -> str:
    """The report as one file: style and figures are in it, and nothing is loaded or run."""
    body = [f"<h1>{escape(page.title)}</h1>", *map(_quiet, page.reading)]
    for section, drawn in zip(page.sections, page.drawings):
        body.append(_section(section, drawn))
    failed = failures(page.runs)
    body += ["<h2>Failed runs</h2>", _list(failed)] if failed else []
    meanings = row_meanings(page.sections)
    body += ["<h2>Rows</h2>", _facts(meanings)] if meanings else []
    body += ["<h2>Provenance</h2>", _facts(footer(page.runs))]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'


def _section(section: Section, drawn: Sequence[Drawing]) -> str:
    shown = tables.table(section)
    parts = [
        f"<h2>{escape(section.testbed)}</h2>",
        f'<p class="lead">{escape(verdicts.section_verdict(section))}</p>',
        f'<p class="quiet">{escape(world_line(section))}</p>',
        _figure(drawn[0]),
        _table(shown, section.testbed),
        *[f'<p class="quiet note">{escape(note)}</p>' for note in shown.notes],
        _list(map(verdicts.method_verdict, section.of("method"))),
        _list(verdicts.flag_notes(section)),
        *map(_figure, drawn[1:]),
    ]
    return "<section>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _table(shown: tables.Table, testbed: str) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in shown.headings)
    body = []
    for kind, lines in shown.groups():
        span = len(shown.headings)
        body.append(
            f'<tbody class="{kind}"><tr class="group"><th colspan="{span}">'
            f"<span>{escape(_GROUPS[kind])}</span></th></tr>"
        )
        body += [_line(line) for line in lines]
        body.append("</tbody>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(testbed)}: results">'
        f"<table><thead><tr>{head}</tr></thead>{''.join(body)}</table></div>"
    )


def _line(line: tables.Line) -> str:
    cells = []
    for cell in line.cells:
        interval = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
        cells.append(f"<td>{escape(cell.text)}{interval}</td>")
    name = f'<span class="name">{escape(line.name)}</span>'
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _figure(drawn: Drawing) -> str:
    return f"<figure>{inline_svg(drawn.svg, drawn.name, drawn.caption)}</figure>"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl>"
