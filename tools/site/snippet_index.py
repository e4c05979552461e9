"""The snippet index: every file below `snippets/`, by page, with the section that shows it."""

from collections.abc import Iterator
from typing import Any

from tools.paths import SNIPPETS
from tools.proof.snippets import find_encoding_fault, find_home, read_claims, snippet_name
from tools.site.pages import INCLUDE, list_nav, pages


def list_groups(language: str, nav: list[Any]) -> list[dict[str, Any]]:
    """What `theme/mkdocstrings` lays out: a group for each folder of snippets.

    Complete by construction: it lists the files, the nav gives only order and titles.

    Args:
        language: `zh` or `en`.
        nav: The `nav` of the language's MkDocs config.
    """
    shown = dict(_sections(language))
    titles = {name.removesuffix(".md"): title for name, title in list_nav(nav)}
    order = {name: place for place, name in enumerate(titles)}
    folders = {find_home(path) for path in SNIPPETS.rglob("*.py")}
    return [
        {
            "id": folder.replace("/", "-"),
            "title": titles.get(folder, folder),
            "href": _address(f"{folder}.md") if folder in titles else "",
            "snippets": [
                {
                    "module": snippet_name(path).removesuffix(".py").replace("/", "."),
                    "file": path.relative_to(SNIPPETS / folder).as_posix(),
                    "href": shown.get(snippet_name(path), ""),
                    "has_claim": any(read_claims(path) or ()),
                }
                for path in sorted((SNIPPETS / folder).rglob("*.py"))
                if find_home(path) == folder
            ],
        }
        for folder in sorted(folders, key=lambda name: (order.get(name, len(order)), name))
    ]


def _sections(language: str) -> Iterator[tuple[str, str]]:
    """Name of each included snippet, and the address of the section that includes it."""
    for page in pages(language):
        if find_encoding_fault(page.path):
            continue  # the build stops there, and says so
        for section in page.sections():
            for _, line in section.lines:
                if include := INCLUDE.match(line.strip()):
                    yield include[2], _address(page.name, section.id)


def _address(page: str, section: str = "") -> str:
    """Where a page is, seen from `/reference/snippets/`."""
    path = "" if page == "index.md" else page.removesuffix(".md") + "/"
    return f"../../{path}" + (f"#{section}" if section else "")
