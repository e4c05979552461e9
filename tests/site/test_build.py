"""What a build says and does, on a guide of two pages: failures, proofs, the other language."""

import hashlib
import json
import os
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.site.host import build, complaints
from tests.tools.site.guide import write
from tools.paths import ROOT
from tools.proof import snippets
from tools.proof.record import Record
from tools.site import cards, preview
from tools.site.languages import Language
from tools.site.rendered import Rendered

SNIPPET = '"""One is one.\n\n一就是一。\n"""\n\nprint(1)\n#> 1\n'
PAGE = """---
description: x
---

# One

## Proof {#proof}

```python
--8<-- "pool/size/one.py"
```
"""


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """A copy of theme, tools and configs, with one page besides the index."""
    for name in ("theme", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "mkdocs.en.yml"):
        config = (ROOT / name).read_text("utf-8")
        nav = "nav: [{Size: pool/size.md}, {Index: reference/snippets.md}]\n"
        (tmp_path / name).write_text(re.sub(r"^nav:\n(  .*\n)+", nav, config, flags=re.M), "utf-8")
    for language in ("zh", "en"):
        write(tmp_path / "docs" / language / "pool/size.md", PAGE)
        write(tmp_path / "docs" / language / "reference/snippets.md", "# Index\n\n::: snippets\n")
    write(tmp_path / "snippets/pool/size/one.py", SNIPPET)
    return tmp_path


def test_the_site_builds_without_a_warning(built: tuple[Path, str]) -> None:
    _, problem = built
    if problem:
        pytest.fail(problem, pytrace=False)


def test_an_include_without_a_file_ends_the_build_in_one_sentence(guide: Path) -> None:
    page = guide / "docs/en/pool/size.md"
    write(page, page.read_text("utf-8").replace("one.py", "two.py"))
    built = build(guide / "site", root=guide)
    assert built.returncode == 1
    assert complaints(built) == (
        'docs/en/pool/size.md:10: include of "two.py", but snippets/pool/size/two.py '
        "does not exist; write that file or mend the name"
    )


def test_a_warning_in_english_fails_the_build_even_a_quiet_one(guide: Path) -> None:
    write(guide / "docs/en/reference/snippets.md", "# Index\n\n[no such page](nowhere.md)\n")
    built = build(guide / "site", "--quiet", root=guide)
    assert built.returncode == 1
    assert "'reference/snippets.md' contains a link 'nowhere.md'" in built.stderr


PROVED = {
    "sha256": hashlib.sha256(SNIPPET.encode()).hexdigest(),
    "when": "2026-11-22",
    "ok": True,
    "problem": "",
}
FAILED = {**PROVED, "ok": False, "problem": "snippets/pool/size/one.py:7: printed 2"}


def test_a_page_says_whether_its_snippet_was_proved(guide: Path) -> None:
    versions = {"SQLAlchemy": "2.1.9", "psycopg": "3.3.9", "PostgreSQL": "18.4"}
    write(
        guide / ".cache/proofs.json",
        json.dumps({"versions": versions, "snippets": {"pool/size/one.py": PROVED}}),
    )
    built = build(guide / "site", root=guide)
    assert built.returncode == 0, built.stderr
    for place, words in {"": "✓ 2026-11-22 运行通过", "en/": "✓ Ran 2026-11-22"}.items():
        html = (guide / "site" / place / "pool/size/index.html").read_text("utf-8")
        assert '<div class="snippet proved">' in html
        assert f">{words} · SQLAlchemy 2.1.9 · PostgreSQL 18.4</p>" in html
        assert not re.search('rel="edit"|>Source</a>|>源码</a>', html), "the repository is unknown"


@pytest.mark.parametrize(
    ("record", "source", "state", "chinese", "english"),
    [
        ({}, SNIPPET, "unproved", "本次构建未验证", "Not proved in this build"),
        (
            {"one.py": PROVED},
            SNIPPET + "\n",
            "unproved",
            "本次构建未验证",
            "Not proved in this build",
        ),
        (
            {"one.py": FAILED},
            SNIPPET,
            "failed",
            "✗ 最近一次运行没有通过：snippets/pool/size/one.py:7: printed 2",
            "✗ The last run failed: snippets/pool/size/one.py:7: printed 2",
        ),
    ],
    ids=["no record", "changed since", "failed"],
)
def test_an_output_is_not_passed_off_as_true(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record: dict[str, Any],
    source: str,
    state: str,
    chinese: str,
    english: str,
) -> None:
    monkeypatch.setattr(snippets, "SNIPPETS", tmp_path)
    write(tmp_path / "proofs.json", json.dumps({"versions": {}, "snippets": record}))
    write(tmp_path / "one.py", source)
    proof = cards.find_proof(Record.load(tmp_path / "proofs.json"), tmp_path / "one.py")
    assert proof.state == state
    assert proof.describe("zh") == chinese
    assert proof.describe("en") == english


def test_pages_render_without_the_hook(guide: Path) -> None:
    config = guide / "mkdocs.yml"
    write(
        config,
        config.read_text("utf-8")
        .replace("hooks: [tools/site/hook.py]", "")
        .replace("edit_uri", "#"),
    )
    shutil.rmtree(guide / "tools")
    built = build(guide / "site", "--no-strict", root=guide)
    assert built.returncode == 0, built.stderr
    html = (guide / "site/pool/size/index.html").read_text("utf-8")
    assert "#&gt; 1" in html


INPUTS = {
    "docs/zh/index.md": "zh",
    "docs/en/index.md": "en",
    "mkdocs.en.yml": "en",
    "snippets/pool/size/one.py": "zh and en",
    "theme/main.html": "zh and en",
    ".cache/proofs.json": "zh and en",
}


def prove_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a preview look at a folder in which no snippet is ever run."""
    monkeypatch.setattr(preview, "ROOT", root)
    monkeypatch.setattr(preview, "SNIPPETS", root / "snippets")
    monkeypatch.setattr(preview, "RECORD", root / ".cache/proofs.json")
    for found in ("prove_changed", "record_changed", "find_faults", "list_snippets"):
        monkeypatch.setattr(preview, found, list)


def write_home(language: Language, folder: Path, rendered: Rendered) -> None:
    """Build a site of one page."""
    write(folder / "index.html", "<body></body>")


@pytest.mark.parametrize(("changed", "built"), INPUTS.items())
def test_a_preview_builds_only_the_language_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, built: str
) -> None:
    for name in (*INPUTS, "mkdocs.yml"):
        write(tmp_path / name, "x")
    done = list[str]()
    prove_nothing(tmp_path, monkeypatch)

    def build(language: Language, folder: Path, rendered: Rendered) -> None:
        done.append(language.code)
        write(folder / "index.html", "<body></body>")

    with closing(preview.Preview("127.0.0.1:0", build)) as live:
        live.rebuild()
        done.clear()
        os.utime(tmp_path / changed, ns=(1, 1))
        live.rebuild()
    assert " and ".join(done) == built


def test_a_preview_says_why_a_run_cannot_be_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prove_nothing(tmp_path, monkeypatch)
    monkeypatch.setattr(preview, "record_changed", lambda: ["one.py: its replay has 99 steps"])
    with closing(preview.Preview("127.0.0.1:0", write_home)) as live:
        live.rebuild()
    assert "one.py: its replay has 99 steps\n" in capsys.readouterr().err


@pytest.mark.parametrize("deleted", [True, False])
def test_a_preview_says_that_proving_failed_until_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    prove_nothing(tmp_path, monkeypatch)
    failures, snippets = [OSError("no such file")], [tmp_path / "one.py"]

    def fail_once() -> None:
        if deleted:
            snippets.clear()
        if failures:
            raise failures.pop()

    monkeypatch.setattr(preview, "list_snippets", snippets.copy)
    monkeypatch.setattr(Record, "entry", lambda *_: None)
    monkeypatch.setattr(preview, "prove_changed", fail_once)
    with closing(preview.Preview("127.0.0.1:0", write_home)) as live:
        shown = []
        for _ in range(2):
            live.rebuild()
            home = Path(live._server.root, "index.html").read_text("utf-8")
            shown.append("no such file; the outputs on these pages were not proved" in home)
    assert shown == [not deleted, False]


@pytest.mark.parametrize(
    ("setting", "lost"),
    [
        ("pygments_lang_class: false", "the card of pool/size/one.py"),
        ("pygments_lang_class: true\n    anchor_linenums: true", "1 of 1 printed lines"),
        ("pygments_lang_class: true\n    use_pygments: false", "the card of pool/size/one.py"),
    ],
)
def test_a_highlighter_that_writes_otherwise_ends_the_build_in_one_sentence(
    guide: Path, setting: str, lost: str
) -> None:
    config = guide / "mkdocs.yml"
    text = config.read_text("utf-8")
    write(config, text.replace("pygments_lang_class: true", setting))
    built = build(guide / "site", root=guide)
    assert built.returncode == 1
    assert f"docs/zh/pool/size.md: {lost} did not get onto" in built.stderr


@pytest.mark.parametrize(
    ("problem", "page", "concerned"),
    [
        ("docs/en/pool/size.md:14: no", "en/pool/size/index.html", True),
        ("docs/en/pool/size.md:14: no", "pool/size/index.html", False),
        ("docs/zh/index.md:1: no", "index.html", True),
        ("snippets/pool/size/default.py:3: no", "en/pool/size/index.html", True),
        ("snippets/pool/size/default.py:3: no", "en/index.html", False),
        ("snippets/index/hello.py:3: no", "en/index.html", True),
        ("snippets/index/hello.py:3: no", "pool/size/index.html", False),
        ("mkdocs.yml is no YAML", "en/index.html", True),
        ("mkdocs.yml:9: nav lists size.md", "en/index.html", False),
        ("mkdocs.en.yml:9: nav lists size.md", "index.html", False),
        ("theme/main.html:9: no", "en/pool/size/index.html", True),
    ],
)
def test_a_problem_stands_on_the_pages_that_it_concerns(
    problem: str, page: str, concerned: bool
) -> None:
    assert preview.concerns(problem, page) == concerned
