import json
import shutil
import time

import pytest

from audiointerp.report import render

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --autoplay-policy=no-user-gesture-required"
).split()

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip(f"{'chromedriver' if chromium else 'Chromium'} is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    yield opened
    opened.quit()


@pytest.fixture
def opened(browser, run):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(render(run).as_uri())
    return browser


def wait_for(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def test_it_opens_without_an_error_or_a_request(opened, hostile):
    requested = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in opened.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert requested and all(url.startswith(("file:", "data:")) for url in requested)
    assert opened.get_log("browser") == []
    assert opened.execute_script("return window.broken") is None
    assert hostile in opened.find_element("tag name", "h1").text
    assert opened.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_players_play_one_at_a_time(opened):
    opened.execute_script("document.querySelectorAll('audio').forEach(a => { a.loop = true })")
    buttons = opened.find_elements("css selector", ".player button")
    at = "return [...document.querySelectorAll('audio')].map(a => [a.paused, a.currentTime])"
    buttons[0].click()
    wait_for(lambda: opened.execute_script(at)[0][1] > 0.05)
    assert buttons[0].get_attribute("aria-label").startswith("Pause: tone 0")
    buttons[1].click()
    wait_for(lambda: opened.execute_script(at)[1][1] > 0.05)
    assert [paused for paused, _ in opened.execute_script(at)] == [True, False, True]
    buttons[1].click()
    wait_for(lambda: opened.execute_script(at)[1][0])
    assert opened.get_log("browser") == []


def test_tables_sort_by_value_with_what_was_not_measured_last(opened):
    table = opened.find_elements("css selector", "table.data")[1]
    head = table.find_elements("css selector", "thead button")[1]
    column = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[1].title)"
    head.click()
    assert opened.execute_script(column, table) == ["2.5e-06", "0.123456", "not measured"]
    head.click()
    assert opened.execute_script(column, table) == ["0.123456", "2.5e-06", "not measured"]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_screen_in_light_and_in_the_dark(opened, width, scheme):
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.refresh()
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    paper = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(int(c) for c in paper[4:-1].split(",")) > 384) == (scheme == "light")
    card = opened.execute_script("return getComputedStyle(document.querySelector('.card')).backgroundColor")
    assert card == "rgb(255, 255, 255)"
    button = opened.find_element("css selector", ".player button").size
    assert min(button["width"], button["height"]) >= 40
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
