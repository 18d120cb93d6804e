"""Put freshly measured tables into a Markdown page, between `<!-- NAME -->` and `<!-- /NAME -->`.

Usage: python benchmarks/page.py docs/benchmarks.md bench=bench.md peers=peers-out/peers.md
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Replace the named sections."""
    if len(sys.argv) < 3 or not all("=" in argument for argument in sys.argv[2:]):
        sys.exit((__doc__ or "").strip())
    page = Path(sys.argv[1])
    text = page.read_text(encoding="utf-8")
    for argument in sys.argv[2:]:
        name, _, source = argument.partition("=")
        text = with_section(text, name, Path(source).read_text(encoding="utf-8").strip())
    page.write_text(text, encoding="utf-8")


def with_section(text: str, name: str, content: str) -> str:
    """The page with one section's content replaced; ends the program where there is no such section."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        sys.exit(f"the page has no section {begin} … {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"


if __name__ == "__main__":
    main()
