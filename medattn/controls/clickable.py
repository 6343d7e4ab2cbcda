"""A picture to point at, with the mouse or with the arrow keys; the one control that ipywidgets does not have.

The script is part of the package: nothing is fetched.
"""

import anywidget
import traitlets

SCRIPT = """
function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "medattn-clickable";
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");  // arrow keys are the picture's, not the screen reader's
  frame.setAttribute("data-lm-suppress-shortcuts", "true");  // nor JupyterLab's
  const picture = document.createElement("img");
  picture.draggable = false;
  const mark = document.createElement("div");
  mark.className = "medattn-mark";
  frame.append(picture, mark);
  el.append(frame);

  let address = null;
  const draw = () => {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    picture.src = address;
  };
  const name = () => {
    picture.alt = model.get("alt");
    frame.setAttribute("aria-label", `${model.get("alt")}. Arrow keys move the marked pixel.`);
  };
  const cell = () => model.get("grid").map((n, k) => Math.min(n - 1, Math.floor(model.get("place")[k] * n)));
  const put = () => {
    const grid = model.get("grid"), at = cell();
    mark.style.top = `${(100 * at[0]) / grid[0]}%`;
    mark.style.left = `${(100 * at[1]) / grid[1]}%`;
    mark.style.height = `${100 / grid[0]}%`;
    mark.style.width = `${100 / grid[1]}%`;
  };
  const go = (place) => {
    model.set("place", place.map((share) => Math.min(Math.max(share, 0), 0.999999)));
    model.save_changes();
  };
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  frame.addEventListener("pointerdown", (event) => {
    const box = picture.getBoundingClientRect();
    go([(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]);
  });
  frame.addEventListener("keydown", (event) => {
    const by = step[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    go(cell().map((at, k) => (at + by[k] + 0.5) / model.get("grid")[k]));
  });
  const watched = { "change:picture": draw, "change:alt": name, "change:place": put, "change:grid": put };
  for (const [what, then] of Object.entries(watched)) model.on(what, then);
  for (const then of [draw, name, put]) then();
  return () => {
    for (const [what, then] of Object.entries(watched)) model.off(what, then);
    URL.revokeObjectURL(address);
  };
}
export default { render };
"""

STYLE = """
.medattn-clickable { position: relative; width: 256px; cursor: crosshair; line-height: 0; margin: 4px; }
.medattn-clickable:focus { outline: 3px solid #0173b2; outline-offset: 2px; }
.medattn-clickable img { width: 100%; user-select: none; }
.medattn-mark { position: absolute; box-sizing: border-box; border: 2px solid white; outline: 2px solid black;
  min-width: 8px; min-height: 8px; pointer-events: none; }
"""


class ClickableImage(anywidget.AnyWidget):
    """A picture on which a place is chosen by a click, or step by step with the arrow keys once it has the focus.

    `picture` is a PNG and `alt` says what it shows. `place` is (row, column) in shares of the picture, 0 to below 1.
    `grid` is the number of steps over its height and width; the marked box is one of them.
    """

    _esm = SCRIPT
    _css = STYLE

    picture = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    place = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.5, 0.5)).tag(sync=True)
    grid = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 1)).tag(sync=True)
