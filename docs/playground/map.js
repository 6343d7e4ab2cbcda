// Paint the map: one weight map for sixty eyes, graded by one network, a few eyes at a time.
"use strict";

(() => {
  const { find, element, digits, paint, paintMap } = Draw;
  const SIZE = 28, N = SIZE * SIZE, BUDGET = 14; // ms at a time, so that the brush stays smooth
  const { labels, classes, grey, maps: learned, mean: meanText, images: imageText, region: regionText } = DATA.sixty;
  const network = Net.load(DATA.behind), region = Net.bytes(regionText), mean = Net.bytes(meanText);
  const all = Net.bytes(imageText), eyes = labels.map((_, k) => all.subarray(3 * N * k, 3 * N * (k + 1)));
  const inputs = eyes.map((eye) => Net.tensor([1, 3, SIZE, SIZE], Float64Array.from(eye)));
  const ORDER = labels.map((_, k) => k); // the classes take turns already
  const state = { map: new Float64Array(N).fill(1), at: [14, 14], tool: 0, run: 0, seen: ORDER.map(() => null), version: 0 };
  const timing = { passes: [], all: null };

  const names = { ones: "All open", region: "The true circle", global: "Pixel CNN, as printed", principal: "Pixel CNN, principal form", l1: "Free weights (L1)" };
  const ABOUT = {
    ones: "No map at all: the network sees the whole eye.",
    region: "The circle in which spots decide the grade, known because a program drew the eyes.",
    global: "The paper's pixel CNN as its text describes it. Most of its weights end near 0 or near 1.",
    principal: "The same pixel CNN, with its inputs rearranged so that training goes in smaller steps. A network of its own copes better with it than this one.",
    l1: "One free weight for each pixel, pulled towards 0. All end near 1; stretched to their range, they show the circle.",
  };

  // ---- grading, a few at a time
  let timer = null, begun = 0;
  function restart() {
    state.version++;
    begun = performance.now();
    globalThis.playground = { ...globalThis.playground, done: false };
    drawMap();
    timer ??= setTimeout(work);
  }

  function work() {
    timer = null;
    const until = performance.now() + BUDGET, map = Net.tensor([1, 1, SIZE, SIZE], state.map);
    const stale = ORDER.filter((k) => state.seen[k]?.version !== state.version)
      .sort((a, b) => (state.seen[a]?.version ?? -1) - (state.seen[b]?.version ?? -1));
    for (const k of stale) {
      const from = performance.now(), { probabilities } = network.run([inputs[k], map]);
      timing.passes.push(performance.now() - from);
      state.seen[k] = { version: state.version, probabilities, says: probabilities.indexOf(Math.max(...probabilities)) };
      drawThumb(k);
      if (performance.now() > until) break;
    }
    if (timing.passes.length > 600) timing.passes.splice(0, 300);
    if (drawCount()) { timing.all = performance.now() - begun; return; }
    timer = setTimeout(work);
  }

  const right = () => ORDER.filter((k) => state.seen[k]?.says === labels[k]).length;

  function drawCount() { // gives whether all are done
    const done = ORDER.filter((k) => state.seen[k]?.version === state.version).length, whole = done === labels.length;
    find("#accuracy").textContent = `${right()} of ${labels.length}`;
    find("#meter").style.width = `${(100 * right()) / labels.length}%`;
    find("#progress").textContent = whole ? "" : `${done} of ${labels.length} are up to date.`;
    const of = (grade) => ORDER.filter((k) => labels[k] === grade && state.seen[k]?.says === grade).length;
    if (whole) find("#status").textContent = `Correct: ${classes.map((name, grade) => `${of(grade)} of 20 ${name}`).join(", ")}.`;
    globalThis.playground = { done: whole, right: right(), probabilities: state.seen.map((one) => one?.probabilities), timing };
    return whole;
  }

  // ---- drawing: a closed pixel is the grey that the network takes for nothing
  const under = (planes, k) => grey.map((nothing, c) => Math.round(nothing + state.map[k] * (planes[c * N + k] - nothing)));

  function drawMap() {
    paint(find("#brush"), SIZE, SIZE, (k) => under(mean, k));
    const [y, x] = state.at, cursor = find("#cursor");
    cursor.setAttribute("cx", x);
    cursor.setAttribute("cy", y);
    cursor.setAttribute("r", +find("#width").value);
  }

  const thumbs = [];
  function drawThumb(k) {
    const { box, canvas, word } = thumbs[k], says = state.seen[k].says, good = says === labels[k];
    paint(canvas, SIZE, SIZE, (p) => under(eyes[k], p));
    box.className = `thumb ${good ? "right" : "wrong"}`;
    word.textContent = good ? "✓" : classes[says];
    canvas.setAttribute("aria-label", `Eye ${k + 1}, ${classes[labels[k]]}: ${good ? "correct" : `graded ${classes[says]}`}`);
  }

  // ---- the brush
  function dab([y, x]) {
    const radius = +find("#width").value;
    state.at = [y, x];
    for (let k = 0; k < N; k++) {
      const far = Math.hypot(Math.floor(k / SIZE) + 0.5 - y, (k % SIZE) + 0.5 - x);
      const much = Math.min(1, Math.max(0, radius + 0.5 - far)); // soft at the edge
      state.map[k] += much * (state.tool - state.map[k]);
    }
    unpress();
    restart();
  }

  function stroke(from, to) { // without gaps, however fast the hand
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let k = 1; k <= steps; k++) dab(from.map((start, axis) => start + ((to[axis] - start) * k) / steps));
  }

  const canvas = find("#brush");
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientY - box.top) / box.height) * SIZE, ((event.clientX - box.left) / box.width) * SIZE];
  };
  let held = false;
  canvas.onpointerdown = (event) => { held = true; canvas.setPointerCapture(event.pointerId); dab(place(event)); };
  canvas.onpointermove = (event) => {
    if (held) stroke(state.at, place(event));
    else { state.at = place(event); drawMap(); }
  };
  canvas.onpointerup = canvas.onpointercancel = () => { held = false; };
  canvas.onkeydown = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) {
      state.at = state.at.map((value, axis) => Math.min(SIZE, Math.max(0, value + step[axis])));
      drawMap();
    } else if (event.key === " " || event.key === "Enter") dab(state.at);
    else return;
    event.preventDefault();
  };

  // ---- whole maps
  const mapOf = {
    ones: () => new Float64Array(N).fill(1),
    region: () => Float64Array.from(region),
    ...Object.fromEntries(Object.keys(learned).map((arm) => [arm, () => Net.halves(learned[arm][state.run].map)])),
  };

  function lay(values) {
    state.map = Float64Array.from(values);
    restart();
  }

  const buttons = {};
  function press(name) {
    lay(mapOf[name]());
    unpress();
    buttons[name].button.setAttribute("aria-pressed", true);
    find("#about").textContent = ABOUT[name];
  }

  function unpress() {
    for (const { button } of Object.values(buttons)) button.setAttribute("aria-pressed", false);
  }

  function drawLearned() {
    const stretch = find("#stretch").checked;
    for (const [name, { picture, words }] of Object.entries(buttons)) {
      const values = mapOf[name](), lowest = Math.min(...values), largest = Math.max(...values);
      paintMap(picture, values, SIZE, SIZE, stretch ? lowest : 0, stretch ? largest : 1);
      const entry = learned[name]?.[state.run], here = entry ? entry.right : DATA.sixty.right[name];
      words.replaceChildren(element("b", { textContent: names[name] }), `${here} of ${labels.length} here`,
        ...(entry ? [element("br"), `its own network ${Math.round(100 * entry.own)} %`] : []),
        element("br"), element("small", { textContent: lowest === largest ? "weight 1" : `weights ${digits(lowest)} to ${digits(largest)}` }));
    }
  }

  // ---- the page
  for (const [name, title] of Object.entries(names)) {
    const picture = element("canvas", { attributes: { "aria-hidden": "true" } }), words = element("span");
    const button = element("button", { type: "button", onclick: () => press(name), attributes: { "aria-pressed": "false" } }, picture, words);
    if (name === "global" || name === "principal") button.className = "cnn";
    if (name === "l1") button.className = "free";
    buttons[name] = { button, picture, words, title };
    find("#learned").append(button);
  }
  classes.forEach((name, grade) => {
    const row = element("div", { className: "thumbs" });
    ORDER.filter((k) => labels[k] === grade).forEach((k) => {
      const picture = element("canvas", { attributes: { role: "img", "aria-label": `Eye ${k + 1}, ${name}` } }), word = element("span", { textContent: "…" });
      const box = element("div", { className: "thumb" }, picture, word);
      thumbs[k] = { box, canvas: picture, word };
      row.append(box);
    });
    find("#thumbs").append(element("small", { textContent: `Right answer: ${name}` }), row);
  });
  learned.l1.forEach((_, k) => find("#run").append(element("option", { value: k, textContent: `${k + 1} of ${learned.l1.length}` })));
  find("#run").onchange = (event) => {
    state.run = +event.target.value;
    drawLearned();
    const now = Object.keys(learned).find((name) => buttons[name].button.getAttribute("aria-pressed") === "true");
    if (now) press(now);
  };
  find("#stretch").onchange = drawLearned;
  document.querySelectorAll("input[name=tool]").forEach((radio) => { radio.onchange = () => { state.tool = +radio.value; }; });
  find("#width").oninput = drawMap;
  find("#open").onclick = () => { lay(mapOf.ones()); unpress(); };
  find("#close").onclick = () => { lay(new Float64Array(N)); unpress(); };
  find("#invert").onclick = () => { lay(state.map.map((value) => Math.min(1, Math.max(0, 1 - value)))); unpress(); };
  // the edge of the circle, along the pixels' borders
  const isIn = (row, column) => row >= 0 && row < SIZE && column >= 0 && column < SIZE && region[row * SIZE + column];
  let path = "";
  for (let row = 0; row <= SIZE; row++)
    for (let column = 0; column <= SIZE; column++) {
      if (isIn(row, column) !== isIn(row - 1, column)) path += `M${column} ${row}h1`;
      if (isIn(row, column) !== isIn(row, column - 1)) path += `M${column} ${row}v1`;
    }
  find("#outline").innerHTML = `<path d="${path}" stroke="#fff" stroke-width="0.25" fill="none"/>`;
  find("#show").onchange = (event) => { find("#outline").style.display = event.target.checked ? "" : "none"; };
  find("#outline").style.display = "none";
  drawLearned();
  restart();
})();
