"""A headless Chromium for tests of pages; without one, the tests are skipped, and say so."""

import contextlib
import os
import shutil
import warnings

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "NO BROWSER: pages are not tested. Install Chromium (Debian: apt-get install chromium)"


def executable():
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def opened(width=1200, height=900, scheme="light"):
    """A page of a new browser; afterwards it fails if the console or the page had an error."""
    path = executable()
    if path is None:
        warnings.warn(MISSING, stacklevel=2)
        pytest.skip(MISSING)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )
        page, errors = context.new_page(), []
        page.on("console", lambda m: errors.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        page.on("requestfailed", lambda request: errors.append(request.url))
        yield page
        browser.close()
    assert errors == []
