"""The files of the site: what is published, and what each says of the others."""

import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import pytest
from mkdocs.utils.meta import get_data

from tests.site.conftest import REPOSITORY
from tests.site.every_page import addresses
from tests.site.host import PREFIX, SITE_URL
from tools.paths import DOCS, ROOT, SNIPPETS
from tools.site.pages import INCLUDE, pages
from tools.site.vendor import LIBRARIES, Library

PLACES = {"zh": "", "en": "en/"}


def html(site: Path, path: str) -> str:
    return (site / path / "index.html").read_text("utf-8")


def file_of(site: Path, path: str, link: str) -> Path:
    """The file a link of a page leads to."""
    return site / urlsplit(urljoin(SITE_URL + path, link)).path.removeprefix(PREFIX)


def twin(path: str) -> str:
    return path.removeprefix("en/") if path.startswith("en/") else f"en/{path}"


@pytest.mark.parametrize("path", addresses())
def test_a_page_names_itself_its_twin_and_its_source(site: Path, path: str) -> None:
    text = html(site, path)
    [canonical] = re.findall(r'<link rel="canonical" href="([^"]+)"', text)
    [other] = re.findall(r'class="[^"]*\bswitch" href="([^"]+)"', text)
    [edit] = re.findall(r'<a href="([^"]+)"[^>]* rel="edit"', text)
    [title] = re.findall(r"<title>([^<]+)</title>", text)
    [heading] = re.findall(r"<h1[^>]*>(.+?)<a class", text)
    language = "en" if path.startswith("en/") else "zh"
    source = f"{path.removeprefix('en/').rstrip('/') or 'index'}.md"
    assert title.startswith(f"{re.sub('<[^>]+>', '', heading)} · ")
    assert canonical == SITE_URL + path
    assert urljoin(SITE_URL + path, other) == SITE_URL + twin(path)
    assert edit == f"{REPOSITORY}/edit/main/docs/{language}/{source}"
    assert text.startswith(f'\n<!doctype html>\n<html lang="{language}"'), text[:60]


class Descriptions(HTMLParser):
    """The descriptions that a browser reads in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "meta" and said.get("name") == "description":
            self.found.append(said.get("content"))


@pytest.mark.parametrize("path", addresses())
def test_a_page_is_described_by_its_front_matter_whole(site: Path, path: str) -> None:
    language = "en" if path.startswith("en/") else "zh"
    source = f"{path.removeprefix('en/').rstrip('/') or 'index'}.md"
    _, said = get_data((DOCS / language / source).read_text("utf-8"))
    assert Descriptions(html(site, path)).found == [said["description"]]


@pytest.mark.parametrize("path", addresses())
def test_each_snippet_of_a_page_can_be_downloaded_and_has_its_source(site: Path, path: str) -> None:
    text = html(site, path)
    source = f"{path.removeprefix('en/').rstrip('/') or 'index'}.md"
    language = "en" if path.startswith("en/") else "zh"
    markdown = (DOCS / language / source).read_text("utf-8")
    links = re.findall(r'<a href="([^"]+)" download[^>]*>([^<]+)</a>', text)
    included = [name for _, name in INCLUDE.findall(markdown) if name.endswith(".py")]
    assert [name for _, name in links] == included
    for link, name in links:
        assert file_of(site, path, link).read_bytes() == (SNIPPETS / name).read_bytes()
        assert f'<a href="{REPOSITORY}/blob/main/snippets/{name}">' in text


def test_every_snippet_is_published_once(site: Path) -> None:
    published = {path.relative_to(site / "snippets") for path in (site / "snippets").rglob("*.*")}
    assert published == {path.relative_to(SNIPPETS) for path in SNIPPETS.rglob("*.py")}
    assert not (site / "en" / "snippets").exists()


@pytest.mark.parametrize("language", PLACES)
def test_the_snippet_index_leads_to_the_section_that_shows_each(site: Path, language: str) -> None:
    path = f"{PLACES[language]}reference/snippets/"
    entries = re.findall(r'<li><a href="([^"]+)">([\w/]+\.py)</a> (.+?)</li>', html(site, path))
    assert len(entries) == len(list(SNIPPETS.rglob("*.py")))
    for link, name, claim in entries:
        page = (file_of(site, path, link) / "index.html").read_text("utf-8")
        section = page.split(f' id="{urlsplit(link).fragment}"')[-1].split("<h2")[0]
        assert f"/{name}</a>" in section, f"{link} does not show {name}"
        assert bool(re.search("[一-鿿]", claim)) == (language == "zh"), claim


@pytest.mark.parametrize("language", PLACES)
def test_the_sitemap_names_each_page_in_both_languages(site: Path, language: str) -> None:
    space = {"": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}
    sitemap = ElementTree.parse(site / PLACES[language] / "sitemap.xml")
    found = {
        url.findtext("loc", None, space): {
            link.get("hreflang"): link.get("href") for link in url.findall("x:link", space)
        }
        for url in sitemap.findall("url", space)
    }
    own = {path for path in addresses() if path.startswith("en/") == (language == "en")}
    assert found == {
        SITE_URL + path: {
            "zh-Hans": SITE_URL + path.removeprefix("en/"),
            "en": f"{SITE_URL}en/{path.removeprefix('en/')}",
            "x-default": f"{SITE_URL}en/{path.removeprefix('en/')}",
        }
        for path in own
    }


@pytest.mark.parametrize("language", PLACES)
def test_language_models_get_every_page_with_the_code_as_it_is(site: Path, language: str) -> None:
    folder = site / PLACES[language]
    contents, full = ((folder / name).read_text("utf-8") for name in ("llms.txt", "llms-full.txt"))
    linked = re.findall(r"^- \[.+?\]\((\S+)\): \S", contents, re.MULTILINE)
    assert all((site / link.removeprefix(SITE_URL)).is_file() for link in linked)
    assert len(linked) == len(pages(language)) - 1, "all but the snippet index"

    for page in pages(language):
        for _, name in INCLUDE.findall(page.path.read_text("utf-8")):
            if name.endswith(".py"):
                assert f"```python\n{(SNIPPETS / name).read_text('utf-8')}```" in full, name
            elif fence := {".txt": "text", ".toml": "toml", ".yml": "yaml"}.get(Path(name).suffix):
                assert f"```{fence}\n{(SNIPPETS / name).read_text('utf-8')}```" in full, name
            elif not name.endswith(".svg"):
                assert f"\n{(SNIPPETS / name).read_text('utf-8')}```" in full, name
            else:
                picture = (DOCS / language / name).read_text("utf-8")
                assert unescape(re.findall(r"<desc[^>]*>(.*?)</desc>", picture)[0]) in full, name
    prose = re.sub(r"^```.*?^```$|`[^`\n]+`", "", full, flags=re.DOTALL | re.MULTILINE)
    debris = re.findall(r"--8<--|\{ *#\w|<figure|<svg|<script|^:::", prose, re.MULTILINE)
    assert debris == []
    for link in re.findall(r"\]\((https://guide\.example/[^)#]+)", full):
        assert (site / link.removeprefix(SITE_URL)).is_file(), link


def test_the_site_has_no_file_that_no_page_asks_for(site: Path) -> None:
    for leftover in ("**/*.map", "**/lunr", "**/javascripts/workers", "**/*.jinja", "**/*palette*"):
        assert list(site.glob(leftover)) == []


def test_our_colors_replace_all_of_materials_dark_ones() -> None:
    """The site leaves Material's palette out: what that sets for dark pages, extra.css must."""
    styles = files("material") / "templates/assets/stylesheets"
    [palette] = [file for file in styles.iterdir() if re.fullmatch(r"palette\..+\.css", file.name)]
    [dark] = re.findall(
        r"\{\[data-md-color-scheme=slate\]\{(.*?)\}", palette.read_text("utf-8"), re.DOTALL
    )
    ours = (ROOT / "theme/assets/extra.css").read_text("utf-8")
    names = set(re.findall(r"(--md-[\w-]+):", dark)) - {"--md-hue"}
    assert {name for name in names if f"{name}:" not in ours} == set()


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=str)
def test_a_vendored_library_is_the_published_one(library: Library) -> None:
    record = json.loads(library.record.read_text("utf-8"))
    assert set(record["sha256"]) == set(library.files.values())
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((library.folder / name).read_bytes()).hexdigest() == digest
