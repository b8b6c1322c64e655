"""The browser's fixtures for these tests."""

from tests.browser_page import chromium, page  # noqa: F401
