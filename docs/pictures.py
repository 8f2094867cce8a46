"""Make the pictures of the report that README and docs show: a real search, its page, photographs by a browser.

Run: python docs/pictures.py [trials]

It needs selenium, chromium and chromedriver, and Pillow. The search is that of `examples/report.py`.
"""

import base64
import io
import pathlib
import shutil
import sys
import tempfile
import time

DOCS = pathlib.Path(__file__).parent
sys.path.append(str(DOCS.parent / "examples"))
WIDTH = 1200
PICTURES = {  # name of the file: what of the page it shows, from the first to the last
    "report": ("header.top", "#history"),
    "report-lanes": ("#rungs", "#lanes"),
}


def browser(dark):
    """Return a browser that shows pages light or dark."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    found.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return found


def photograph(page, dark):
    """Yield the name and the picture, as PNG, of each part of a page."""
    window = browser(dark)
    try:
        for high in (900, 9000):  # at first as a person sees it, then so high that all of it is drawn
            size = {"width": WIDTH, "height": high, "deviceScaleFactor": 1.5, "mobile": False}
            window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            window.get(page.resolve().as_uri())
            time.sleep(1.0)
        what = "details, #theme, nav, .facts div:nth-child(2)"  # how long it took here is no measurement
        hide = f"for (const e of document.querySelectorAll('{what}')) e.style.display = 'none'"
        window.execute_script(hide)
        time.sleep(0.5)
        for name, ends in PICTURES.items():
            yield name, cut(window, *ends)
    finally:
        window.quit()


def cut(window, first, last):
    """Return the picture of a page from one element to another."""
    edge = "return document.querySelector(arguments[0]).getBoundingClientRect()"
    top, bottom = window.execute_script(edge, first)["top"], window.execute_script(edge, last)["bottom"]
    area = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top + 16, "scale": 1}
    given = {"format": "png", "captureBeyondViewport": True, "clip": area}
    return base64.b64decode(window.execute_cdp_cmd("Page.captureScreenshot", given)["data"])


def main(trials=256):
    """Search, and write the pictures beside this file."""
    import report
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        report.main(trials, folder)
        for dark in (False, True):
            for name, picture in photograph(pathlib.Path(folder) / "report.html", dark):
                path = DOCS / f"{name}-{'dark' if dark else 'light'}.webp"
                Image.open(io.BytesIO(picture)).convert("RGB").save(path, quality=82, method=6)
                print(path.name, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
