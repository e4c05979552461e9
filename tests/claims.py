"""What pages say absolutely, and what proves it: `tests/<chapter>/<page>.claims.toml`."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.paths import DOCS, LANGUAGES, ROOT, SNIPPETS
from tools.site.pages import Page

ABSOLUTE = {
    "en": re.compile(
        r"\b(never|always|nothing|nobody|none|only|every(thing|body|one)?)\b", re.IGNORECASE
    ),
    "zh": re.compile("永远|一定(?!的)|从不|绝不|总是|任何|只有|不会|从来|谁都|谁也|一律"),
}
_ENDS = re.compile(r"(?<=[.!?:;])\s+|(?<=[。！？：；])| \| |^\| | \|$")
_CODE_OR_TARGET = re.compile(r"`[^`]+`|(?<=\])\([^)\s]+\)|<[^>]*>|\{#[\w-]+\}")
WORDS_PROVE_NOTHING = ("advice", "definition")


def claims_file(page: Page) -> Path:
    """Where the proofs of a page stand, whichever language it is in."""
    return ROOT / "tests" / Path(page.name).with_suffix(".claims.toml")


def registered(page: Page) -> dict[str, str]:
    """Words of sentences, and what proves them; nothing where the file cannot be read."""
    return {words: str(proof) for words, proof in (_read(page) or {}).items()}


def is_readable(page: Page) -> bool:
    """Whether the proofs of a page can be read; another rule names the file that cannot."""
    return _read(page) is not None


@cache
def _read(page: Page) -> dict[str, object] | None:
    file = claims_file(page)
    if not file.is_file():
        return {}
    try:
        found = tomllib.loads(file.read_text("utf-8")).get(page.language, {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else {}


def absolutes(page: Page) -> Iterator[tuple[int, str]]:
    """The sentences and cells that say something absolute, with the numbers of their lines."""
    for number, line in page.prose():
        bare = _CODE_OR_TARGET.sub(lambda code: "`" * len(code[0]), line)
        ends = [(end.start(), end.end()) for end in _ENDS.finditer(bare)]
        starts = [0, *(after for _, after in ends)]
        for start, end in zip(starts, [*(before for before, _ in ends), len(line)], strict=True):
            if ABSOLUTE[page.language].search(bare[start:end]):
                yield number, line[start:end].strip()


def is_proof(page: Page, proof: str) -> bool:
    """Whether there is such a test, snippet or link."""
    if proof in WORDS_PROVE_NOTHING:
        return True
    if proof.startswith("https://"):
        return proof in page.text
    if proof.endswith(".py"):
        home = SNIPPETS / Path(page.name).with_suffix("")
        return (home / proof).is_file() or (SNIPPETS / proof).is_file()
    path = Path(page.name)
    tests = ROOT / "tests" / path.parent / f"test_{path.stem}.py"
    module, _, test = proof.rpartition("::")
    file = ROOT / module if module else tests
    return (
        file.is_file()
        and re.search(rf"\bdef {re.escape(test)}\(", file.read_text("utf-8")) is not None
    )


def pages_of(module: Path) -> list[Page]:
    """The pages in both languages: of `test_size.py`, and of `test_size_budgets.py`, `size.md`."""
    chapter, words = module.relative_to(ROOT / "tests").parent, module.stem.split("_")[1:]
    for length in range(len(words), 0, -1):
        name = (chapter / "_".join(words[:length])).with_suffix(".md")
        found = [Page(DOCS / language / name) for language in LANGUAGES]
        if all(page.path.is_file() for page in found):
            return found
    return []


def find_claims(module: Path, test: str) -> list[str]:
    """What pages say that a test proves: `docs/en/pool/size.md:14 (#zero) says “...”`.

    Args:
        module: The file of the test, `tests/pool/test_size.py`.
        test: Its name, without parameters.

    Returns:
        The sentences that name it as their proof; else the pages whose tests the module holds;
        nothing for a module that belongs to no page.
    """
    places = pages_of(module)
    sentences = [
        f"{page.file}:{number} (#{_section(page, number)}) says “{sentence}”"
        for page in places
        for number, sentence in absolutes(page)
        if any(words in sentence for words, proof in registered(page).items() if proof == test)
    ]
    return sentences or [f"{page.file} is what this test is about" for page in places]


def _section(page: Page, number: int) -> str:
    before = [section for section in page.sections() if section.line <= number]
    return before[-1].id or "top" if before else "top"
