"""The page in a real browser: laptop, phone and paper. Skipped where no Chromium is installed."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import urllib.request

import pytest
from websockets import connect

from tests.report_parts import STANDING, report_facts
from zeromiss.reports.page import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
LOOK = """({
  width: document.documentElement.scrollWidth, window: document.documentElement.clientWidth,
  broken: [...document.images].filter(one => !one.naturalWidth).length, pictures: document.images.length,
  dead: [...document.querySelectorAll('a')].filter(one => !document.getElementById(one.hash.slice(1))).length,
  small: [...document.querySelectorAll('p, td, figcaption, span')].filter(one => parseFloat(getComputedStyle(one).fontSize) < 12).length,
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with everything on it."""
    folder = tmp_path_factory.mktemp("seen")
    write_page(folder / "toy.html", report_facts(folder), folder, STANDING)
    return folder / "toy.html"


@contextlib.contextmanager
def browser(profile):
    """Start a browser and yield the address of its one tab."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = next(found[1] for line in process.stderr if (found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line)))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
                yield next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
        finally:
            process.kill()


async def look(address, page, *, width, phone):
    """Open the page in a window of that width; return what the browser says of it and which addresses it asked for."""
    asked, loaded = [], False
    async with connect(address, max_size=None, open_timeout=30) as tab:

        async def receive():
            """Take one message and note requests and the end of loading."""
            nonlocal loaded
            message = json.loads(await asyncio.wait_for(tab.recv(), 60))
            loaded = loaded or message.get("method") == "Page.loadEventFired"
            if message.get("method") == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
            return message

        async def call(number, method, **params):
            """Send a command and return its answer."""
            await tab.send(json.dumps({"id": number, "method": method, "params": params}))
            while (message := await receive()).get("id") != number:
                pass
            return message["result"]

        await call(1, "Network.enable")
        await call(2, "Page.enable")
        await call(3, "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=phone)
        await call(4, "Page.navigate", url=page.as_uri())
        while not loaded:
            await receive()
        found = await call(5, "Runtime.evaluate", expression=LOOK, returnByValue=True)
    return found["result"]["value"], [address for address in asked if not address.startswith("data:")]


@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
def test_the_page_fits_its_window_shows_every_picture_and_asks_for_nothing_else(page, tmp_path, width, phone):
    with browser(tmp_path) as address:
        seen, asked = asyncio.run(look(address, page, width=width, phone=phone))
    assert seen["width"] == seen["window"] <= width
    assert (seen["broken"], seen["dead"], seen["small"]) == (0, 0, 0)
    assert seen["pictures"] == 8 + 4 * 4 + 2 + 2 + 4  # figures, panels, a pair of pictures, the hardest defects
    assert asked == [page.as_uri()]


def test_it_prints(page, tmp_path):
    command = [CHROMIUM, *FLAGS[:4], f"--user-data-dir={tmp_path}", "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    sides = {tuple(round(float(value)) for value in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", printed)}
    assert sides == {(0, 0, 595, 842)} or sides == {(0, 0, 596, 842)}  # A4 in points
