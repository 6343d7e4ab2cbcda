"""The playground: its arithmetic against PyTorch's, in node, and its pages, in Chromium.

`reference.json` holds what PyTorch said when the networks were exported. Node and Chromium are
used where they are.
"""

import html
import json
import math
import re
import shutil
import subprocess
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

try:
    from playwright import sync_api
except ModuleNotFoundError:
    sync_api = None

ROOT = Path(__file__).resolve().parents[2]
PLAYGROUND = ROOT / "docs" / "playground"
SCREENSHOTS = ROOT / "out" / "playground"
REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text())
NODE = shutil.which("node")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PAGES = ("index", "pixel", "lesion", "map")
CLOSE = 0.005  # of a probability: the weights are kept in 16 bits
MEGABYTE = 1_000_000

needs_node = pytest.mark.skipif(NODE is None, reason="needs node")


def run_node(files: list[str], program: str, given: object = None) -> object:
    """Run scripts of the playground, then a program that sees them and `given`."""
    source = "\n".join((PLAYGROUND / name).read_text() for name in files)
    source += f"\nconst given = {json.dumps(given)};"
    source += f"\nprocess.stdout.write(JSON.stringify((() => {{ {program} }})()));"
    done = subprocess.run([NODE, "-"], input=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def written(x):
    """Give a tensor as net.js has it."""
    return (
        {"shape": list(x.shape), "data": x.flatten().tolist()} if isinstance(x, torch.Tensor) else x
    )


# ---- the interpreter, operator by operator


def normal(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator)


def case(operator: str, inputs: list, settings: dict, expected: torch.Tensor):
    return pytest.param(
        operator,
        inputs,
        settings,
        expected,
        id=f"{operator} {settings or ''} {list(expected.shape)}",
    )


def convolution(
    outs: int, channels: int, kernel: int, stride: int, padding: int, size: int, bias=True
):
    x, weight = normal(1, channels, size, size), normal(outs, channels, kernel, kernel)
    shift = normal(outs) if bias else None
    settings = {"stride": stride, "padding": padding}
    return case("conv", [x, weight, shift], settings, F.conv2d(x, weight, shift, stride, padding))


X, POSITIVE, PIXELS = normal(1, 6, 5, 4), normal(1, 6, 5, 4).abs() + 0.1, normal(1, 1, 5, 4)
GROUPED, ROW = normal(1, 2, 3, 5, 4), normal(1, 7)
CASES = [
    convolution(8, 3, 3, 1, 1, 7),  # 49 pixels: the last four are one
    convolution(8, 3, 3, 2, 1, 7),
    convolution(16, 5, 1, 1, 0, 6, bias=False),
    convolution(5, 3, 3, 1, 1, 6),  # outputs that do not go by fours
    convolution(4, 2, 3, 1, 0, 3),  # a single pixel
    case("relu", [X], {}, X.relu()),
    case("sigmoid", [X], {}, X.sigmoid()),
    case("rsqrt", [POSITIVE], {}, POSITIVE.rsqrt()),
    case("add", [X, normal(6, 1, 1)], {}, X + normal(6, 1, 1)),
    case("add", [X, 1e-5], {}, X + 1e-5),
    case("sub", [X, PIXELS], {}, X - PIXELS),
    case("mul", [PIXELS, X], {}, PIXELS * X),
    case("div", [X, POSITIVE], {}, X / POSITIVE),
    case("sum", [X], {"axes": [1], "keep": True}, X.sum(1, keepdim=True)),
    case("mean", [GROUPED], {"axes": [2], "keep": False}, GROUPED.mean(2)),
    case("mean", [X], {"axes": [-1, -2], "keep": True}, X.mean((2, 3), keepdim=True)),
    case("var", [X], {"axes": [1], "keep": True}, X.var(1, correction=0, keepdim=True)),
    case("cat", [X, PIXELS, X], {"axis": 1}, torch.cat([X, PIXELS, X], 1)),
    case("view", [X], {"shape": [1, 2, 3, 5, 4]}, X.view(1, 2, 3, 5, 4)),
    case("view", [X], {"shape": [1, -1]}, X.view(1, -1)),
    case("avg_pool", [X], {"size": 2, "ceil": True}, F.avg_pool2d(X, 2, ceil_mode=True)),
    case("avg_pool", [X], {"size": 2, "ceil": False}, F.avg_pool2d(X, 2)),
    case("linear", [ROW, normal(3, 7), normal(3)], {}, F.linear(ROW, normal(3, 7), normal(3))),
    case("softmax", [normal(1, 5)], {}, normal(1, 5).softmax(1)),
]  # fmt: skip

APPLY = """
const known = (x) => (x && x.shape ? Net.tensor(x.shape, Float64Array.from(x.data)) : x);
return given.map(({ operator, inputs, settings }) => {
  const apply = (...more) => Net.OPERATORS[operator](...inputs.map(known), settings, ...more);
  // a convolution by WebAssembly, and without
  const outs = operator === "conv" ? [apply(false), apply(true)] : [apply()];
  return outs.map((out) => ({ shape: out.shape, data: Array.from(out.data) }));
});
"""


@pytest.fixture(scope="module")
def applied() -> list:
    """What net.js makes of all cases, in their order."""
    given = [
        {"operator": operator, "inputs": [written(x) for x in inputs], "settings": settings}
        for operator, inputs, settings, _ in (one.values for one in CASES)
    ]
    return run_node(["net.js"], APPLY, given)


@needs_node
@pytest.mark.parametrize("k", range(len(CASES)), ids=[one.id for one in CASES])
def test_operator_is_pytorchs(k, applied):
    expected = CASES[k].values[3]
    for out in applied[k]:
        assert out["shape"] == list(expected.shape)
        torch.testing.assert_close(
            torch.tensor(out["data"]).view(out["shape"]), expected, atol=1e-5, rtol=1e-5
        )


@needs_node
def test_every_operator_is_compared():
    have = run_node(["net.js"], "return Object.keys(Net.OPERATORS);")
    assert {one.values[0] for one in CASES} == set(have)


@needs_node
def test_halves_are_pytorchs():
    values = torch.tensor([0.0, -0.0, 1.0, -1.5, 6e-8, 1e-5, 65504.0, 0.1])
    text = b64encode(values.half().numpy().tobytes()).decode()
    assert (
        run_node(["net.js"], "return Array.from(Net.halves(given));", text)
        == values.half().tolist()
    )


# ---- the networks, end to end

COMPARE = """
const bytes = Net.bytes(DATA.sixty.images), size = 3 * 28 * 28;
const planes = (k) => Float64Array.from(bytes.subarray(size * k, size * (k + 1)));
const image = (k) => Net.tensor([1, 3, 28, 28], planes(k));
const network = Net.load(DATA[given.name]);
"""


def largest_difference(said: list, expected: list) -> float:
    return (torch.tensor(said) - torch.tensor(expected)).abs().max().item()


@needs_node
@pytest.mark.parametrize("name", ["ppcr", "plain"])
def test_network_says_what_pytorch_says(name):
    program = (
        COMPARE + "return [...Array(20).keys()].map((k) => network.run([image(k)]).probabilities);"
    )
    said = run_node(["net.js", "data/sixty.js", f"data/{name}.js"], program, {"name": name})
    assert len(said) == 20 == len(REFERENCE[name])
    assert largest_difference(said, REFERENCE[name]) < CLOSE


@needs_node
def test_gates_are_pytorchs_and_can_be_replaced():
    program = (
        COMPARE
        + """
    const first = network.run([image(0)]), second = network.run([image(1)]);
    const same = network.run([image(0)], network.replacing(first.gates));
    const other = network.run([image(0)], network.replacing(second.gates));
    return { gates: first.gates.map((gate) => Array.from(gate.data)),
      said: [first, same, other].map((one) => one.probabilities) };
    """
    )
    out = run_node(["net.js", "data/sixty.js", "data/ppcr.js"], program, {"name": "ppcr"})
    assert len(out["gates"]) == 4
    for gate, expected in zip(out["gates"], REFERENCE["gates"], strict=True):
        assert largest_difference(gate, torch.tensor(expected).flatten().tolist()) < CLOSE
    own, same, other = out["said"]
    assert own == same
    assert own != other


@needs_node
@pytest.mark.parametrize("name", REFERENCE["behind"])
def test_sixty_eyes_under_a_map(name):
    program = (
        COMPARE
        + """
    const { maps, region } = DATA.sixty, [arm, run] = given.map.split(" ");
    const values = arm === "ones" ? new Float64Array(784).fill(1)
      : arm === "region" ? Float64Array.from(Net.bytes(region)) : Net.halves(maps[arm][run].map);
    const map = Net.tensor([1, 1, 28, 28], values);
    const said = DATA.sixty.labels.map((_, k) => network.run([image(k), map]).probabilities);
    const right = said.filter((p, k) => p.indexOf(Math.max(...p)) === DATA.sixty.labels[k]).length;
    return { said, right, written: maps[arm] ? maps[arm][run].right : DATA.sixty.right[arm] };
    """
    )
    files = ["net.js", "data/sixty.js", "data/behind.js"]
    out = run_node(files, program, {"name": "behind", "map": name})
    assert largest_difference(out["said"], REFERENCE["behind"][name]) < CLOSE
    assert out["right"] == out["written"]


@needs_node
def test_eyes_are_drawn_as_in_python():
    program = """
    const s = DATA.eyes;
    const drawn = s.eyes.map((e) => Eye.compose(Net.bytes(e.bare), e.lamp, e.spots, s));
    return drawn.map((image) => image.reduce((a, b) => a + b));
    """
    drawn = run_node(["net.js", "eye.js", "data/eyes.js"], program)
    for ours, theirs in zip(drawn, REFERENCE["composed"], strict=True):
        assert abs(ours - theirs) <= 2  # of 2,352 bytes, two may be rounded the other way


@needs_node
def test_a_spots_place_is_what_the_label_says():
    program = """
    const s = DATA.eyes;
    return s.eyes.map((e) => [e.label, e.spots.filter((spot) => Eye.inside(spot, s)).length]);
    """
    for label, n_inside in run_node(["eye.js", "data/eyes.js"], program):
        assert n_inside in ((0,), (1, 2), (4, 5, 6))[label]


@needs_node
def test_what_the_pages_say_of_the_networks_holds():
    kept, right, learned = run_node(
        ["data/eyes.js", "data/sixty.js"],
        "return [DATA.eyes.accuracy, DATA.sixty.right, DATA.sixty.maps];",
    )
    assert abs(kept["plain"] - kept["own"]) < 0.05  # "grades about as well"
    assert kept["own"] - kept["other"] < 0.06  # "serve nearly as well"
    assert kept["half"] < kept["own"] - 0.2  # "a third of the eyes wrongly"
    assert right["region"] >= 57  # "a sixth of the pixels is enough"
    assert [len(runs) for runs in learned.values()] == [5, 5, 5]


@needs_node
@pytest.mark.parametrize("scales", [(1, 2, 4), (1, 2), (1,)])
def test_equations_are_the_packages(scales):
    from medattn.attention import PPCR

    channels, weights = 5 + 3 * normal(16), normal(7)
    module = PPCR(16, 1, scales=scales)
    used = [scale in scales for scale in (1, 2, 2, 4, 4, 4, 4)]
    with torch.no_grad():
        module.integrate.weight.copy_(weights[torch.tensor(used)].view(-1, 1, 1))
        gated = module(channels.view(1, 16, 1, 1)).flatten()
    program = "return Equations.ppcr(given.channels, given.weights, given.scales);"
    given = {"channels": channels.tolist(), "weights": weights.tolist(), "scales": scales}
    out = run_node(["equations.js"], program, given)
    torch.testing.assert_close(torch.tensor(out["gated"]), gated, atol=1e-4, rtol=1e-4)
    assert [value is not None for value in out["contexts"]] == used


# ---- the files


def test_sizes():
    files = [path for path in PLAYGROUND.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= 3 * MEGABYTE
    for name in ("ppcr", "plain", "behind"):
        assert (PLAYGROUND / "data" / f"{name}.js").stat().st_size < MEGABYTE
    assert len((PLAYGROUND / "net.js").read_text().splitlines()) < 250


def own_files() -> list[Path]:
    return [
        path for path in sorted(PLAYGROUND.rglob("*")) if path.suffix in (".html", ".css", ".js")
    ]


@pytest.mark.parametrize("path", own_files(), ids=lambda path: path.name)
def test_nothing_is_asked_of_the_network(path):
    text = path.read_text()
    addresses = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"']*", text)
    if path.suffix == ".html":
        linked = re.findall(r'<a href="(https://arxiv\.org/abs/[\d.]+)">', text)
        assert addresses == linked
        loaded = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="([^"]+)"', text)
        for name in loaded:
            assert name == "data:," or (PLAYGROUND / name).is_file(), name
    else:
        assert not addresses
    for word in (
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "sendBeacon",
        "importScripts",
        "@import",
        "url(",
    ):
        assert word not in text, word


@pytest.mark.parametrize("name", PAGES)
def test_sentences_are_short(name):
    text = (PLAYGROUND / f"{name}.html").read_text()
    for block in re.findall(r"<(?:p|li|title)\b[^>]*>(.*?)</(?:p|li|title)>", text, re.DOTALL):
        plain = " ".join(html.unescape(re.sub(r"<[^>]+>", "", block)).split())
        for sentence in re.split(r"(?<=[.?!:;])\s", plain.replace("et al. ", "et al ")):
            assert len(sentence.split()) <= 25, sentence


# ---- the pages in Chromium

QUIET = [  # no call home, and what a container needs
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
]
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}
SECONDS = 90  # of a busy machine


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """The playground over HTTP."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=PLAYGROUND))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def visit(address):
    """Open a page and do something with it; no request leaves, and the console has no error.

    All of it happens in one thread of its own: another Playwright may be at work in this one.
    """
    if sync_api is None:
        pytest.skip("needs playwright: pip install 'medattn[dev]'")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium: apt-get install chromium fonts-dejavu-core")

    def visiting(browser, name, how, size, do, scheme):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=size == "phone",
            color_scheme=scheme,
        )
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        start = PLAYGROUND.as_uri() if how == "file" else address
        try:
            page.goto(f"{start}/{name}.html")
            do(page)
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{name}_{how}_{size}_{scheme}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{wide} px wide"
        finally:
            context.close()
        away = [url for url in asked if not url.startswith((start, "data:"))]
        assert not away
        assert not wrong

    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(lambda: sync_api.sync_playwright().start()).result()
        browser = thread.submit(
            lambda: started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        ).result()

        def visit_in_thread(name, how, size, do, scheme="light"):
            thread.submit(visiting, browser, name, how, size, do, scheme).result()

        yield visit_in_thread
        thread.submit(browser.close).result()
        thread.submit(started.stop).result()


everywhere = pytest.mark.parametrize("size", SIZES)
both_ways = pytest.mark.parametrize("how", ["file", "http"])


def drag(page, start: tuple[float, float], to: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*to, steps=6)
    page.mouse.up()


def middle(place) -> tuple[float, float]:
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


CONTROLS = "button, select, input, canvas, [role], a, svg"
NAMELESS = """(controls) => [...document.querySelectorAll(controls)].filter((one) => {
  if (one.closest("[aria-hidden=true]") || one.getAttribute("role") === "status") return false;
  const labels = [...(one.labels ?? [])].map((label) => label.textContent).join("");
  const own = one.matches("button, a") ? one.textContent : "";
  return !(one.getAttribute("aria-label") || labels || own).trim();
}).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_label(visit, name):
    def do(page):
        assert page.evaluate(NAMELESS, CONTROLS) == []
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"

    visit(name, "file", "desktop", do)


TEXTS = "p, li, h1, h2, h3, button, label, a, th, td, b, small, .note, .number, .big, .group"
CONTRAST = """(texts) => {
  const shine = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll(texts)]
    .filter((one) => one.textContent.trim() && one.offsetParent && !one.disabled).map((one) => {
      const [a, b] = [shine(getComputedStyle(one).color), shine(behind(one))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 90)];
    }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_can_be_read(visit, name, scheme):
    def do(page):
        if name == "map":
            wait_for_sixty(page)
        assert page.evaluate(CONTRAST, TEXTS) == []
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", shade))) < 200) == (scheme == "dark")

    visit(name, "file", "desktop", do, scheme)


@both_ways
@everywhere
def test_front_leads_to_all_pages(visit, how, size):
    def do(page):
        for name in PAGES[1:]:
            page.locator(f'.cards a[href="{name}.html"]').click()
            sync_api.expect(page.locator("nav [aria-current]")).to_have_attribute(
                "href", f"{name}.html"
            )
            page.locator('nav a[href="index.html"]').click()

    visit("index", how, size, do)


def gate_by_hand(channels: list[float], weights: list[float], scales=(1, 2, 4)) -> float:
    """Eqs. (1)-(6), written out once more."""
    used = [s in scales for s in (1, 2, 2, 4, 4, 4, 4)]
    x = torch.tensor(channels, dtype=torch.float64)
    contexts = torch.cat([x.view(s, -1).mean(1) for s in scales])
    normalised = (contexts - contexts.mean()) / (contexts.var(correction=0) + 1e-5).sqrt()
    w = torch.tensor([w for w, u in zip(weights, used, strict=True) if u], dtype=torch.float64)
    return torch.sigmoid((w * normalised).sum()).item()


@both_ways
@everywhere
def test_one_pixel(visit, how, size):
    def values(page, place):
        return [
            float(bar.get_attribute("aria-valuenow")) for bar in page.locator(f"{place} .bar").all()
        ]

    def gate(page):
        return float(page.locator("#gate").inner_text())

    def do(page):
        assert gate(page) == 0.88
        bar = page.locator("#channels .bar").nth(4)
        x, y = middle(bar)
        drag(page, (x, y), (x, y - 40))
        assert values(page, "#channels")[4] > 5
        assert gate(page) != 0.88
        weight = page.locator("#weights .bar").nth(5)
        weight.focus()
        for _ in range(4):
            page.keyboard.press("ArrowUp")
        assert values(page, "#weights")[5] == 0.4
        expected = gate_by_hand(values(page, "#channels"), values(page, "#weights"))
        assert abs(gate(page) - expected) <= 0.0051
        before = gate(page)
        facts = page.locator("#facts button")
        assert facts.count() == 6
        for k in (0, 1, 5):  # ten times, plus 100, shuffled
            old = values(page, "#channels")
            facts.nth(k).click()
            assert values(page, "#channels") != old
            assert gate(page) == before
        facts.nth(2).click()  # one scale
        assert gate(page) == 0.5
        page.locator("#weights .bar").first.focus()
        page.keyboard.press("End")
        assert gate(page) == 0.5
        page.locator("#reset").click()
        facts.nth(3).click()  # two scales: one bit
        first = page.locator("#channels .bar").first
        seen = set()
        for _ in range(5):
            first.focus()
            page.keyboard.press("ArrowUp")
            page.keyboard.press("PageDown")
            seen.add(gate(page))
        for k in (5, 6, 7):  # the second half becomes the louder one
            page.locator("#channels .bar").nth(k).focus()
            page.keyboard.press("End")
            seen.add(gate(page))
        z = 2 * math.sqrt(1.5)
        assert seen <= {round(1 / (1 + math.exp(-z)), 2), round(1 / (1 + math.exp(z)), 2)}
        assert len(seen) == 2
        facts.nth(4).click()  # all weights 0
        assert gate(page) == 0.5
        page.locator("input[name=count][value='16']").check()
        assert page.locator("#channels .bar").count() == 16

    visit("pixel", how, size, do)


def on_eye(page, x: float, y: float) -> tuple[float, float]:
    """A place of the eye, in half sides, in the window."""
    box = page.locator("#stage").bounding_box()
    return box["x"] + (x + 1) / 2 * box["width"], box["y"] + (y + 1) / 2 * box["height"]


@both_ways
@everywhere
def test_move_a_lesion(visit, how, size):
    def says(page):
        page.wait_for_timeout(50)  # a frame
        return page.evaluate("[playground.plain, playground.ppcr]")

    def do(page):
        assert page.locator("#truth strong").inner_text() == "none"
        plain, ppcr = says(page)
        assert plain.index(max(plain)) == ppcr.index(max(ppcr)) == 0
        middle(page.locator("#stage"))  # scrolled to
        drag(page, middle(page.locator(".spot").first), on_eye(page, 0.25, 0.25))
        page.wait_for_function("document.querySelector('#truth strong').textContent === 'mild'")
        moved = says(page)
        assert all(p.index(max(p)) == 1 for p in moved)  # both see it
        assert "moved a gate" in page.locator("figcaption").first.inner_text()
        page.locator("input[name=gates][value=half]").check()
        half = says(page)
        assert half[0] == moved[0]  # the plain network has no gates
        assert half[1] != moved[1]
        assert "0.50 to 0.50" in page.locator("figcaption").first.inner_text()
        page.locator("#next-other").click()
        assert says(page)[1] not in (half[1], moved[1])
        page.locator("input[name=gates][value=own]").check()
        assert says(page) == moved
        page.locator(".spot").first.focus()
        page.keyboard.press("ArrowLeft")
        assert says(page) != moved
        page.locator("#add-dark").click()
        assert page.locator(".spot").count() == 2
        page.keyboard.press("Delete")
        page.locator("#remove").click()
        assert page.locator(".spot").count() == 0
        page.locator("#back").click()
        assert page.locator(".spot").count() == 1
        page.locator("#show").uncheck()
        assert not page.locator("#region").is_visible()

    visit("lesion", how, size, do)


def test_lesions_are_pytorchs(visit):
    def do(page):
        for k in range(len(REFERENCE["eyes"]["ppcr"])):
            page.locator("#which").select_option(str(k))
            said = page.evaluate("({plain: playground.plain, ppcr: playground.ppcr})")
            for name, values in said.items():
                assert largest_difference(values, REFERENCE["eyes"][name][k]) < CLOSE

    visit("lesion", "file", "desktop", do)


def wait_for_sixty(page):
    page.wait_for_function("globalThis.playground?.done")


@both_ways
@everywhere
def test_paint_the_map(visit, how, size, record_property):
    def right(page):
        wait_for_sixty(page)
        shown = int(page.locator("#accuracy").inner_text().split()[0])
        assert shown == page.evaluate("playground.right")
        return shown

    def do(page):
        written = page.evaluate("DATA.sixty.right")
        assert right(page) == written["ones"]
        assert (
            largest_difference(
                page.evaluate("playground.probabilities"), REFERENCE["behind"]["ones"]
            )
            < CLOSE
        )
        record_property("ms for sixty eyes", page.evaluate("playground.timing.all"))
        names = page.locator("#learned button")
        assert names.count() == 5
        names.nth(1).click()
        assert right(page) == written["region"]
        assert (
            largest_difference(
                page.evaluate("playground.probabilities"), REFERENCE["behind"]["region"]
            )
            < CLOSE
        )
        names.nth(2).click()
        page.locator("#run").select_option("2")
        assert right(page) == page.evaluate("DATA.sixty.maps.global[2].right")
        page.locator("#open").click()
        assert right(page) == written["ones"]
        brush = page.locator("#brush")
        x, y = middle(brush)
        for shift in range(-30, 50, 16):  # the circle is closed by hand
            drag(page, (x - 20, y + shift), (x + 60, y + shift))
        assert right(page) < 40
        page.locator("#close").click()
        assert right(page) == 20  # guessing
        page.locator("input[name=tool][value='1']").check()
        brush.focus()
        before = page.evaluate("playground.probabilities[0]")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Space")
        wait_for_sixty(page)
        assert page.evaluate("playground.probabilities[0]") != before
        page.locator("#stretch").check()
        page.locator("#show").check()
        assert page.locator("#outline").is_visible()

    visit("map", how, size, do)
