"""Projects that a reader downloads as one file: an archive for each that has a README."""

import io
import re
import zipfile
from pathlib import Path

from tools.paths import SNIPPETS
from tools.proof.snippets import find_folder, list_files, list_snippets
from tools.words import ARCHIVE

_LINK = re.compile(r'<a href="(?:[^"]*/)?([\w-]+\.zip)">([^<]*)</a>')
_ALWAYS = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16
KIB = 1024


def list_archives() -> dict[str, Path]:
    """`production/application/teahouse.zip`, where pages link to it, and the folder in it."""
    folders = {find_folder(snippet) for snippet in list_snippets()}
    return {
        f"{folder.relative_to(SNIPPETS).as_posix()}.zip": folder
        for folder in sorted(filter(None, folders))
        if (folder / "README.md").is_file()
    }


def build_archive(folder: Path) -> bytes:
    """A zip file of a project, the same bytes whenever and wherever it is made."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in list_files(folder / "README.md"):
            entry = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix(), _ALWAYS)
            entry.create_system, entry.external_attr = 3, _READABLE  # of a Unix
            archive.writestr(entry, file.read_bytes())
    return content.getvalue()


def add_sizes(html: str, language: str) -> str:
    """Say behind each link to an archive how large it is.

    Args:
        html: The page as Markdown left it.
        language: `zh` or `en`.
    """

    def with_size(link: re.Match[str]) -> str:
        folders = {Path(name).name: folder for name, folder in list_archives().items()}
        if link[1] not in folders:
            return link[0]
        kib = -(-len(build_archive(folders[link[1]])) // KIB)
        return link[0].replace("<a ", "<a download ") + ARCHIVE[language]["size"].format(kib=kib)

    return _LINK.sub(with_size, html)
