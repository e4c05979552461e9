"""The MkDocs hook. Without it every page still renders, in one language and without proofs.

`mkdocs build` builds English after Chinese, into `site/en`; a warning in either fails it.
`mkdocs serve` builds again only the language that changed.
"""

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urljoin

import jinja2
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from tools import blocks, llms, preview
from tools.rooms import ROOT, SNIPPETS
from tools.snippet_index import index

PLACES = {"zh": "", "en": "en/"}
"""Where each language stands below the address of the site."""
TAGS = {"zh-Hans": "", "en": "en/", "x-default": "en/"}
"""What search engines call the languages, and where they stand."""
UNUSED = (
    "**/*.map",
    "assets/_mkdocstrings.css",
    "assets/images/favicon.png",
    "assets/javascripts/lunr",
    "assets/javascripts/workers",
    "assets/stylesheets/palette.*.css",
    "mkdocstrings",
)
"""What Material, mkdocstrings and our theme folder put into the site, and no page asks for."""

_COMMENT = re.compile(r"\s*/\*.*?\*/", re.DOTALL)
_PALETTE = re.compile(r'\s*<link rel="stylesheet" href="[^"]*/palette\.\w+\.min\.css">')


@dataclass
class _Build:
    """What is known while one language is built."""

    proofs: blocks.Proofs = field(default_factory=blocks.Proofs)
    texts: dict[str, str] = field(default_factory=dict)
    nav: Navigation | None = None


_now = _Build()
_command: Literal["build", "gh-deploy", "serve"] = "build"
_rendered = preview.Rendered()
_english_too = True


def language(config: MkDocsConfig) -> str:
    """`zh` or `en`."""
    return str(config.theme["language"])


def on_startup(command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:
    """Know whether this is a live preview."""
    global _command
    _command = command


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in what is known only now: addresses, proofs, what the snippet index lists."""
    global _now
    _now = _Build()
    if config.strict:  # --quiet would keep warnings from being counted
        log = logging.getLogger("mkdocs")
        log.setLevel(min(log.level, logging.WARNING))
    here = language(config)
    if not str(config.site_url).endswith(f"/{PLACES[here]}"):
        config.site_url = urljoin(str(config.site_url), PLACES[here])
    if not config.repo_url:
        config.edit_uri = None
    if "mkdocstrings" in config.plugins:
        options = config.plugins["mkdocstrings"].config.handlers["python"]["options"]
        options["extra"] = {"pages": index(here, config.nav or []), "chinese": here == "zh"}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Stop at an include without a file; publish each snippet once, for both languages."""
    for file in files.documentation_pages():
        _check_includes(Path(cast(str, file.abs_src_path)), Path(config.docs_dir))
    if language(config) == "zh":
        for path in sorted(SNIPPETS.rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def _check_includes(page: Path, docs: Path) -> None:
    for line, file in blocks.missing_includes(page.read_text("utf-8"), docs):
        raise Abort(
            f'{page.relative_to(ROOT)}:{line}: include of "{file.name}", but '
            f"{file.relative_to(ROOT)} does not exist; write that file or mend the name"
        )


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Remember the order of the pages."""
    _now.nav = nav


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name the file above each snippet; keep the text for language models."""
    name, docs = page.file.src_uri, Path(config.docs_dir)
    _now.texts[name] = llms.page_text(markdown, name, docs, str(config.site_url))
    if _command == "serve":
        _rendered.reuse(page, markdown, docs, files)
    return blocks.with_titles(markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Finish the code blocks: output lines, download, proof."""
    if _command == "serve":
        _rendered.keep(page)
    here = language(config)
    root = get_relative_url(".", page.url) + ("/" if here == "zh" else "/../")
    source = f"{config.repo_url.rstrip('/')}/blob/main/snippets/" if config.repo_url else ""
    return blocks.dressed(html, _now.proofs, here, f"{root}snippets/", source)


def on_env(env: jinja2.Environment, config: MkDocsConfig, files: Files) -> None:
    """Keep compiled templates, for speed; leave out a style sheet of mkdocstrings."""
    config.extra_css = [css for css in config.extra_css if "_mkdocstrings" not in str(css)]
    cache = ROOT / ".cache" / "jinja"
    cache.mkdir(parents=True, exist_ok=True)
    env.bytecode_cache = jinja2.FileSystemBytecodeCache(str(cache))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Leave out Material's palette: extra.css has the two schemes in use."""
    return _PALETTE.sub("", output)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Say in the sitemap which pages are the same in the other language."""
    if template_name != "sitemap.xml":
        return _PALETTE.sub("", output)
    site = str(config.site_url)
    root = site.removesuffix(PLACES[language(config)])

    def with_twins(loc: re.Match[str]) -> str:
        page = loc[1].removeprefix(site)
        return loc[0] + "".join(
            f'<xhtml:link rel="alternate" hreflang="{tag}" href="{root}{place}{page}"/>'
            for tag, place in TAGS.items()
        )

    output = output.replace("<urlset ", '<urlset xmlns:xhtml="http://www.w3.org/1999/xhtml" ', 1)
    return re.sub(r"<loc>([^<]+)</loc>", with_twins, output)


def on_post_build(config: MkDocsConfig) -> None:
    """Write what is made of all pages, drop what is not used, build English after Chinese."""
    site, nav = Path(config.site_dir), cast(Navigation, _now.nav)
    llms.write(_now.texts, nav, config)
    _describe_pages(site / "search" / "search_index.json", nav)
    for pattern in UNUSED:
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    style = site / "assets" / "extra.css"
    style.write_text(_COMMENT.sub("", style.read_text("utf-8")), "utf-8")
    if language(config) == "zh" and _english_too:
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
    config = load_config(
        str(Path(chinese.config_file_path).with_name("mkdocs.en.yml")),
        site_dir=str(Path(chinese.site_dir, "en")),
        site_url=chinese.site_url,
        strict=chinese.strict,
    )
    config.plugins.on_startup(command=_command, dirty=False)
    build(config)
    config.plugins.on_shutdown()


def on_serve(
    server: LiveReloadServer, config: MkDocsConfig, builder: Callable[[], None]
) -> LiveReloadServer:
    """Prove what changed, then build again only the language that changed."""
    from tools.prove import prove_changed  # a build needs neither PostgreSQL nor its tools

    seen = preview.written(ROOT)

    def rebuild() -> None:
        nonlocal seen
        prove_changed()
        now = preview.written(ROOT)
        changed = {part for part in now if now[part] != seen[part]}
        if changed == {"en"}:
            build_english(config)
        elif changed == {"zh"}:
            _build_chinese(Path(config.site_dir), builder)
        else:
            builder()
        seen = now

    server.builder = rebuild
    return server


def _build_chinese(site: Path, builder: Callable[[], None]) -> None:
    """Build the Chinese site only. The English one steps aside: a build empties its folder."""
    global _english_too
    with tempfile.TemporaryDirectory(dir=site.parent) as aside:
        english = shutil.move(site / "en", aside)
        _english_too = False
        try:
            builder()
        finally:
            _english_too = True
            shutil.move(english, site / "en")
