"""Every relative link of the documents leads to a file that is there and a heading that it has; every page is in the book."""
import re
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\))?)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def without_code(text: str) -> list[str]:
    """The lines of a page that are no code; those of blocks are empty."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
            lines.append("")
        else:
            lines.append("" if inside else re.sub(r"`[^`]*`", lambda m: m.group(0) if line.startswith("#") else "", line))
    return lines


def anchors(text: str) -> set[str]:
    """The names by which headings are linked, as GitHub and mdBook make them."""
    found: dict[str, int] = {}
    names: set[str] = set(ANCHOR.findall(text))
    for line in without_code(text):
        if heading := HEADING.match(line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1))
            name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            count = found.get(name, 0)
            found[name] = count + 1
            names.add(name if count == 0 else f"{name}-{count}")
    return names


def check(root: Path) -> tuple[int, list[str]]:
    """How many links there are, and what is wrong with some."""
    pages = sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])
    count, wrong = 0, []
    known: dict[Path, set[str]] = {}
    for page in pages:
        for number, line in enumerate(without_code(page.read_text()), 1):
            for target in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                count += 1
                path, _, anchor = target.partition("#")
                file = (page.parent / unquote(path)).resolve() if path else page
                where = f"{page.relative_to(root)}:{number}"
                if not file.exists():
                    wrong.append(f"{where}: there is no {target}")
                elif anchor and file.suffix == ".md":
                    if file not in known:
                        known[file] = anchors(file.read_text())
                    if unquote(anchor) not in known[file]:
                        wrong.append(f"{where}: {file.name} has no heading for #{anchor}")
    return count, wrong + outside_the_book(root)


def outside_the_book(root: Path) -> list[str]:
    """Pages that the book's list does not name, or names twice."""
    summary = root / "docs/SUMMARY.md"
    named = [(summary.parent / path).resolve() for path in LINK.findall(summary.read_text())]
    wrong = [f"docs/SUMMARY.md names {path.relative_to(root)} twice" for path in set(named) if named.count(path) > 1]
    for page in sorted((root / "docs").rglob("*.md")):
        if page != summary and page.resolve() not in named:
            wrong.append(f"docs/SUMMARY.md does not name {page.relative_to(root)}")
    return wrong
