"""Settings are written down for those who set them."""

import re
from pathlib import Path

from services.runtime.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_in_the_documentation():
    text = " ".join(page.read_text() for page in DOCS.glob("*.md"))
    told = set(re.findall(r"\b(?:EVACUATE_)?([A-Z][A-Z_]+)\b", text))
    assert {name.upper() for name in Settings.model_fields} <= told
