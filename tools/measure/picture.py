"""What charts are made of: panels, columns, labels, and the words for those who do not see them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 470
"""Of a picture; all measures are units of its `viewBox`."""
TALL = 130
"""The tallest column of a panel."""


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
        """Say what a panel shows, for those who do not see it.

        Args:
            title: Of the panel, with the unit of its figures.
            names: Of its columns.
            values: Their figures, one for each name.
        """
        pairs = [f"{name} → {value}" for name, value in zip(names, values, strict=True)]
        self.told.append((title, pairs))

    def panel(self, title: str, rows: Sequence[dict[str, float]]) -> float:
        """Begin a panel of columns: its title, its floor, and pool_size below that.

        Args:
            title: What stands above it.
            rows: One for each column, with its `pool_size`.

        Returns:
            The height of its floor, in units of the `viewBox`.
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
    """A line of text.

    Args:
        x: Of its anchor, in units of the `viewBox`.
        y: Of its baseline, counted downwards.
        words: The text, not escaped.
        anchor: Where x is of it: `start`, `middle` or `end`.
    """
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A thin line.

    Args:
        x1: Of its one end, in units of the `viewBox`.
        y1: The same, counted downwards.
        x2: Of the other end.
        y2: The same, counted downwards.
    """
    return f'<line class="p-line" x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"/>'


def box(style: str, x: float, y: float, width: float, height: float) -> str:
    """A bar, a column, or a part of one.

    Args:
        style: A class of `theme/assets/extra.css`: `p-pool`, `p-backend`.
        x: Of its upper left corner, in units of the `viewBox`.
        y: The same, counted downwards.
        width: In the same units.
        height: In the same units.
    """
    return (
        f'<rect class="{style}" x="{x:.0f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )
