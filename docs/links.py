"""Check the links of the built site that stay within it: `python docs/links.py docs/_build/html`."""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.anchors.add(value)
            elif key in ("href", "src") and value:
                self.links.append(value)


def broken(root):
    """Return (page, link) of each link to a file or an anchor that is not there."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue  # elsewhere
            target = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append((path.relative_to(root), link))
            elif (
                parts.fragment and target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].anchors
            ):
                found.append((path.relative_to(root), link))
    return found, len(pages), sum(len(page.links) for page in pages.values())


def main(arguments):
    """Print what is broken; return the exit status."""
    found, pages, links = broken(pathlib.Path(arguments[0]).resolve())
    for page, link in found:
        print(f"{page}: {link} is not there")
    print(f"{pages} pages, {links} links, {len(found)} broken")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
