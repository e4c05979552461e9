"""The MkDocs hook. Without it every page still renders, in one language and without proofs.

`mkdocs build` builds English after Chinese, into `site/en`; a warning in either fails it.
`make serve` builds each language by itself: `tools/site/preview.py`.
"""

import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urljoin, urlsplit

import jinja2
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from tools.paths import CACHE, ROOT, SNIPPETS
from tools.proof.record import Record
from tools.proof.recording import find_recording, recording_name
from tools.proof.snippets import list_snippets
from tools.site import cards, llms
from tools.site.archives import add_sizes, build_archive, list_archives
from tools.site.checklists import add_boxes
from tools.site.faults import find_unbuildable
from tools.site.languages import CHINESE, ENGLISH, HREFLANG, LANGUAGES, Language
from tools.site.lighten import drop_palette, lighten_page, lighten_site
from tools.site.rendered import Rendered
from tools.site.replays import add_replays
from tools.site.snippet_index import list_groups
from tools.site.tables import finish_tables
from tools.site.trees import add_trees
from tools.words import SITE


@dataclass
class _Site:
    """What is known from one event of MkDocs to the next."""

    rendered: Rendered | None = None
    """Of a live preview, the pages as they were rendered last."""
    record: Record = field(default_factory=Record)
    texts: dict[str, str] = field(default_factory=dict)
    """Of the language that is built, for language models, by page."""
    nav: Navigation | None = None

    def begin(self) -> None:
        """A language is built anew."""
        self.record, self.texts, self.nav = Record.load(), {}, None


_site = _Site()


def find_language(config: MkDocsConfig) -> Language:
    """The language that a configuration is for."""
    return LANGUAGES[str(config.theme["language"])]


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in what is known only now: addresses, proofs, what the snippet index lists."""
    _site.begin()
    _site.rendered = config.extra.get("rendered")
    if config.strict:  # --quiet would keep warnings from being counted
        log = logging.getLogger("mkdocs")
        log.setLevel(min(log.level, logging.WARNING))
    language = find_language(config)
    if not str(config.site_url).endswith(f"/{language.prefix}"):
        config.site_url = urljoin(str(config.site_url), language.prefix)
    # One color scheme for both languages: Material keeps the choice under this path.
    config.extra["scope"] = urlsplit(str(config.site_url)).path.removesuffix(language.prefix)
    if not config.repo_url:
        config.edit_uri = None
    if "mkdocstrings" in config.plugins:
        options = config.plugins["mkdocstrings"].config.handlers["python"]["options"]
        options["extra"] = {
            "pages": list_groups(language.code, config.nav or []),
            "chinese": language == CHINESE,
        }
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Stop at a page that cannot be made; publish archives, and each snippet and recording once.

    Raises:
        Abort: Says file, line and cure, a sentence for each fault.
    """
    language = find_language(config)
    if faults := list(find_unbuildable(language.code)):
        raise Abort("\n".join(faults))
    for name, folder in list_archives().items():
        files.append(File.generated(config, name, content=build_archive(folder)))
    if language == CHINESE:
        for path in sorted(SNIPPETS.rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
        for path in list_snippets():
            if recording := find_recording(path):
                name = f"recordings/{recording_name(path)}"
                files.append(File.generated(config, name, content=recording.publish()))
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Remember the order of the pages."""
    _site.nav = nav


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name the file above each snippet; keep the text for language models."""
    name, docs = page.file.src_uri, Path(config.docs_dir)
    _site.texts[name] = llms.page_text(markdown, name, docs, str(config.site_url))
    if _site.rendered:
        _site.rendered.reuse(page, markdown, docs, files)
    return cards.add_titles(markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Finish the code blocks: output lines, download, proof.

    Raises:
        Abort: One of them did not come out of the highlighter as expected.
    """
    if _site.rendered:
        _site.rendered.keep(page)
    language = find_language(config)
    root = get_relative_url(".", page.url) + ("/" if language == CHINESE else "/../")
    source = f"{config.repo_url.rstrip('/')}/blob/main/snippets/" if config.repo_url else ""
    html = _add_trees(html, page, language)
    html = cards.render_snippet_cards(html, _site.record, language.code, root, source)
    for lost in cards.find_lost_cards(page.markdown or "", html):
        raise Abort(
            f"docs/{language.code}/{page.file.src_uri}: {lost} did not get onto the page; mend "
            "tools/site/cards.py, or the settings of pymdownx.highlight in mkdocs.yml"
        )
    return finish_tables(add_boxes(add_sizes(add_replays(html), language.code)))


def _add_trees(html: str, page: Page, language: Language) -> str:
    name = page.file.src_uri
    try:
        return add_trees(html, name)
    except ValueError as error:
        raise Abort(f"docs/{language.code}/{name}: {error}") from error


def on_env(env: jinja2.Environment, config: MkDocsConfig, files: Files) -> None:
    """Keep compiled templates, for speed; leave out a style sheet of mkdocstrings."""
    config.extra_css = [css for css in config.extra_css if "_mkdocstrings" not in str(css)]
    cache = CACHE / "jinja"
    cache.mkdir(parents=True, exist_ok=True)
    env.bytecode_cache = jinja2.FileSystemBytecodeCache(str(cache))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Make the page lighter, and give Material's dialog the name that it lacks."""
    name = SITE[find_language(config).code]["search"]
    output = output.replace('role="dialog"', f'role="dialog" aria-label="{name}"')
    return lighten_page(output)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Say in the sitemap which pages are the same in the other language."""
    if template_name != "sitemap.xml":
        return drop_palette(output)
    site = str(config.site_url)
    root = site.removesuffix(find_language(config).prefix)

    def with_twins(loc: re.Match[str]) -> str:
        page = loc[1].removeprefix(site)
        return loc[0] + "".join(
            f'<xhtml:link rel="alternate" hreflang="{tag}" href="{root}{place}{page}"/>'
            for tag, place in HREFLANG.items()
        )

    output = output.replace("<urlset ", '<urlset xmlns:xhtml="http://www.w3.org/1999/xhtml" ', 1)
    return re.sub(r"<loc>([^<]+)</loc>", with_twins, output)


def on_post_build(config: MkDocsConfig) -> None:
    """Write what is made of all pages, drop what is not used, build English after Chinese."""
    site, nav = Path(config.site_dir), cast(Navigation, _site.nav)
    llms.write(_site.texts, nav, config)
    _describe_pages(site / "search" / "search_index.json", nav)
    lighten_site(site)
    if find_language(config) == CHINESE and not _site.rendered:
        build_english(config)


def _describe_pages(search_index: Path, nav: Navigation) -> None:
    """Let the search know what the nav calls a page, and the page's description."""
    about = {
        page.url.removeprefix("./"): " ".join([str(item.title) for item in (*page.ancestors, page)])
        + f" {page.meta.get('description', '')}"
        for page in nav.pages
    }
    found = json.loads(search_index.read_text("utf-8"))
    for section in found["docs"]:
        if section["location"] in about:
            section["about"] = about[section["location"]]
    search_index.write_text(json.dumps(found, ensure_ascii=False), "utf-8")


def build_english(chinese: MkDocsConfig) -> None:
    """Build the English site into `en/` of the Chinese one."""
    folder = Path(chinese.site_dir, ENGLISH.prefix)
    build_language(ENGLISH, folder, str(chinese.site_url), strict=chinese.strict)


def build_language(
    language: Language,
    folder: Path,
    site_url: str,
    *,
    strict: bool = False,
    rendered: Rendered | None = None,
) -> None:
    """Build the site of one language.

    Args:
        language: The one to build.
        folder: Where the site goes; it is emptied first.
        site_url: The address of the whole site.
        strict: Whether a warning fails the build.
        rendered: For a live preview, the pages as they were rendered last; then Chinese is not
            followed by English.

    Raises:
        MkDocsException: It cannot be built; MkDocs has logged why, or the exception says it.
    """
    config = load_config(
        str(ROOT / language.config), site_dir=str(folder), site_url=site_url, strict=strict
    )
    if rendered:
        config.extra["rendered"] = rendered
    config.plugins.on_startup(command="serve" if rendered else "build", dirty=False)
    try:
        build(config)
    finally:
        config.plugins.on_shutdown()
