"""Every link within the documentation leads to a file that is there, and to a title on its page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("demo", "recipes", "mdcsrn_tf/weights")),
]


def titles_of(page):
    """The names by which GitHub's pages know their titles; of two alike the second ends with -1."""
    slugs = []
    for title in re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        slugs.append(slug if slug not in slugs else f"{slug}-{slugs.count(slug)}")
    return slugs


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_its_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        name, _, title = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not title or title in titles_of(target), link
