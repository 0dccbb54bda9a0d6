# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium for pages in files; where there is none, what needs it is skipped with the reason."""

from __future__ import annotations

import json
import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
FLAGS += ("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--window-size=1300,900")


def start(profile, *, script=True):
    """Return a browser with an empty profile; ``script`` False: with JavaScript switched off."""
    if not CHROMIUM or not DRIVER:
        pytest.skip("no Chromium with chromedriver here (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (requirements-dev.txt)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    for flag in (*FLAGS, *root, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def requests(driver):
    """What the page itself has asked for, beside its own file and data in it."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("file://", "data:", "chrome", "about:"))]


def column(driver, table, number):
    """The texts of a column of a table, of the rows that are shown."""
    cells = f"#{table} tbody tr:not([hidden]) > :nth-child({number})"
    return driver.execute_script("return [...document.querySelectorAll(arguments[0])].map(c => c.textContent.trim())", cells)


def click(driver, css):
    driver.execute_script("document.querySelector(arguments[0]).click()", css)


def type_into(driver, label, text):
    script = "const i = document.querySelector(`input[aria-label='${arguments[0]}']`); i.value = arguments[1]; i.dispatchEvent(new Event('input'))"
    driver.execute_script(script, label, text)
