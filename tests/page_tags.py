"""What a page is made of, as a browser would take it: its tags, their attributes and its text."""

from html.parser import HTMLParser


class PageTags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.links: list[str] = []  # values of what loads or runs something
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [
            value or "" for name, value in attrs if name in {"src", "href"} or name.startswith("on")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data
