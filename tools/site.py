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
from pathlib import Path
from typing import cast
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

from tools import blocks, llms
from tools.snippet_index import index

ROOT = Path(__file__).resolve().parent.parent
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

_PALETTE = re.compile(r'\s*<link rel="stylesheet" href="[^"]*/palette\.\w+\.min\.css">')
_proofs = blocks.Proofs()
_texts: dict[str, str] = {}
_nav: Navigation | None = None
_english_too = True


def language(config: MkDocsConfig) -> str:
    """`zh` or `en`."""
    return str(config.theme["language"])


@event_priority(100)  # before mkdocstrings reads its options
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in what is known only now: addresses, proofs, what the snippet index lists."""
    global _proofs
    _proofs = blocks.Proofs()
    if config.strict:  # --quiet would keep warnings from being counted
        log = logging.getLogger("mkdocs")
        log.setLevel(min(log.level, logging.WARNING))
    _texts.clear()
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
        for path in sorted(blocks.SNIPPETS.rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> None:
    """Remember the order of the pages."""
    global _nav
    _nav = nav


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name the file above each snippet; keep the text for language models."""
    name = page.file.src_uri
    _texts[name] = llms.page_text(markdown, name, Path(config.docs_dir), str(config.site_url))
    return blocks.with_titles(markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Finish the code blocks: output lines, download, proof."""
    here = language(config)
    root = get_relative_url(".", page.url) + ("/" if here == "zh" else "/../")
    source = f"{config.repo_url.rstrip('/')}/blob/main/snippets/" if config.repo_url else ""
    return blocks.dressed(html, _proofs, here, f"{root}snippets/", source)


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
    """Write the texts for language models, drop what is not used, build English after Chinese."""
    nav = cast(Navigation, _nav)
    llms.write(_texts, nav, config)
    _describe_pages(Path(config.site_dir, "search", "search_index.json"), nav)
    for pattern in UNUSED:
        for path in list(Path(config.site_dir).glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if language(config) == "zh" and _english_too:
        build_english(config)


def build_english(chinese: MkDocsConfig) -> None:
    """Build the English site into `en/` of the Chinese one."""
    config = load_config(
        str(Path(chinese.config_file_path).with_name("mkdocs.en.yml")),
        site_dir=str(Path(chinese.site_dir, "en")),
        site_url=chinese.site_url,
        strict=chinese.strict,
    )
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    config.plugins.on_shutdown()


def on_serve(
    server: LiveReloadServer, config: MkDocsConfig, builder: Callable[[], None]
) -> LiveReloadServer:
    """Build again only the language that changed."""
    from tools.prove import prove_changed  # a build needs neither PostgreSQL nor its tools

    seen = _state()

    def rebuild() -> None:
        nonlocal seen
        prove_changed()
        now = _state()
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


def _state() -> dict[str, dict[Path, int]]:
    """When each file was written last: those of a language, and those of both."""
    folders = {
        "zh": [ROOT / "docs" / "zh"],
        "en": [ROOT / "docs" / "en", ROOT / "mkdocs.en.yml"],
        "both": [ROOT / "mkdocs.yml", ROOT / "theme", blocks.SNIPPETS, blocks.RECORD],
    }
    return {
        part: {
            file: file.stat().st_mtime_ns
            for path in paths
            for file in ([path] if path.is_file() else path.rglob("*.*"))
        }
        for part, paths in folders.items()
    }


def _describe_pages(index: Path, nav: Navigation) -> None:
    """Let the search know how the nav calls each page, and the page's description."""
    about = {
        page.url.removeprefix("./"): " ".join(
            [
                *(str(above.title) for above in page.ancestors),
                str(page.title),
                page.meta.get("description", ""),
            ]
        )
        for page in nav.pages
    }
    found = json.loads(index.read_text("utf-8"))
    for section in found["docs"]:
        if section["location"] in about:
            section["about"] = about[section["location"]]
    index.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")), "utf-8")


def _check_includes(page: Path, docs: Path) -> None:
    for line, name in blocks.missing_includes(page.read_text("utf-8"), [blocks.SNIPPETS, docs]):
        wanted = (blocks.SNIPPETS if name.endswith(".py") else docs) / name
        raise Abort(
            f'{page.relative_to(ROOT)}:{line}: include of "{name}", '
            f"but {wanted.relative_to(ROOT)} does not exist; write that file or mend the name"
        )
