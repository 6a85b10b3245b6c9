"""Pages of reports: HTML that needs neither other files nor a network.

Every text that comes in is escaped, and every chart is drawn twice, for light
and for dark screens.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from leanbrain.chart_style import DARK, LIGHT, recolour, to_svg

__all__ = [
    "Chart",
    "Section",
    "bullets",
    "caption",
    "details",
    "document",
    "facts_table",
    "heading",
    "paragraph",
    "section",
    "table",
]

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #24292f;
  --soft: #57606a; --line: #d8dee4; --back: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --paper: #161b22;
  --ink: #e6edf3; --soft: #a3adb8; --line: #3a424c; --back: #0d1117; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 78rem; color: var(--ink);
  background: var(--back); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .3rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
.caption { color: var(--soft); }
.wide { overflow-x: auto; background: var(--paper);
  border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%;
  font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
h3 { margin: 1rem 0 .4rem; }
.facts td:first-child { width: 6rem; }
.facts td { text-align: left; white-space: normal; vertical-align: top; }
.words th, .words td { text-align: left; vertical-align: top; }
.words td:last-child { white-space: normal; min-width: 16rem;
  overflow-wrap: anywhere; }
tr.difference td { color: var(--soft); font-size: .9rem; }
.charts { display: grid; gap: .8rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.charts + .wide { margin-top: .8rem; }
figure { margin: 0; padding: .5rem; max-width: 36rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: .5rem; }
img { display: block; width: 100%; height: auto; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; padding: .7rem; font-size: .8rem;
  background: var(--paper); border: 1px solid var(--line);
  border-radius: .5rem; }
"""


@dataclass(frozen=True)
class Chart:
    """A chart that can be drawn in any theme.

    Arguments
    ---------
    words : str
        What the chart shows, for those who cannot see it.
    draw : Callable
        theme=Theme -> Figure.
    plain : bool
        Whether all its colours are those of the theme: the picture for dark
        screens is then the light one with other colours, not a second
        drawing.
    """

    words: str
    draw: Callable[..., Figure]
    plain: bool = False


@dataclass(frozen=True)
class Section:
    """Charts that are read in the same way.

    Arguments
    ---------
    title : str
        Heading.
    caption : str
        How to read the charts, in plain language.
    charts : tuple
        The charts.
    """

    title: str
    caption: str
    charts: tuple[Chart, ...]


def document(title: str, parts: Sequence[str]) -> str:
    """Puts a page together.

    Arguments
    ---------
    title : str
        Its heading.
    parts : Sequence[str]
        HTML, as the other functions of this module return it.

    Returns
    -------
    str
        The HTML document.
    """
    name = html.escape(title)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, '
            'initial-scale=1">',
            f"<title>{name}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{name}</h1>",
            *parts,
            "</body></html>",
            "",
        ]
    )


def heading(text: str, level: int = 2) -> str:
    """Writes a heading inside the page."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """Writes a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def caption(text: str) -> str:
    """Writes a paragraph that says how to read what is near it."""
    return f'<p class="caption">{html.escape(text)}</p>'


def bullets(texts: Sequence[str]) -> str:
    """Writes a list; nothing where there is no text."""
    if not texts:
        return ""
    items = "".join(f"<li>{html.escape(x)}</li>" for x in texts)
    return f"<ul>{items}</ul>"


def table(
    rows: Sequence[Sequence[str]],
    kind: str = "",
    kind_of_row: Callable[[Sequence[str]], str] = lambda row: "",
) -> str:
    """Writes a table.

    Arguments
    ---------
    rows : Sequence
        Cells, the header first.
    kind : str
        Class of the table: "words" aligns all columns to the left and breaks
        long lines in the last one; "" is for numbers.
    kind_of_row : Callable
        Row -> its class: "difference" is set smaller.

    Returns
    -------
    str
        The table, which scrolls by itself where the screen is narrow.

    Example
    -------
    >>> print(table([["a", "b"], ["<i>", "2"]]))
    <div class="wide"><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>&lt;i&gt;</td><td>2</td></tr></tbody></table></div>
    """  # noqa: E501
    header = "".join(f"<th>{html.escape(x)}</th>" for x in rows[0])
    lines = [f"<thead><tr>{header}</tr></thead><tbody>"]
    for row in rows[1:]:
        cells = "".join(f"<td>{html.escape(x)}</td>" for x in row)
        lines.append(f"<tr{_class(kind_of_row(row))}>{cells}</tr>")
    body = "".join(lines)
    return (
        f'<div class="wide"><table{_class(kind)}>{body}</tbody></table></div>'
    )


def facts_table(facts: Mapping[str, Any]) -> str:
    """Writes facts as a table of two columns, one line each."""
    rows = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            lines = [f"{k}: {_plain(x)}" for k, x in value.items()]
            text = "<br>".join(html.escape(x) for x in lines)
        else:
            text = html.escape(_plain(value))
        rows.append(f"<tr><td>{html.escape(name)}</td><td>{text}</td></tr>")
    body = "".join(rows)
    return f'<div class="wide"><table class="facts">{body}</table></div>'


def details(summary: str, text: str) -> str:
    """Writes a text as it is, which a click on its summary shows."""
    return (
        f"<details><summary>{html.escape(summary)}</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )


def section(content: Section, after: str = "") -> str:
    """Writes a heading, how to read the charts, and the charts.

    Arguments
    ---------
    content : Section
        Title, caption, charts.
    after : str
        HTML that follows the charts, such as their numbers in a table.

    Returns
    -------
    str
        The HTML element.
    """
    charts = "\n".join(_chart(chart) for chart in content.charts)
    if charts or not after:
        charts = f'<div class="charts">{charts}</div>'
    return (
        f"<section>{heading(content.title)}{caption(content.caption)}"
        f"{charts}{after}</section>"
    )


def _chart(chart: Chart) -> str:
    """Writes a chart as pictures inside the page, light and dark."""
    drawn = to_svg(chart.draw(theme=LIGHT))
    if chart.plain:
        other = recolour(drawn, LIGHT, DARK)
    else:
        other = to_svg(chart.draw(theme=DARK))
    light, dark = _address(drawn), _address(other)
    return (
        f'<figure><picture><source srcset="{dark}" '
        'media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{html.escape(chart.words)}">'
        "</picture></figure>"
    )


def _address(svg: str) -> str:
    """Returns a picture as a data address."""
    code = base64.b64encode(svg.encode())
    return f"data:image/svg+xml;base64,{code.decode()}"


def _class(name: str) -> str:
    """Writes the attribute, or nothing without a name."""
    return f' class="{html.escape(name)}"' if name else ""


def _plain(value: Any) -> str:
    """Returns text as it is and everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
