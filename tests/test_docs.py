"""The documents are held to the code: every fact, every setting, every link, and the two commands of the README."""

import re
from pathlib import Path

import pytest

from api.settings import Settings
from api.signin.sessions import ABSOLUTE, FRESH, IDLE
from registry import streams
from registry.folder import Config
from registry.log.facts import FACTS, PRIVATE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def test_every_stored_fact_stands_in_events_with_its_fields() -> None:
    text = (DOCS / "events.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z-]+/\d+)` \| .* \| (.*) \|$", text, re.MULTILINE))
    ours = {name: fact for name, fact in FACTS.items() if fact.__module__.startswith("registry.")}
    assert streams.KINDS
    assert set(rows) == set(ours)
    for name, fact in ours.items():
        fields = [f"{field} (*sealed*)" if field in PRIVATE[fact] else field for field in fact.__struct_fields__]
        assert rows[name] == ", ".join(fields), name


def test_every_setting_stands_in_operations() -> None:
    text = (DOCS / "operations.md").read_text()
    for field in Settings.model_fields:
        assert f"`TITLE_REGISTRY_{field.upper()}`" in text, field
    for field in Config.__struct_fields__:
        assert f"`{field}`" in text, field


def test_the_times_of_a_session_stand_in_operations() -> None:
    text = " ".join((DOCS / "operations.md").read_text().split())
    idle, whole, fresh = (int(one.total_seconds() // 60) for one in (IDLE, ABSOLUTE, FRESH))
    assert f"ends after {idle} minutes of nothing and after {whole // 60} hours in any case" in text
    assert f"a sign-in that is at most {fresh} minutes old" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for readme in ("README.md", "README.zh-CN.md"):
        named = set(re.findall(r"^ {4}make (\w+)", (ROOT / readme).read_text(), re.MULTILINE))
        assert named == {"demo", "test"}
        assert named <= targets


def test_every_file_that_architecture_names_exists() -> None:
    for page in (DOCS / "architecture.md", DOCS / "flows.md"):
        for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?|[a-z_]+\.py)`", page.read_text()):
            found = [ROOT / name, ROOT / "registry" / name, ROOT / "api" / name, ROOT / "registry/titles" / name]
            assert any(path.exists() for path in found), f"{page.name}: {name}"
