"""What docstrings, comments and pages name is there: paths of this repository, headings of its pages, links."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "activities",
    "cli",
    "control",
    "deploy",
    "docs",
    "embedded",
    "evacuation",
    "services",
    "tests",
    "workers",
    "workflows",
)
_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*(?:#[\w-]+)?")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NAME = re.compile(r"`([\w-]+\.(?:py|md))`")
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def sources() -> Iterator[Path]:
    """Modules and pages, but for this one: it names what is not there."""
    folders = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in (*folders, *ROOT.iterdir()):
        if path.suffix in (".py", ".md") and path != Path(__file__):
            yield path


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them of headings: without punctuation, spaces as dashes, a number for one that comes again."""
    seen, found = Counter[str](), set[str]()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text())):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


@cache
def names() -> frozenset[str]:
    return frozenset(path.name for path in sources()) | {Path(__file__).name}


def is_there(reference: str, folder: Path, page: Path | None = None) -> bool:
    """Below the folder; an anchor alone is one of the page."""
    path, _, anchor = reference.partition("#")
    target = folder / path if path or page is None else page
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


def broken(text: str, file: Path) -> Iterator[str]:
    """What the text of that file names, and is not there."""
    for found in _PATH.findall(text):
        if not is_there(found.rstrip(".-"), ROOT):
            yield found
    if file.suffix != ".md":
        return
    yield from (found for found in _NAME.findall(text) if found not in names())
    for link in _LINK.findall(text):
        if not link.startswith(("http:", "https:", "mailto:")) and not is_there(link, file.parent, file):
            yield link


def test_everything_that_is_named_is_there():
    found = {f"{file.relative_to(ROOT)}: {each}" for file in sources() for each in broken(file.read_text(), file)}
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize(
    "text",
    [
        "as docs/nothing.md says",
        "see docs/design.md#no-such-heading",
        "the rule is in `evacuation/nothing.py`.",
        "`nothing.py` is the story",
        "see [limits](nothing.md)",
        "see [limits](docs/limits.md)",
        "see [words](operations.md#no-such-words)",
        "see [above](#no-such-heading)",
    ],
)
def test_broken_reference_is_noticed(text: str):
    assert list(broken(text, ROOT / "docs/limits.md"))


@pytest.mark.parametrize(
    "text",
    [
        "as docs/limits.md says. See docs/design.md#how-an-evacuation-ends.",
        "`evacuation/transitions.py`, everything in services/…, and `transitions.py` itself",
        "see [words](operations.md#words), [above](#where-the-guarantees-end), [Temporal](https://temporal.io/docs/no.md)",
    ],
)
def test_sound_reference_is_let_be(text: str):
    assert not list(broken(text, ROOT / "docs/limits.md"))
