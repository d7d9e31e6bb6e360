"""Open every page of the built site in headless Chromium, wide and narrow, and list what is wrong.

    python docs/check_site.py [--site docs/_build/html] [--browser PATH] [--pictures FOLDER]

A fault is a link or an anchor that leads nowhere on the site, an image that is missing or of one
colour, an error on the console, an exception, a request that failed or that left the machine, a
search that finds nothing, a page wider than its window, code that scrolls sideways on a
desktop, and a word that is printed vertically. Exits with 1 if there is one. Links to other sites
are counted and not opened. Needs playwright and an installed Chromium.
"""

import argparse
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

from playwright.sync_api import Page, sync_playwright

WINDOWS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOWN = ["index.html", "guide.html", "tour.html", "choosing.html", "errors.html", "paper.html"]
SHOWN += ["api.html", "generated/skdim.DIMTransformer.html", "auto_examples/index.html"]
SHOWN += ["auto_examples/few_labels/plot_1_digits.html"]
SEARCHED = "DIMTransformer"

# In the page: its links and anchors, its images once decoded, its width and what sticks out.
LOOK = """async () => {
  const images = [...document.images];
  await Promise.all(images.map(image => {
    image.loading = "eager";
    return image.decode().catch(() => {});
  }));
  const colours = image => {
    const canvas = document.createElement("canvas");
    canvas.width = Math.min(image.naturalWidth, 64);
    canvas.height = Math.min(image.naturalHeight, 64);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(pixels.buffer)).size;
  };
  const width = document.documentElement.clientWidth;
  // Words broken over more than three lines: in a box that is far too narrow for them.
  const vertical = [];
  const texts = document.createTreeWalker(document.querySelector("article") ?? document.body, 4);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.parentElement.checkVisibility()) continue;
    for (const word of text.data.matchAll(/\\w{5,}/g)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 3) vertical.push(word[0]);
    }
  }
  const code = [...document.querySelectorAll("article pre")].filter(block =>
    block.checkVisibility() && block.scrollWidth > block.clientWidth + 1);
  const scrolls = element => {
    for (let parent = element; parent; parent = parent.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(parent).overflowX))
        return parent.scrollWidth > parent.clientWidth && parent.clientWidth < width;
    return false;
  };
  const wide = [...document.querySelectorAll("article, article *")].filter(element =>
    element.checkVisibility() && element.scrollWidth > element.clientWidth + 1 &&
    getComputedStyle(element).display !== "inline" &&
    element.getBoundingClientRect().left + element.scrollWidth > width + 1 && !scrolls(element));
  return {
    links: [...document.querySelectorAll("a[href], link[rel~=icon]")].map(link => link.href),
    anchors: [...document.querySelectorAll("[id], a[name]")].map(e => e.id || e.name),
    images: images.map(image => [image.src, image.naturalWidth ? colours(image) : 0]),
    vertical: vertical,
    code: code.map(block => block.innerText.trim().slice(0, 40)),
    width: document.documentElement.scrollWidth,
    wide: wide.slice(0, 3).map(e => `${e.tagName.toLowerCase()}.${e.className}`.slice(0, 60)),
  };
}"""


class Quiet(SimpleHTTPRequestHandler):
    """A request handler without a log."""

    def log_message(self, format, *args):
        """Log nothing."""


class Found(NamedTuple):
    """What a page holds, by its path on the site."""

    links: dict[str, set[str]]
    anchors: dict[str, set[str]]
    images: set[str]
    faults: set[str]


class Server(ThreadingHTTPServer):
    """A server that ignores connections that the browser closed early."""

    def handle_error(self, request, client_address):
        """Report any other error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def pages_of(site: Path) -> list[str]:
    """Return the paths of all pages, without those that belong to the theme."""
    paths = (path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    return sorted(path for path in paths if not path.startswith("_static/"))


def listen(page: Page, origin: str, faults: set[str]) -> None:
    """Note every error of the browser, and block requests that leave the machine."""

    def note(what: str) -> None:
        faults.add(f"{page.url.removeprefix(origin) or 'start'}: {what}")

    def guard(route) -> None:
        url = route.request.url
        if url.startswith((origin, "data:", "blob:")):
            route.continue_()
        else:
            note(f"asks for {url}, outside the site")
            route.abort()

    page.route("**/*", guard)
    page.on("console", lambda m: m.type == "error" and note(f"console error: {m.text}"))
    page.on("pageerror", lambda error: note(f"exception: {error}"))
    page.on("requestfailed", lambda r: was_cut_off(r) or note(f"failed request: {r.url}"))
    page.on("response", lambda r: r.status >= 400 and note(f"status {r.status}: {r.url}"))


def was_cut_off(request) -> bool:
    """Whether the browser cancelled a request because it left the page, which is no fault."""
    return request.failure == "net::ERR_ABORTED"


def look(page: Page, path: str, origin: str, window: str, found: Found) -> None:
    """Open one page in one window and note what it holds and what is wrong."""
    page.goto(origin + path, wait_until="load", timeout=120_000)  # a machine may be busy
    seen = page.evaluate(LOOK)
    found.links.setdefault(path, set()).update(seen["links"])
    found.anchors.setdefault(path, set()).update(seen["anchors"])
    for source, n_colours in seen["images"]:
        found.images.add(source)
        if n_colours < 2:
            kind = "is missing" if n_colours == 0 else "has one colour"
            found.faults.add(f"{path}: image {source.removeprefix(origin)} {kind}")
    for word in seen["vertical"]:
        found.faults.add(f"{path}: {word!r} is printed vertically on a {window}")
    if window == "desktop":
        found.faults.update(f"{path}: code scrolls sideways: {code}" for code in seen["code"])
    width = WINDOWS[window]["viewport"]["width"]
    if seen["width"] > width or seen["wide"]:
        culprits = ", ".join(seen["wide"])
        found.faults.add(
            f"{path}: wider than a {window} of {width}: {culprits or 'the page itself'}"
        )


def broken_links(found: Found, site: Path, origin: str) -> set[str]:
    """Return links to a file or an anchor of the site that is not there."""
    faults = set()
    for path, links in found.links.items():
        for link in links:
            target, anchor = urldefrag(urljoin(origin + path, link))
            anchor = anchor.partition(":~:")[0]  # what follows is text to be found on the page
            if not target.startswith(origin):
                continue
            name = unquote(target.removeprefix(origin)).partition("?")[0] or "index.html"
            name = f"{name}index.html" if name.endswith("/") else name
            if not (site / name).is_file():
                faults.add(f"{path}: link to {name}, which is not there")
            elif anchor and name in found.anchors and unquote(anchor) not in found.anchors[name]:
                faults.add(f"{path}: link to {name}#{anchor}, an anchor that is not there")
    return faults


def search(page: Page, origin: str, faults: set[str]) -> None:
    """Search the site for a name that it must find."""
    page.goto(f"{origin}search.html?q={SEARCHED}", wait_until="load")
    try:
        page.wait_for_selector("#search-results ul.search li", timeout=20_000)
    except Exception:  # of playwright, which names its timeouts otherwise in each version
        faults.add(f"search.html: finds nothing for {SEARCHED}")


def check(site: Path, browser_path: str, pictures: Path | None) -> tuple[Found, int]:
    """Serve the site on the loopback interface and look at every page in every window."""
    server = Server(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}/"
    paths = pages_of(site)
    found = Found({}, {}, set(), set())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        for window, options in WINDOWS.items():
            page = browser.new_context(**options).new_page()
            listen(page, origin, found.faults)
            for path in paths:
                look(page, path, origin, window, found)
                if pictures is not None and path in SHOWN:
                    pictures.mkdir(parents=True, exist_ok=True)
                    name = path.removesuffix(".html").replace("/", "_")
                    page.screenshot(path=pictures / f"{name}_{window}.png")
            search(page, origin, found.faults)
        browser.close()
    server.shutdown()
    found.faults.update(broken_links(found, site, origin))
    return found, sum(link.startswith(origin) for links in found.links.values() for link in links)


def main():
    """Check, print the results, and exit with 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path(__file__).parent / "_build" / "html")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    if not (arguments.site / "index.html").is_file():
        sys.exit(f"There is no site in {arguments.site}: build it with `make docs`.")
    if not arguments.browser or not Path(arguments.browser).is_file():
        sys.exit("There is no Chromium: install it, or name one by --browser.")
    found, n_inside = check(arguments.site, arguments.browser, arguments.pictures)
    n_links = sum(map(len, found.links.values()))
    rows = {
        "pages": len(found.links),
        "windows": ", ".join(f"{k} {v['viewport']['width']}" for k, v in WINDOWS.items()),
        "links on the site": n_inside,
        "links to others, not opened": n_links - n_inside,
        "pictures": len(found.images),
        "faults": len(found.faults),
    }
    for name, value in rows.items():
        print(f"{name:<28} {value}")
    for fault in sorted(found.faults):
        print("  " + fault)
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
