"""What the site leaves out: files that no page asks for, pictures, comments, indentation.

Most of it is Material's, and may go with it: https://github.com/squidfunk/mkdocs-material.
"""

import re
import shutil
from pathlib import Path

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

_ICON = re.compile(
    r"--md-(?:admonition|annotation|footnotes|path|post|source|status|tabbed|tag|tasklist|version)"
    r"-?[\w-]*:url\(\"[^\"]*\"\);?"
)
"""Pictures in Material's style sheet for what no page has: a tenth of its weight."""

_RIGHT_TO_LEFT = re.compile(r"(?<=[{};])\[dir=rtl\][^{},]*\{[^}]*}")
"""Material's rules for languages that neither of ours is."""

_COMMENT = re.compile(r"\s*/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(r"\s+")
_SCRIPT_MARGIN = re.compile(r"^(?:\s*(?://|/\*\*).*\n|\s+)", re.MULTILINE)
_BETWEEN = re.compile(r" ?([{};,]) ?")
_TITLE = re.compile(r'(class="md-nav__link[^>]*>\s*)<span class="md-ellipsis">\s*([^<]*)</span>')
_INDENT = re.compile(r"(<pre\b.*?</pre>)|\n\s+", re.DOTALL)
_PALETTE = re.compile(r'\s*<link rel="stylesheet" href="[^"]*/palette\.\w+\.min\.css">')


def lighten_page(html: str) -> str:
    """A page without Material's palette and without its indentation, a sixth of a page.

    Without the ninety elements, too, that would cut off the titles of the menu.
    """
    return _INDENT.sub(lambda found: found[1] or "\n", _TITLE.sub(r"\1\2", drop_palette(html)))


def drop_palette(html: str) -> str:
    """A page without Material's style sheet of colors: extra.css has the two schemes in use."""
    return _PALETTE.sub("", html)


def lighten_site(site: Path) -> None:
    """Drop the files that no page asks for, and shorten style sheets and the player's scripts.

    Args:
        site: The folder of one language, built.
    """
    for pattern in UNUSED:
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    style = site / "assets" / "extra.css"
    style.write_text(shorten_css(style.read_text("utf-8")), "utf-8")
    for sheet in site.glob("assets/stylesheets/main.*.css"):
        css = _RIGHT_TO_LEFT.sub("", _ICON.sub("", sheet.read_text("utf-8")))
        sheet.write_text(css, "utf-8")
    for script in (site / "assets" / "player").glob("*.js"):
        script.write_text(shorten_script(script.read_text("utf-8")), "utf-8")


def shorten_css(css: str) -> str:
    """A style sheet without comments and indentation."""
    return _BETWEEN.sub(r"\1", _SPACE.sub(" ", _COMMENT.sub("", css))).strip()


def shorten_script(script: str) -> str:
    """A script without the lines that are comments, and without indentation.

    Not for a script in which a string goes on in the next line.
    """
    return _SCRIPT_MARGIN.sub("", script)
