"""A project is one file to download: always the same bytes, with its size behind the link."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from tools.site import archives
from tools.site.checklists import add_boxes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "shop").mkdir(parents=True)
    (folder / "README.md").write_text("# shop\n", "utf-8")
    (folder / "pyproject.toml").write_text("[project]\n", "utf-8")
    (folder / "shop" / "app.py").write_text("app = 1\n", "utf-8")
    return folder


def test_an_archive_is_the_same_though_files_were_touched(project: Path) -> None:
    before = archives.build_archive(project)
    (project / "shop" / "__pycache__").mkdir()
    (project / "shop" / "__pycache__" / "app.pyc").write_bytes(b"x")
    os.utime(project / "shop" / "app.py", (1, 2))
    (project / "README.md").chmod(0o600)
    assert archives.build_archive(project) == before


def test_an_archive_changes_with_a_file_and_unpacks_into_one_folder(project: Path) -> None:
    before = archives.build_archive(project)
    (project / "shop" / "app.py").write_text("app = 2\n", "utf-8")
    after = archives.build_archive(project)
    assert after != before
    with zipfile.ZipFile(io.BytesIO(after)) as unpacked:
        assert unpacked.namelist() == ["shop/README.md", "shop/pyproject.toml", "shop/shop/app.py"]
        assert unpacked.read("shop/shop/app.py") == b"app = 2\n"


def test_a_link_to_an_archive_says_its_size(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "list_archives", lambda: {"page/shop.zip": project})
    link = '<a href="../page/shop.zip">shop.zip</a>, <a href="other.zip">other.zip</a>'
    said = (
        '<a download href="../page/shop.zip">shop.zip</a> (1 KB), <a href="other.zip">other.zip</a>'
    )
    assert archives.add_sizes(link, "en") == said
    assert "（1 KB）" in archives.add_sizes(link, "zh")


def test_what_begins_with_a_box_is_to_be_ticked_off() -> None:
    assert add_boxes("<ul><li>☐ One</li><li>Two</li></ul>") == (
        '<ul><li class="check">One</li><li>Two</li></ul>'
    )
