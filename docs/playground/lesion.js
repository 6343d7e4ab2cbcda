// Move a lesion: spots on a drawn eye, two trained networks, and the gates of one of them.
"use strict";

(() => {
  const { find, element, digits, percent, paintImage, paintMap, probabilities } = Draw, { SIZE, compose, inside } = Eye;
  const scene = DATA.eyes, classes = scene.classes, N = scene.eyes.length;
  const networks = { plain: Net.load(DATA.plain), ppcr: Net.load(DATA.ppcr) };
  const eyes = scene.eyes.map((eye) => ({ ...eye, bare: Net.bytes(eye.bare) }));
  const FRESH = { radius: 0.075, stretch: 1, turn: 0.6, strength: 1.1 };
  const MOST = 24; // spots
  const state = { eye: 0, spots: [], chosen: 0, gates: "own", other: 0, before: null };
  const times = [];

  const input = (planes) => Net.tensor([1, 3, SIZE, SIZE], planes);
  const imageOf = (k, spots = eyes[k].spots) => compose(eyes[k].bare, eyes[k].lamp, spots, scene);
  const ownGates = (k) => (eyes[k].gates ??= networks.ppcr.run([input(imageOf(k))]).gates); // with its own spots
  const half = (gates) => gates.map((gate) => Net.tensor(gate.shape, gate.data.map(() => 0.5)));

  // what both networks say of the eye as it is now, and PPCR's gates
  function look() {
    const image = imageOf(state.eye, state.spots), x = input(image);
    const begun = performance.now(), own = networks.ppcr.run([x]);
    times.push(performance.now() - begun);
    if (times.length > 200) times.shift();
    const plain = networks.plain.run([x]);
    const gates = state.gates === "own" ? own.gates : state.gates === "half" ? half(own.gates) : ownGates(state.other);
    const used = state.gates === "own" ? own : networks.ppcr.run([x], networks.ppcr.replacing(gates));
    return { image, own, plain, used: used.probabilities, gates };
  }

  // ---- what the rule says
  function truth() {
    const n = state.spots.filter((spot) => inside(spot, scene)).length;
    const grade = n === 0 ? "none" : n <= 2 ? "mild" : n === 3 ? "mild or severe" : "severe";
    const extra = n === 3 ? " No eye in the training had 3." : "";
    return { n, text: `${n === 1 ? "1 spot is" : `${n} spots are`} inside the circle, so the right answer is `, grade, extra };
  }

  // ---- drawing
  function draw(spoken = true) {
    const seen = look(), right = truth();
    paintImage(find("#eye"), seen.image, SIZE);
    find("#truth").replaceChildren(right.text, element("strong", { textContent: right.grade }), `.${right.extra}`);
    const plainSays = probabilities(find("#plain"), classes, seen.plain.probabilities);
    const ppcrSays = probabilities(find("#ppcr"), classes, seen.used);
    find("#plain-says").textContent = `says ${plainSays}`;
    find("#ppcr-says").textContent = `says ${ppcrSays}`;
    drawGates(seen.gates);
    drawChanged(seen, ppcrSays);
    drawSpots();
    if (spoken) find("#status").textContent = `Plain network: ${plainSays}. PPCR network: ${ppcrSays}. Right: ${right.grade}.`;
    globalThis.playground = { image: Array.from(seen.image), plain: seen.plain.probabilities, ppcr: seen.used, times };
  }

  function drawGates(gates) {
    const before = state.before;
    [...find("#maps").children].forEach((figure, k) => {
      const { shape: [, , height, width], data } = gates[k], [canvas, caption] = figure.children;
      paintMap(canvas, data, width, height);
      const lowest = data.reduce((a, b) => Math.min(a, b)), largest = data.reduce((a, b) => Math.max(a, b));
      canvas.setAttribute("aria-label", `Gate map ${k + 1}, ${width} by ${height}, from ${digits(lowest)} to ${digits(largest)}`);
      const moved = state.gates === "own" ? data.reduce((most, value, i) => Math.max(most, Math.abs(value - before[k].data[i])), 0) : null;
      caption.replaceChildren(element("strong", { textContent: `Map ${k + 1}` }), `: ${width} × ${height}, gates ${digits(lowest)} to ${digits(largest)}`,
        element("br"), moved === null ? (state.gates === "half" ? "all the same" : `taken from eye ${state.other + 1}`)
          : moved ? `your changes moved a gate by ${digits(moved, 3)} at most` : "as the eye was");
    });
  }

  function drawChanged(seen, says) {
    const own = seen.own.probabilities, ownSays = classes[own.indexOf(Math.max(...own))], place = find("#changed");
    if (state.gates === "own") place.textContent = "PPCR computes its gates from this eye.";
    else {
      const same = ownSays === says;
      place.replaceChildren(element("strong", { textContent: same ? "The answer stays: " : "The answer changes: " }),
        `with its own gates PPCR says ${ownSays} (${percent(Math.max(...own))}), with these ${says} (${percent(Math.max(...seen.used))}).`);
    }
  }

  const nameOf = (spot, k) => `Spot ${k + 1}, ${spot.dark ? "dark" : "bright"}, ${inside(spot, scene) ? "inside" : "outside"} the circle`;

  function drawSpots() {
    const place = find("#spots");
    while (place.children.length > state.spots.length) place.lastChild.remove();
    while (place.children.length < state.spots.length) place.append(handle(place.children.length));
    state.spots.forEach((spot, k) => {
      const button = place.children[k];
      button.style.left = `${50 * (spot.x + 1)}%`;
      button.style.top = `${50 * (spot.y + 1)}%`;
      button.classList.toggle("chosen", k === state.chosen);
      button.setAttribute("aria-label", nameOf(spot, k));
    });
    find("#remove").disabled = !state.spots[state.chosen];
    for (const id of ["#add-dark", "#add-bright"]) find(id).disabled = state.spots.length >= MOST;
  }

  // ---- moving
  let asked = false;
  function later() { // at most once a frame
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(false); });
  }

  function place(spot, x, y) { // on the eye, not beside it
    const far = Math.hypot(x, y), most = scene.view - 0.05, shrink = far > most ? most / far : 1;
    spot.x = x * shrink;
    spot.y = y * shrink;
  }

  function handle(k) {
    const button = element("button", { type: "button", className: "spot" });
    const follow = (event) => {
      const box = find("#stage").getBoundingClientRect();
      place(state.spots[k], ((event.clientX - box.left) / box.width) * 2 - 1, ((event.clientY - box.top) / box.height) * 2 - 1);
      later();
    };
    button.onpointerdown = (event) => {
      state.chosen = k;
      button.setPointerCapture(event.pointerId);
      button.onpointermove = follow;
      later();
    };
    button.onpointerup = button.onpointercancel = () => { button.onpointermove = null; draw(); };
    button.onfocus = () => { if (state.chosen !== k) { state.chosen = k; drawSpots(); } };
    button.onkeydown = (event) => {
      const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key], spot = state.spots[k];
      if (event.key === "Delete" || event.key === "Backspace") removeSpot();
      else if (step) { place(spot, spot.x + (step[0] * 2) / SIZE, spot.y + (step[1] * 2) / SIZE); draw(); }
      else return;
      event.preventDefault();
    };
    return button;
  }

  function addSpot(dark) { // below the circle, where it does not count yet
    const turn = (state.spots.length * 0.7) % 2;
    state.spots.push({ ...FRESH, x: -0.25 + 0.35 * turn, y: 0.66, dark });
    state.chosen = state.spots.length - 1;
    draw();
    find("#spots").lastChild.focus({ preventScroll: true });
  }

  function removeSpot() {
    state.spots.splice(state.chosen, 1);
    state.chosen = Math.max(0, Math.min(state.chosen, state.spots.length - 1));
    draw();
    (find("#spots").children[state.chosen] ?? find("#add-dark")).focus({ preventScroll: true });
  }

  function choose(k) {
    state.eye = k;
    state.spots = eyes[k].spots.map((spot) => ({ ...spot }));
    state.chosen = 0;
    state.before = ownGates(k);
    if (state.other === k) takeOther();
    draw();
  }

  function takeOther() {
    state.other = (state.other + 1) % N;
    if (state.other === state.eye) state.other = (state.other + 1) % N;
    find("#other-name").textContent = `eye ${state.other + 1} (${classes[eyes[state.other].label]})`;
  }

  // ---- the page
  const which = find("#which");
  eyes.forEach((eye, k) => which.append(element("option", { value: k, textContent: `${k + 1}: ${classes[eye.label]}` })));
  which.onchange = () => choose(+which.value);
  find("#add-dark").onclick = () => addSpot(true);
  find("#add-bright").onclick = () => addSpot(false);
  find("#remove").onclick = removeSpot;
  find("#back").onclick = () => choose(state.eye);
  find("#show").onchange = (event) => { find("#region").style.display = event.target.checked ? "" : "none"; };
  for (const [name, value] of Object.entries({ cx: scene.fovea[0], cy: scene.fovea[1], r: scene.radius })) find("#region").setAttribute(name, value);
  const radios = [...document.querySelectorAll("input[name=gates]")];
  radios.forEach((radio) => { radio.onchange = () => { state.gates = radio.value; draw(); }; });
  find("#next-other").onclick = () => {
    takeOther();
    radios[1].checked = true;
    state.gates = "other";
    draw();
  };
  paintMap(find("#scale"), Array.from({ length: 64 }, (_, k) => k / 63), 64, 1);
  find("#maps").replaceChildren(...[1, 2, 3, 4].map(() => element("figure", {},
    element("canvas", { attributes: { role: "img" } }), element("figcaption"))));
  find("#weights").textContent = `The plain network has ${networks.plain.nWeights.toLocaleString("en")} weights, the PPCR network ${networks.ppcr.nWeights.toLocaleString("en")}.`;
  const kept = scene.accuracy;
  find("#table").replaceChildren(...[["Plain network", kept.plain], ["PPCR, its own gates", kept.own],
    ["PPCR, gates of another eye", kept.other], ["PPCR, all gates 1/2", kept.half]].map(([name, value]) =>
    element("tr", {}, element("th", { textContent: name, scope: "row" }), element("td", { textContent: `${percent(value)} right` }))));
  takeOther();
  choose(0);
})();
