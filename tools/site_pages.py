"""A hook of `mkdocs build`: what the documents link to outside of docs/ gets a page of the site, too.

Links in the documents are those of the repository, so that pages read as well there: `../CHANGELOG.md`,
`../configs/objects40_cpu.yaml`. On the site such a file is a page below `repository/`, and the link points to it.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "build" / "site_sources"  # mkdocs.yml lets mkdocstrings read there
FOLDERS = {"crosspoint": "", "renderers": "renderers", "scene": "scene", "eval": "eval"}
PLACE = "repository"  # of other files on the site
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(?=[)#])")
FENCE = re.compile(r"^( *)(```+).*?^\1\2", re.MULTILINE | re.DOTALL)
LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".py": "python", ".toml": "toml", ".json": "json"}


def on_startup(command: str, dirty: bool) -> None:
    """Copy the four folders to one place where they lie as they are installed: mkdocstrings reads sources there."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    for folder, below in FOLDERS.items():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, SOURCES / "crosspoint" / below, ignore=ignored, dirs_exist_ok=True)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file of the repository that a page links to."""
    waiting = [_repository_path(file.src_uri) for file in files.documentation_pages()]
    waiting += [_repository_path(uri) for uri in _pages_of(config.nav) if uri.startswith(f"{PLACE}/")]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.endswith(".md") and (ROOT / path).is_file():
            waiting += [target for target in _links(path) if not target.startswith("docs/")]
        if path.startswith("docs/") or not (ROOT / path).is_file():
            continue  # mkdocs says which link leads nowhere
        content = (ROOT / path).read_text(encoding="utf-8")
        if not path.endswith(".md"):
            language = LANGUAGES.get(Path(path).suffix, "")
            content = f"# {path}\n\n````{language}\n{content.rstrip()}\n````\n"
        files.append(File.generated(config, _site_path(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links between files of the repository to where these are on the site."""
    here = page.file.src_uri

    def on_site(link: str) -> str:
        target = _target(_repository_path(here), link)
        if not (ROOT / target).is_file():
            return link
        return posixpath.relpath(_site_path(target), posixpath.dirname(here) or ".")

    return _replaced(markdown, on_site)


def _pages_of(nav: object) -> Iterator[str]:
    """The pages that a part of the navigation names."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages_of(part)


def _site_path(path: str) -> str:
    """Where a file of the repository lies on the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{PLACE}/{path}" if path.endswith(".md") else f"{PLACE}/{path}.md"


def _repository_path(uri: str) -> str:
    """The file of the repository that a page of the site was made of."""
    if not uri.startswith(f"{PLACE}/"):
        return f"docs/{uri}"
    path = uri.removeprefix(f"{PLACE}/")
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def _target(path: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _links(path: str) -> Iterator[str]:
    """Files of the repository that a file links to."""
    found: list[str] = []

    def note(link: str) -> str:
        found.append(_target(path, link))
        return link

    _replaced((ROOT / path).read_text(encoding="utf-8"), note)
    yield from found


def _replaced(markdown: str, change: Callable[[str], str]) -> str:
    """Markdown with other links, except in blocks of code."""
    parts: list[str] = []
    end = 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(lambda link: change(link[1]), markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(lambda link: change(link[1]), markdown[end:])])
