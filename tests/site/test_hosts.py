"""The built files load nothing from another host, and let search engines in."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.report import report
from tests.site.host import SITE_URL

NAMED_IN_MATERIAL = {
    "api.github.com",  # stars of a repository, which theme/partials/source.html does not ask for
    "unpkg.com",  # Mermaid, which no page has; and a comment
    "clipboardjs.com",  # a comment
}
"""Hosts in Material's own bundle; `open_page` fails when one of them is asked."""
LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}
LOADING = {"src", "srcset", "poster", "data", "background", "formaction"}
_URL = re.compile(r"\burl\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")
_ADDRESS = re.compile(r"(?<!\\)(?:https?:|wss?:)?//[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)


class Loads(HTMLParser):
    """What a browser fetches for a page by itself, and what its scripts and styles name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.robots: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "link" and LINKS & set(said.get("rel", "").lower().split()):
            self.found.append(said.get("href", ""))
        if tag in ("use", "image"):
            self.found += [said.get("href", ""), said.get("xlink:href", "")]
        if tag == "meta" and said.get("name", "").lower() in ("robots", "googlebot"):
            self.robots.append(said.get("content", ""))
        if tag == "meta" and said.get("http-equiv", "").lower() == "refresh":
            self.found.append(said.get("content", "").partition("=")[2])
        self.found += [
            part.split()[0]
            for name in LOADING & said.keys()
            for part in (said[name].split(", ") if name == "srcset" else [said[name]])
            if part.strip()
        ]
        self.found += list_urls(said.get("style", ""))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.found += list_urls(data)
        elif self._inside == "script":
            self.found += _ADDRESS.findall(data)


def list_urls(css: str) -> list[str]:
    """What a style sheet loads."""
    return [url or imported for url, imported in _URL.findall(css)]


def find_foreign(name: str, text: str) -> Iterator[str]:
    """The addresses on other hosts that a built file loads by itself, or names in a script."""
    if name.endswith(".html"):
        addresses = Loads(text).found
    else:
        addresses = list_urls(text) if name.endswith(".css") else _ADDRESS.findall(text)
    for address in addresses:
        parts = urlsplit(urljoin(SITE_URL + name, address))
        if parts.scheme in ("http", "https", "ws", "wss") and not parts.geturl().startswith(
            "/".join(SITE_URL.split("/")[:3])
        ):
            yield parts.netloc


def test_no_built_file_loads_from_another_host(site: Path) -> None:
    names = (path for kind in ("html", "css", "js") for path in sorted(site.rglob(f"*.{kind}")))
    report(
        f"site/{path.relative_to(site)}: loads from {host}; keep a copy in theme/assets"
        for path in names
        for host in find_foreign(path.relative_to(site).as_posix(), path.read_text("utf-8"))
        if not (path.name.startswith("bundle.") and host in NAMED_IN_MATERIAL)
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<img src="https://other.example/a.png">'),
        ("a.html", '<img srcset="a.png 1x, //other.example/a.png 2x">'),
        ("a.html", '<link rel="preconnect" href="https://other.example">'),
        ("a.html", '<p style="background: url(//other.example/a.png)">'),
        ("a.html", "<style>@import 'https://other.example/a.css'</style>"),
        ("a.html", '<script>import("https://other.example/a.js")</script>'),
        ("a.html", '<svg><use xlink:href="https://other.example/a.svg#b"/></svg>'),
        ("a.css", "@font-face { src: url( 'https://other.example/a.woff2' ) }"),
        ("a.js", 'fetch("https://other.example/a.json")'),
    ],
)
def test_a_load_from_another_host_is_found(name: str, text: str) -> None:
    assert list(find_foreign(name, text)) == ["other.example"]


def test_a_link_to_another_host_is_no_load() -> None:
    assert list(find_foreign("a.html", '<a href="https://other.example">there</a>')) == []


def test_search_engines_may_list_every_page(site: Path) -> None:
    report(
        f"site/{page.relative_to(site)}: tells search engines `{said}`; take that out"
        for page in sorted(site.rglob("*.html"))
        if page.name != "404.html"
        for said in Loads(page.read_text("utf-8")).robots
        if re.search(r"noindex|none|nosnippet", said, re.IGNORECASE)
    )
    robots = site / "robots.txt"
    assert not robots.is_file() or "Disallow: /" not in robots.read_text("utf-8")
