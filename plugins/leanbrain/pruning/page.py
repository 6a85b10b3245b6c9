"""The page of a report: HTML that needs neither other files nor a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from leanbrain.chart_style import DARK, LIGHT, to_svg
from leanbrain.pruning.report_charts import Chart, Section

__all__ = ["page"]

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
tr.difference td { color: var(--soft); font-size: .9rem; }
.charts { display: grid; gap: .8rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; padding: .5rem; max-width: 36rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: .5rem; }
img { display: block; width: 100%; height: auto; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; padding: .7rem; font-size: .8rem;
  background: var(--paper); border: 1px solid var(--line);
  border-radius: .5rem; }
"""


def page(
    title: str,
    summary: Mapping[str, Any],
    rows: Sequence[Sequence[str]],
    sections: Sequence[Section],
) -> str:
    """Writes the page; every text is escaped.

    Arguments
    ---------
    title : str
        Its heading.
    summary : Mapping
        What `report.collect` returns.
    rows : Sequence
        The table of `report.table`, header first.
    sections : Sequence[Section]
        The charts. Each is drawn twice: for light and for dark screens.

    Returns
    -------
    str
        The HTML document.
    """
    name = html.escape(title)
    body = [f"<h1>{name}</h1>", _lead(summary), _table(rows)]
    body += [_section(section) for section in sections]
    body.append(_origin(summary))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, '
            'initial-scale=1">',
            f"<title>{name}</title><style>{_STYLE}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def _lead(summary: Mapping[str, Any]) -> str:
    """Says in words what the pruned models keep and what it costs."""
    dense = summary.get("dense")
    sentences = []
    for name, result in summary.items():
        if name in ("host", "dense"):
            continue
        text = (
            f"{name}: every pathway keeps {100 * (1 - result['sparsity']):.0f}"
            f" % of the weights and makes {result['mean_cer']:.2f} % "
            "character errors"
        )
        if dense is not None:
            text += f", the dense model {dense['mean_cer']:.2f} %"
        sentences.append(f"<li>{html.escape(text)}.</li>")
    note = (
        "Error rates are in percent, on test data; lower is better. CER counts"
        " characters, WER words. A line with a minus is the difference to the "
        "dense model in percentage points, taken before rounding."
    )
    items = f"<ul>{''.join(sentences)}</ul>" if sentences else ""
    return f'{items}<p class="caption">{html.escape(note)}</p>'


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Writes the table; the second row of a model is its difference."""
    header = "".join(f"<th>{html.escape(x)}</th>" for x in rows[0])
    lines = [f"<thead><tr>{header}</tr></thead><tbody>"]
    for row in rows[1:]:
        kind = ' class="difference"' if row[1] == "" else ""
        cells = "".join(f"<td>{html.escape(x)}</td>" for x in row)
        lines.append(f"<tr{kind}>{cells}</tr>")
    body = "".join(lines)
    return f'<div class="wide"><table>{body}</tbody></table></div>'


def _section(section: Section) -> str:
    """Writes a heading, how to read the charts, and the charts."""
    charts = "\n".join(_chart(chart) for chart in section.charts)
    return (
        f"<section><h2>{html.escape(section.title)}</h2>"
        f'<p class="caption">{html.escape(section.caption)}</p>'
        f'<div class="charts">{charts}</div></section>'
    )


def _chart(chart: Chart) -> str:
    """Writes a chart as pictures inside the page, light and dark."""
    light, dark = (_address(chart, theme) for theme in (LIGHT, DARK))
    return (
        f'<figure><picture><source srcset="{dark}" '
        'media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{html.escape(chart.words)}">'
        "</picture></figure>"
    )


def _address(chart: Chart, theme: Any) -> str:
    """Returns a drawn chart as a data address."""
    code = base64.b64encode(to_svg(chart.draw(theme=theme)).encode())
    return f"data:image/svg+xml;base64,{code.decode()}"


def _origin(summary: Mapping[str, Any]) -> str:
    """Writes where the numbers come from: machine, code, settings."""
    parts = [
        "<section><h2>Where the numbers come from</h2>",
        '<p class="caption">With these facts and settings the runs can be '
        "repeated.</p>",
        _facts({"host": summary.get("host")}),
    ]
    for name, result in summary.items():
        if name == "host":
            continue
        known = ("seed", "commit", "versions", "host")
        facts = _facts({k: result[k] for k in known if k in result})
        parts.append(f"<h3>{html.escape(name)}</h3>{facts}")
        if result.get("hparams"):
            text = html.escape(str(result["hparams"]))
            parts.append(
                "<details><summary>All settings (YAML)</summary>"
                f"<pre>{text}</pre></details>"
            )
    return "\n".join([*parts, "</section>"])


def _facts(facts: Mapping[str, Any]) -> str:
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


def _plain(value: Any) -> str:
    """Returns text as it is and everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
