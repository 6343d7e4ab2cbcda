function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "medattn-clickable";
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");  // a screen reader leaves the arrow keys alone
  frame.setAttribute("data-lm-suppress-shortcuts", "true");  // so does JupyterLab
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
  const cell = () => model.get("grid").map(
    (n, k) => Math.min(n - 1, Math.floor(model.get("place")[k] * n)));
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
  const watched = {
    "change:picture": draw, "change:alt": name, "change:place": put, "change:grid": put };
  for (const [what, then] of Object.entries(watched)) model.on(what, then);
  for (const then of [draw, name, put]) then();
  return () => {
    for (const [what, then] of Object.entries(watched)) model.off(what, then);
    URL.revokeObjectURL(address);
  };
}
export default { render };
