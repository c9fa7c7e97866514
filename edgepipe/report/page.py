"""The frame that every page shares: self-contained, readable without a network, light and dark."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--soft:#6b7280;--line:#d8dce2;--card:#f6f7f9;--a:#2563a8;
--b:#c2570c;--good:#15803d;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#14171b;--soft:#9aa3ae;--line:#343a42;--card:#1d2126;
--a:#6aa9ec;--b:#f0a05a;--good:#5fc981;--bad:#f47c7c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1080px;margin:2rem auto;
padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}.tile{background:var(--card);border-radius:8px;
padding:.6rem 1rem;min-width:8.5rem}.tile b{display:block;font-size:1.5rem}.tile span{font-size:.85rem}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{cursor:default}td.left,th.left{text-align:left}
table.sortable th{cursor:pointer}
tr.base{font-weight:600}
svg{width:100%;max-width:700px;height:auto;display:block;margin:.4rem 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:0 1.5rem}
svg text{font:12px system-ui,sans-serif;fill:var(--fg)}svg .title{font-weight:600}svg .label{text-anchor:end}
svg .tick{text-anchor:middle;fill:var(--soft)}svg .name{font-size:11px;fill:var(--soft)}
svg .bar{fill:var(--a);opacity:.55}svg .strong{opacity:1}svg .whisker{stroke:var(--fg);stroke-width:1.3;fill:none}
svg .frame{fill:none;stroke:var(--line)}svg .grid{stroke:var(--line);stroke-width:.6}
svg .line{fill:none;stroke-width:2}svg polyline.line0{stroke:var(--a)}svg polyline.line1{stroke:var(--b)}
svg polyline.line2{stroke:var(--good)}svg polyline.line3{stroke:var(--bad)}
svg text.line0{fill:var(--a)}svg text.line1{fill:var(--b)}
svg text.line2{fill:var(--good)}svg text.line3{fill:var(--bad)}
svg .dot{fill:var(--soft)}svg .front{fill:var(--b)}
.pictures{display:flex;flex-wrap:wrap;gap:.6rem}.pictures figure{margin:0;font-size:.8rem;width:104px}
.pictures .drawn{width:auto;max-width:100%}.drawn span{display:inline-block;margin-right:.4rem;color:var(--soft)}
.pictures img{width:96px;height:96px;object-fit:contain;image-rendering:pixelated;background:var(--card)}
.pictures .drawn img{display:block;width:min(220px,28vw);height:auto;image-rendering:auto}
@media(max-width:600px){svg.scatter text{font-size:17px}svg.scatter .name{display:none}
svg.scatter .dot{r:9px}.wide td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:7rem;max-width:9rem}}
details{margin:.5rem 0}summary{cursor:pointer}pre{background:var(--card);padding:.8rem;overflow:auto;font-size:.82rem}
"""


def page(title: str, body: Iterable[str], script: str = "") -> str:
    """A whole HTML document. `body` and `script` are trusted; `title` is escaped."""
    shown = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f"\n{shown}</body></html>\n"
    )


def tile(name: str, value: str, note: str = "", kind: str = "") -> str:
    """One big number."""
    return (
        f'<div class="tile"><span class="soft">{html.escape(name)}</span><b class="{kind}">{html.escape(value)}</b>'
        f'<span class="soft">{html.escape(note)}</span></div>'
    )


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, strong: Iterable[int] = (), left: Iterable[int] = ()
) -> str:
    """A table of text cells, all escaped."""
    bold, lefts = set(strong), set(left)

    def cells(kind: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{kind}{' class=left' if index in lefts else ''}>{html.escape(cell)}</{kind}>"
            for index, cell in enumerate(row)
        )

    lines = [f"<tr{' class=base' if index in bold else ''}>{cells('td', row)}</tr>" for index, row in enumerate(rows)]
    head = cells("th", columns)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
