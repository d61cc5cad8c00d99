"""Pages of the documentation site: links of the repository lead to the same files there."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

pytest.importorskip("mkdocs", reason="the site's packages are an extra: pip install '.[docs]'")

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools import site_pages
from tools.site_pages import ROOT, on_files, on_page_markdown


def page(uri: str) -> SimpleNamespace:
    return SimpleNamespace(file=SimpleNamespace(src_uri=uri))


def rewritten(uri: str, markdown: str) -> str:
    return on_page_markdown(markdown, page(uri), MkDocsConfig(), Files([]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uri", "before", "after"),
    [
        ("objects.md", "[a](scenes.md#data)", "[a](scenes.md#data)"),
        ("api/index.md", "[a](../../CHANGELOG.md)", "[a](../repository/CHANGELOG.md)"),
        ("objects.md", "[a](../configs/objects40_cpu.yaml)", "[a](repository/configs/objects40_cpu.yaml.md)"),
        ("repository/CONTRIBUTING.md", "[a](docs/gpu_nodes.md)", "[a](../gpu_nodes.md)"),
        ("repository/README.md", "![a](docs/images/show.png)", "![a](../images/show.png)"),
        ("objects.md", "[a](https://example.org/README.md)", "[a](https://example.org/README.md)"),
        ("objects.md", "[a](#encoders)", "[a](#encoders)"),
        ("objects.md", "[a](../no_such_file.md)", "[a](../no_such_file.md)"),  # mkdocs refuses it
        ("objects.md", "```\n[a](../README.md)\n```\n", "```\n[a](../README.md)\n```\n"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(uri: str, before: str, after: str) -> None:
    assert rewritten(uri, before) == after


def test_files_that_are_linked_to_get_pages_and_theirs_do_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[a](../NOTES.md) [b](../docs/other.md)")
    (tmp_path / "docs/other.md").write_text("# other")
    (tmp_path / "NOTES.md").write_text("[c](settings.yaml) [d](docs/other.md)")
    (tmp_path / "settings.yaml").write_text("key: 1\n")
    monkeypatch.setattr(site_pages, "ROOT", tmp_path)
    config = MkDocsConfig(config_file_path=str(tmp_path / "mkdocs.yml"))
    config.load_dict({"site_name": "x", "docs_dir": str(tmp_path / "docs"), "site_dir": str(tmp_path / "site")})
    assert config.validate()[0] == []
    monkeypatch.setattr(config.plugins, "_current_plugin", "hook", raising=False)  # as while hooks run
    files = Files([File(name, config.docs_dir, config.site_dir, True) for name in ("index.md", "other.md")])
    found = {file.src_uri: file for file in on_files(files, config)}
    assert {*found} == {"index.md", "other.md", "repository/NOTES.md", "repository/settings.yaml.md"}
    assert "````yaml\nkey: 1\n````" in found["repository/settings.yaml.md"].content_string


def test_navigation_has_every_page_once() -> None:
    text = re.sub(r"!!python\S+ ", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = [*site_pages._pages_of(yaml.safe_load(text)["nav"])]
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert len(named) == len({*named})
    assert {name for name in named if not name.startswith("repository/")} == written
