"""Draw what `make bench` measured, for both languages.

    python -m tools.charts      draws `docs/measured.json` again

Each file is a picture, its figures in words for those who do not see it, and a table to open.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from tools.rooms import DOCS

MEASURED = DOCS / "measured.json"
WIDTH = 470
TALL = 130
"""The tallest column of a panel."""
ENDS = ("fastest_ms", "median_ms", "slowest_ms")

Record = dict[str, Any]
Words = dict[str, str]

WORDS: dict[str, Words] = {
    "zh": {
        "cores": "{} 核",
        "rate": "每秒次数",
        "slowest": "最慢的一次",
        "fastest": "最快的一次",
        "medians": "每项跑 {} 次，画的是中位数；细线从最慢的一次画到最快的一次",
        "means": "{} 次里所有查询的平均",
        "figures": "看数字",
        "told": "{}：{}。",
        "and": "，",
        "ms": "（毫秒）",
        "median_ms": "中位数",
        "slowest_ms": "最慢",
        "fastest_ms": "最快",
        "borrowing": "一次小查询要多久：连接从哪里来",
        "place": "数据库在哪里",
        "near": "同一台机器",
        "far": "往返 {:g} 毫秒的网络",
        "way": "连接从哪里来",
        "new": "新开连接",
        "ping": "池，加预检",
        "pooled": "池",
        "autocommit": "池，AUTOCOMMIT",
        "plateau": "吞吐量随 pool_size 怎样变",
        "query": "查询",
        "waiting": "等待的查询",
        "computing": "计算的查询",
        "per_second": "，每秒次数",
        "latency": "延迟随 pool_size 怎样变",
        "mean": "，平均毫秒数",
        "wait": "等连接",
        "held": "占着连接",
        "total": "合计",
        "neighbor": "旁边的池有多大，邻居的一条查询要多久",
        "somebody": "邻居的查询",
    },
    "en": {
        "cores": "{} cores",
        "rate": "Per second",
        "slowest": "Slowest run",
        "fastest": "Fastest run",
        "medians": "median of {} runs; thin lines go from the slowest to the fastest",
        "means": "mean of all queries in {} runs",
        "figures": "Figures",
        "told": "{}: {}. ",
        "and": ", ",
        "ms": ", ms",
        "median_ms": "Median",
        "slowest_ms": "Slowest",
        "fastest_ms": "Fastest",
        "borrowing": "How long one small query takes, by where its connection comes from",
        "place": "Database",
        "near": "On the same machine",
        "far": "Across a network with a round trip of {:g} ms",
        "way": "Connection",
        "new": "New",
        "ping": "Pool, pre-ping",
        "pooled": "Pool",
        "autocommit": "Pool, AUTOCOMMIT",
        "plateau": "Throughput by pool_size",
        "query": "Queries",
        "waiting": "Queries that wait",
        "computing": "Queries that compute",
        "per_second": ", per second",
        "latency": "Latency by pool_size",
        "mean": ", mean in ms",
        "wait": "Waiting for a connection",
        "held": "Holding one",
        "total": "Total",
        "neighbor": "How long a neighbor's query takes, by the size of the pool next door",
        "somebody": "The neighbor's query",
    },
}


def write(record: Record) -> None:
    """Keep the record, and draw it."""
    MEASURED.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for path, drawing in drawn(record).items():
        path.write_text(drawing, "utf-8")


def drawn(record: Record) -> dict[Path, str]:
    """Every file that is made of the record, and its text."""
    return {
        DOCS / language / "sizing" / f"{name}.svg": figure(name, draw(record, words), record, words)
        for language, words in WORDS.items()
        for name, draw in CHARTS.items()
    }


def software(record: Record) -> str:
    """`SQLAlchemy 2.1.9, asyncpg 0.32.0, ...`: what took part."""
    return ", ".join(
        f"{name} {version}" for name, version in record["versions"].items() if name != "psycopg"
    )


@dataclass
class Picture:
    """A chart while it is drawn."""

    head: list[str]
    """Of the table below it."""
    rows: list[list[str]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Elements of SVG."""
    told: list[tuple[str, list[str]]] = field(default_factory=list)
    """The title and the figures of each panel, for those who do not see it."""
    height: float = 0
    note: str = "medians"
    """Which of the words says what is drawn."""

    def tell(self, title: str, names: Sequence[str], values: Sequence[str]) -> None:
        """Say what a panel shows."""
        pairs = [f"{name} → {value}" for name, value in zip(names, values, strict=True)]
        self.told.append((title, pairs))

    def panel(self, title: str, rows: Sequence[dict[str, float]]) -> float:
        """Begin a panel of columns: its title, its floor, and pool_size below that.

        Returns:
            The height of its floor.
        """
        floor = self.height + TALL + 55
        sizes = zip(middles(rows), rows, strict=True)
        self.parts += [
            label(0, self.height + 18, title),
            line(0, floor, WIDTH, floor),
            *(label(x, floor + 20, f"{row['pool_size']}", "middle") for x, row in sizes),
            label(WIDTH, floor + 40, "pool_size", "end"),
        ]
        self.height = floor + 60
        return floor


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
    to.height -= 20
    return to


CHARTS: dict[str, Callable[[Record, Words], Picture]] = {
    "borrowing": borrowing,
    "plateau": plateau,
    "latency": latency,
    "neighbor": neighbor,
}


# What they are made of


def figure(name: str, picture: Picture, record: Record, words: Words) -> str:
    """The picture, the table under it, and the conditions: HTML without a blank line."""
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


def sizes(rows: Sequence[dict[str, float]]) -> list[str]:
    """The names of a panel's columns."""
    return [f"{row['pool_size']}" for row in rows]


def cells(tag: str, row: Sequence[str]) -> str:
    """One row of a table."""
    return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)


def short(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def middles(columns: Sequence[object]) -> list[float]:
    """Where the columns of a panel have their middle."""
    return [WIDTH * (number + 0.5) / len(columns) for number in range(len(columns))]


def label(x: float, y: float, words: str, anchor: str = "start") -> str:
    """A line of text."""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A thin line."""
    return f'<line class="p-line" x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"/>'


def box(style: str, x: float, y: float, width: float, height: float) -> str:
    """A bar, a column, or a part of one."""
    return (
        f'<rect class="{style}" x="{x:.0f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


if __name__ == "__main__":
    write(json.loads(MEASURED.read_text("utf-8")))
