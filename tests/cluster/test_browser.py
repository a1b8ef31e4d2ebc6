"""The real JupyterLab page in a real browser: the panel, SCALE, and the dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.cluster.conftest import Laptop, VirtualCluster, eventually

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.browser,
    pytest.mark.usefixtures("no_jobs_left"),
]

CHROMIUM = Path("/usr/bin/chromium")
# Its own 5 s are for a machine that does nothing else.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail("this test needs Chromium: apt-get install chromium", pytrace=False)
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", "--no-first-run"],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture
def session(installed: VirtualCluster) -> Iterator[tuple[Laptop, dict[str, Any]]]:
    laptop = Laptop()
    body = json.loads(
        laptop("launch", "virtual", "--no-browser", "--json", "--name", "page", check=True).stdout
    )
    yield laptop, body
    laptop("stop", body["session"], check=True)
    laptop.close()


def open_dask_panel(page: Page) -> None:
    """The Dask tab of the left side bar, once the page has restored its layout."""
    page.locator(".jp-Launcher").first.wait_for()
    page.locator('.lm-TabBar-tab[data-id="dask-dashboard-launcher"]').first.click()


def test_the_page_opens_scales_and_shows_the_workers(
    browser: Browser,
    session: tuple[Laptop, dict[str, Any]],
    installed: VirtualCluster,
) -> None:
    laptop, body = session
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(body["url"])
    page.wait_for_selector("#jp-main-dock-panel")
    expect(page).to_have_title(re.compile("JupyterLab"))
    open_dask_panel(page)
    cluster = page.locator(".dask-ClusterListingItem").first
    expect(cluster).to_contain_text(body["session"])
    expect(cluster).to_contain_text("Number of Workers: 0")

    cluster.get_by_text("SCALE").click()
    dialog = page.locator(".jp-Dialog")
    dialog.locator('input[type="number"]').first.fill("2")
    dialog.get_by_role("button", name="SCALE").click()

    def running() -> list[str]:
        listing = installed.run(
            "login", "squeue", "-h", "-u", "researcher", "-t", "RUNNING", "-o", "%j"
        ).stdout
        return [one for one in listing.splitlines() if one.startswith(f"rsdat-{body['session']}-")]

    eventually("two worker jobs run", lambda: len(running()) == 2)
    expect(cluster).to_contain_text("Number of Workers: 2")

    status = json.loads(laptop("status", "page", "--json", check=True).stdout)
    link = status["cluster"]["dashboard_link"]
    dashboard = browser.new_page()
    origin = body["url"].partition("lab?")[0].rstrip("/")
    token = body["url"].partition("token=")[2]
    # The link as JupyterLab shows it, through the server's proxy; the page draws its plots over a
    # websocket, which has to pass as well.
    dashboard.goto(f"{origin}{link}?token={token}")
    expect(dashboard.locator(".bk-Figure").first).to_be_visible()
    dashboard.goto(f"{origin}{link.replace('/status', '/info/main/workers.html')}")
    expect(dashboard.locator("body")).to_contain_text(re.compile(r"tls://.*tls://", re.DOTALL))
