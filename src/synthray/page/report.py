"""A self-contained HTML report from composable parts: inline style, pictures as data, charts as SVG, no scripts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import synthray
from synthray.files import write_atomically
from synthray.page.charts import LineChart, svg_chart


@dataclass(frozen=True)
class Paragraph:
    """Plain text; an empty line starts a new paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; the first column is the row's name, the others are set as figures.

    Attributes:
        header: column names.
        rows: cells as text, as many as the header has.
        caption: what it shows.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture: PNG or JPEG bytes."""

    image: bytes
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures side by side, as many in a row as fit.

    Attributes:
        figures: the pictures.
        width_px: least width of one.
    """

    figures: Sequence[Figure]
    width_px: int = 240


@dataclass(frozen=True)
class KeyFigures:
    """The few numbers to read first: (label, value, note) each."""

    figures: Sequence[tuple[str, str, str]]


Block = Paragraph | Table | Figure | Gallery | KeyFigures | LineChart


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


_STYLE = """
:root { --ink: #1c2733; --soft: #5b6b7b; --line: #dbe2e9; --ground: #f5f7f9; --card: #ffffff; --accent: #0b6e99; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
header h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.01em; }
header p { margin: 8px 0 0; color: var(--soft); max-width: 75ch; }
nav { margin: 20px 0 0; display: flex; flex-wrap: wrap; gap: 6px 18px; font-size: .92rem; }
a { color: var(--accent); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 22px 26px 26px;
  margin-top: 24px; }
h2 { margin: 0 0 12px; font-size: 1.25rem; }
p { margin: 0 0 14px; max-width: 75ch; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
.scroll { overflow-x: auto; margin: 0 0 18px; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: 8px; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
thead th { color: var(--soft); font-weight: 600; }
figure { margin: 0 0 18px; }
figure img { display: block; max-width: 100%; border-radius: 6px; background: #000; }
figcaption { color: var(--soft); font-size: .88rem; margin-top: 6px; overflow-wrap: anywhere; }
.gallery { display: grid; gap: 16px; margin-bottom: 18px; }
.gallery figure { margin: 0; }
.gallery img { width: 100%; }
.key { display: flex; flex-wrap: wrap; gap: 14px; margin-bottom: 18px; }
.key div { border-left: 4px solid var(--accent); background: var(--ground); border-radius: 0 8px 8px 0;
  padding: 10px 20px 12px 16px; }
.key b { display: block; font-size: 1.75rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.key span, .key small { color: var(--soft); font-size: .9rem; }
.key small { display: block; }
svg { max-width: 100%; height: auto; }
footer { color: var(--soft); font-size: .88rem; margin-top: 28px; }
@media print { body { background: #fff; } section { border: 0; padding: 0; } nav { display: none; } }
"""


def render_report(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The HTML page; every text is escaped."""
    links = "".join(f'<a href="#s{i}">{escape(part.title)}</a>' for i, part in enumerate(sections))
    body = "".join(_section(i, part) for i, part in enumerate(sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>"
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p><nav>{links}</nav></header>\n{body}"
        f"<footer>synthray {escape(synthray.__version__)}. For research; not a medical device.</footer>"
        "</main></body></html>\n"
    )


def write_report(path: str | Path, title: str, subtitle: str, sections: Sequence[Section]) -> Path:
    """Write the page; returns its path.

    Raises:
        InputError: the folder can't be written.
    """
    write_atomically(Path(path), render_report(title, subtitle, sections).encode())
    return Path(path)


def _section(number: int, section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>\n{blocks}</section>\n'


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n"))
        case Table():
            return _table(block)
        case Figure():
            return _figure(block)
        case Gallery(figures, width):
            style = f"grid-template-columns: repeat(auto-fill, minmax({int(width)}px, 1fr))"
            return f'<div class="gallery" style="{style}">{"".join(map(_figure, figures))}</div>'
        case KeyFigures(figures):
            cards = (
                f"<div><span>{escape(label)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>"
                for label, value, note in figures
            )
            return f'<div class="key">{"".join(cards)}</div>'
        case LineChart():
            caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
            return f"<figure>{svg_chart(block)}{caption}</figure>"


def _table(table: Table) -> str:
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _figure(figure: Figure) -> str:
    kind = "png" if figure.image.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(figure.image).decode()
    caption = escape(figure.caption)
    text = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/{kind};base64,{data}" alt="{caption}">{text}</figure>'
