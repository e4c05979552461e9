"""Draw what `make bench` measured, for both languages; `python -m tools charts` draws it again.

Each file is a picture, its figures in words for those who do not see it, and a table to open.
"""

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from tools.measure.picture import (
    TALL,
    WIDTH,
    Picture,
    box,
    cells,
    label,
    line,
    middles,
    short,
    sizes,
)
from tools.paths import DOCS
from tools.proof.seals import write_sealed
from tools.words import CHART

MEASURED = DOCS / "measured.json"
ENDS = ("fastest_ms", "median_ms", "slowest_ms")

Record = dict[str, Any]
Words = dict[str, str]


def write_and_draw(record: Record) -> None:
    """Write the record down, and draw it."""
    write_sealed(MEASURED, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    draw(record)


def draw(record: Record) -> None:
    """Draw the record in both languages."""
    for path, drawing in render_charts(record).items():
        path.write_text(drawing, "utf-8")


def render_charts(record: Record) -> dict[Path, str]:
    """Every file that is made of the record, and its text."""
    return {
        DOCS / language / "sizing" / f"{name}.svg": figure(name, draw(record, words), record, words)
        for language, words in CHART.items()
        for name, draw in CHARTS.items()
    }


def software(record: Record) -> str:
    """`SQLAlchemy 2.1.9, asyncpg 0.32.0, ...`: what took part."""
    return ", ".join(
        f"{name} {version}" for name, version in record["versions"].items() if name != "psycopg"
    )


def borrowing(record: Record, words: Words) -> Picture:
    """Bars: one small query on a connection of each kind, near and far."""
    to = Picture([words["place"], words["way"], *(words[end] + words["ms"] for end in ENDS)])
    for place in ("near", "far"):
        name = words[place].format(record["round_trip_ms"])
        rows = [row for row in record["borrowing"] if row["place"] == place]
        ways, medians = (
            [words[row["way"]] for row in rows],
            [short(row["median_ms"]) for row in rows],
        )
        to.parts.append(label(0, to.height + 18, name + words["ms"]))
        to.tell(name + words["ms"], ways, medians)
        scale = 235 / max(row["slowest_ms"] for row in rows)
        for row, way, figure in zip(rows, ways, medians, strict=True):
            to.height += 30
            y = to.height + 12
            fastest, middle, slowest = (165 + scale * row[end] for end in ENDS)
            to.parts += [
                label(0, y + 5, way),
                box("p-backend" if row["way"] == "new" else "p-pool", 165, y - 9, middle - 165, 18),
                line(fastest, y, slowest, y),
                label(slowest + 8, y + 5, figure),
            ]
            to.rows.append([name, way, *(short(row[end]) for end in ENDS)])
        to.height += 50
    to.height -= 15
    return to


def plateau(record: Record, words: Words) -> Picture:
    """Dots: throughput at each size, of queries that wait and of queries that compute."""
    ends = ("rate", "slowest", "fastest")
    to = Picture([words["query"], "pool_size", *(words[end] for end in ends)])
    for kind in record["queries"]:
        rows, title = record[kind], words[kind] + words["per_second"]
        floor = to.panel(title, rows)
        scale = TALL / max(row["fastest"] for row in rows)
        dots = list[str]()
        for x, row in zip(middles(rows), rows, strict=True):
            y, slowest, fastest = (floor - scale * row[end] for end in ends)
            dots.append(f"{x:.0f},{y:.0f}")
            to.parts += [
                line(x, slowest, x, fastest),
                f'<circle class="p-pool" cx="{x:.0f}" cy="{y:.0f}" r="4"/>',
                label(x + 10, fastest - 10, short(row["rate"]), "end"),
            ]
            to.rows.append([words[kind], *(short(row[of]) for of in ("pool_size", *ends))])
        to.parts.append(f'<polyline class="p-pool" fill="none" points="{" ".join(dots)}"/>')
        to.tell(title, sizes(rows), [short(row["rate"]) for row in rows])
    return to


def latency(record: Record, words: Words) -> Picture:
    """Columns of two parts: the wait for a connection, and the time with it."""
    parts = [words["wait"], words["held"]]
    head = [words["query"], "pool_size", *parts, words["total"], "p50", "p95", "p99"]
    to = Picture(head, note="means")
    for kind in record["queries"]:
        rows, title = record[kind], words[kind] + words["mean"]
        floor = to.panel(title, rows)
        scale = TALL / max(row["mean_ms"] for row in rows)
        means = list[str]()
        for x, row in zip(middles(rows), rows, strict=True):
            wait, total = row["mean_wait_ms"], row["mean_ms"]
            y = floor - scale * total
            to.parts += [
                box("p-pool", x - 18, y, 36, scale * wait),
                box("p-backend", x - 18, y + scale * wait, 36, scale * (total - wait)),
                label(x, y - 8, short(total), "middle"),
            ]
            means.append(f"{short(wait)} + {short(total - wait)}")
            times = wait, total - wait, total, row["p50_ms"], row["p95_ms"], row["p99_ms"]
            to.rows.append([words[kind], str(row["pool_size"]), *map(short, times)])
        to.tell(title + words["and"] + " + ".join(parts), sizes(rows), means)
    for x, style, name in zip((1, 270), ("p-pool", "p-backend"), parts, strict=True):
        to.parts += [box(style, x, to.height + 2, 26, 13), label(x + 34, to.height + 14, name)]
    to.height += 20
    return to


def neighbor(record: Record, words: Words) -> Picture:
    """Columns: what somebody else's query takes beside a pool of each size."""
    rows, title = record["neighbor"], words["somebody"] + words["ms"]
    to = Picture(["pool_size", *(words[end] + words["ms"] for end in ENDS)])
    floor = to.panel(title, rows)
    scale = TALL / max(row["slowest_ms"] for row in rows)
    for x, row in zip(middles(rows), rows, strict=True):
        fastest, middle, slowest = (scale * row[end] for end in ENDS)
        to.parts += [
            box("p-session", x - 18, floor - middle, 36, middle),
            line(x, floor - fastest, x, floor - slowest),
            label(x, floor - slowest - 8, short(row["median_ms"]), "middle"),
        ]
        to.rows.append([short(row[of]) for of in ("pool_size", *ENDS)])
    to.tell(title, sizes(rows), [short(row["median_ms"]) for row in rows])
    to.height -= 10
    return to


CHARTS: dict[str, Callable[[Record, Words], Picture]] = {
    "borrowing": borrowing,
    "plateau": plateau,
    "latency": latency,
    "neighbor": neighbor,
}


def figure(name: str, picture: Picture, record: Record, words: Words) -> str:
    """The picture, the table under it, and the conditions: HTML without a blank line.

    Args:
        name: A key of `CHARTS`, of which ids are made.
        picture: What that one drew.
        record: What was measured, with where and when.
        words: Those of the language.
    """
    told = "".join(
        words["told"].format(title, words["and"].join(pairs)) for title, pairs in picture.told
    )
    where = f"{record['date']} · {record['processor']}, {words['cores'].format(record['cores'])}"
    return "\n".join(
        [
            '<figure class="picture" markdown="0">',
            f'<svg viewBox="0 0 {WIDTH} {picture.height:.0f}" style="max-width:29rem" role="img"'
            f' aria-labelledby="{name}-title {name}-desc" font-size="16" fill="currentColor">',
            f'<title id="{name}-title">{escape(words[name])}</title>',
            f'<desc id="{name}-desc">{escape(told.strip())}</desc>',
            *picture.parts,
            "</svg>",
            f"<details><summary>{words['figures']}</summary><table>",
            f"<thead><tr>{cells('th', picture.head)}</tr></thead><tbody>",
            *(f"<tr>{cells('td', row)}</tr>" for row in picture.rows),
            "</tbody></table></details>",
            f"<figcaption>{escape(where)} · {escape(software(record).replace(', ', ' · '))}<br>",
            f"{words[picture.note].format(record['repeats'])}</figcaption>",
            "</figure>\n",
        ]
    )


def redraw() -> None:
    """Draw the record as it stands."""
    draw(json.loads(MEASURED.read_text("utf-8")))
