"""What goes into the page beside its words: its style, and its figures as part of it."""

from __future__ import annotations

import re
from html import escape

from groundtruth.reporting.canvas import COLOURS, INK, MUTED, PAPER, RULE

# A figure inside the page takes the page's colours, so that it is dark where the page is dark.
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
_VARIABLES |= {colour: f"m{index}" for index, colour in enumerate(COLOURS)}
# The methods' hues, lightened until they stand out from a dark ground.
_ON_DARK = ("#3d97dc", "#ff8648", "#2cc497", "#e7a1ca", "#f2bb45", "#9ad6f7")


def _methods(colours: tuple[str, ...]) -> str:
    return " ".join(f"--m{index}: {colour};" for index, colour in enumerate(colours))


STYLE = (
    """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #5c646d; --rule: #cfd4d9;
  --paper: #fdfdfc; --band: #eef2f6; """
    + _methods(COLOURS)
    + """ }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --muted: #a3abb3; --rule: #3d444c;
  --paper: #16191c; --band: #232a32; """
    + _methods(_ON_DARK)
    + """ } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: 1rem;
  border-top: 1px solid var(--rule); }
p, ul, dl { max-width: 56rem; }
p { margin: .5rem 0; }
.lead { font-size: 1.06rem; font-weight: 600; }
.quiet { color: var(--muted); font-size: .92rem; }
.note { font-size: .84rem; margin: .2rem 0; }
figure { margin: 1.4rem 0; max-width: 56rem; }
figure svg { width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; margin: 1.4rem 0 .6rem; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; width: 100%; }
th, td { padding: .28rem .5rem; text-align: right; vertical-align: top; line-height: 1.25; }
thead th { vertical-align: bottom; font-weight: 600; border-bottom: 1.5px solid var(--ink); }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
th .name { display: block; width: max-content; max-width: 13rem; overflow-wrap: anywhere; }
tbody th { font-weight: 400; }
tbody.method tr:not(.group) > * { background: var(--band); font-weight: 600; }
tbody.control { color: var(--muted); }
tr.group th { padding-top: .9rem; font-size: .78rem; font-weight: 600; color: var(--muted);
  border-bottom: 1px solid var(--rule); }
tr.group span { position: sticky; left: .5rem; }
td small { display: block; font-size: .74rem; font-weight: 400; white-space: nowrap;
  color: var(--muted); }
li { margin: .25rem 0; }
dl { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .25rem 1rem;
  font-size: .86rem; }
dt { color: var(--muted); }
dd { margin: 0; }
@media print { main { max-width: none; } .scroll { overflow: visible; } }
"""
)


def inline_svg(svg: bytes, name: str, caption: str) -> str:
    """A figure as an element of the page, with names no other figure uses and a description."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Several figures share one document, so a name must belong to one of them.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    label = f'<svg role="img" aria-label="{escape(caption)}"'
    return text.replace("<svg", label, 1).strip()
