"""Make the pictures that README and docs show: a terminal, and photographs of a report by a browser, of real searches.

Run: python docs/pictures.py [terminal] [report]

The report needs selenium, chromium and chromedriver, and Pillow. The searches are those of `examples/quickstart.py` and
`examples/report.py`.
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


def terminal(trials=1024):
    """Write demo.svg: what a terminal shows in the middle of a search, and what its result prints."""
    import quickstart
    from rich.console import Console

    from jaxhpt.report import progress

    console = Console(record=True, force_terminal=True, width=100, height=40, file=io.StringIO())
    seen = []
    result = quickstart.main(trials, callbacks=[seen.append], progress=False)
    lines = progress._Lines(console)
    middle = min(range(len(seen)), key=lambda i: abs(seen[i].finished - 0.6 * trials))
    for snapshot in seen[: middle + 1]:
        lines.beneath.see(snapshot)
    lines.add_task("searching", total=trials, completed=snapshot.finished + snapshot.under_way, snapshot=snapshot)
    console.print("[bold green]$[/] python examples/quickstart.py")
    console.print(*lines.get_renderables(), "", result, sep="\n", highlight=False)
    (DOCS / "demo.svg").write_text(console.export_svg(title="jaxhpt"))


def report(trials=256):
    """Write the pictures of a report, light and dark."""
    import report as example
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        example.main(trials, folder)
        for dark in (False, True):
            for name, picture in photograph(pathlib.Path(folder) / "report.html", dark):
                path = DOCS / f"{name}-{'dark' if dark else 'light'}.webp"
                Image.open(io.BytesIO(picture)).convert("RGB").save(path, quality=82, method=6)
                print(path.name, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("terminal", "report"):
        {"terminal": terminal, "report": report}[name]()
