"""The pages as Markdown for language models: `llms.txt`, `llms-full.txt`, a file for each page.

Made from the sources and not from HTML: code is the snippet's file, byte for byte.
"""

import re
import textwrap
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

from tools.site.includes import find_included
from tools.site.pages import INCLUDE

_CODE_ID_OR_LINK = re.compile(
    r"(?P<code>^(?P<fence>`{3,}).*?^(?P=fence)$|`[^`\n]+`)"
    r"|(?P<id> *\{ *#[\w-]+ *\})"
    r"|^<script\b[^>]*></script>\n+"
    r"|(?<=\]\()(?P<page>[\w./-]+\.(?:md|zip))(?:#[\w-]*)?(?=\))",
    re.MULTILINE | re.DOTALL,
)
_WORDS_OF_PICTURE = re.compile(r"<(title|desc)\b[^>]*>(.*?)</\1>", re.DOTALL)
_DIRECTIVE = re.compile(r"^:::", re.MULTILINE)


def page_text(markdown: str, page: str, docs: Path, site: str) -> str:
    """A page's Markdown with what it includes in place, and links to the Markdown of other pages.

    Args:
        markdown: The page as written, without front matter.
        page: Its file, `pool/size.md`.
        docs: The folder of the page's language.
        site: The address of the language's site.

    Returns:
        The text; nothing for the snippet index, since its snippets are on the other pages.
    """

    def for_models(match: re.Match[str]) -> str:
        if match["page"]:
            return site + address(urljoin(site + page, match["page"]).removeprefix(site))
        return match["code"] or ""

    if _DIRECTIVE.search(markdown):
        return ""
    text = INCLUDE.sub(lambda include: _included(include[1], include[2], docs), markdown)
    return _CODE_ID_OR_LINK.sub(for_models, text).strip() + "\n"


def address(page: str) -> str:
    """Where the Markdown of `pool/size.md` is on the site, `pool/size/index.md`; else the file."""
    is_there = Path(page).name == "index.md" or not page.endswith(".md")
    return page if is_there else page.removesuffix(".md") + "/index.md"


def write(texts: dict[str, str], nav: Navigation, config: MkDocsConfig) -> None:
    """Write the files of one language.

    Args:
        texts: What `page_text` made of each page, by its file.
        nav: The order of the pages, by chapter.
        config: The language's site.
    """
    site = Path(config.site_dir)
    head = f"# {config.site_name}\n\n> {config.site_description}\n"
    contents, full = [head], [head]
    for item in nav.items:
        chapter = item.children if isinstance(item, Section) else [item]
        contents.append(f"## {item.title}\n")
        for page in (page for page in chapter or [] if isinstance(page, Page)):
            name = page.file.src_uri
            if text := texts.get(name):
                (site / address(name)).write_text(text, "utf-8")
                about = f": {page.meta['description']}" if "description" in page.meta else ""
                contents.append(f"- [{page.title}]({config.site_url}{address(name)}){about}")
                full.append(text)
        contents.append("")
    (site / "llms.txt").write_text("\n".join(contents), "utf-8")
    (site / "llms-full.txt").write_text("\n".join(full), "utf-8")


def _included(indent: str, name: str, docs: Path) -> str:
    text = find_included(name, docs).read_text("utf-8")
    if name.endswith(".svg"):
        words = _WORDS_OF_PICTURE.findall(text)
        return "\n\n".join(unescape(text.strip()) for _, text in words)
    return textwrap.indent(text.rstrip("\n"), indent)
