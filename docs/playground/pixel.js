// One pixel: PPCR's seven equations on channels and weights that one drags, and six facts about them.
"use strict";

(() => {
  const { find, element, digits, bar, bars, colour } = Draw, { SCALES, CONTEXTS, NAMES, ppcr } = Equations;
  const QUESTION = [0, 1, -1, 0, 0, 0, 0]; // is the first half louder than the second?
  const SHORT = ["all", "½ 1st", "½ 2nd", "¼ 1st", "¼ 2nd", "¼ 3rd", "¼ 4th"]; // where there is little room
  const START = { 8: [5, 7, 9, 7, 0, 4, 4, 4], 16: [5, 4, 8, 7, 9, 10, 6, 7, 1, 0, 3, 4, 5, 4, 3, 4] };
  const state = { channels: [...START[8]], weights: [...QUESTION], scales: SCALES, top: 10 };
  let controls = null;

  const gateNow = () => ppcr(state.channels, state.weights, state.scales).gate;
  const highest = () => Math.max(...state.channels.map(Math.abs));
  const axisFor = (value) => [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 1e5, 1e6].find((top) => value <= top) ?? value;
  const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : digits(value, 1));

  // ---- the six facts: what is done, and why it ends as it does
  const twoValues = () => {
    const z = Math.sqrt(1.5) * (state.weights[1] - state.weights[2]), values = [-Math.abs(z), Math.abs(z)];
    return values.map((v) => digits(1 / (1 + Math.exp(-v)), 3)).join(" or ");
  };
  const FACTS = [
    { name: "Multiply all channels by 10", act: () => { state.channels = state.channels.map((x) => 10 * x); },
      why: () => "The gate stays. Normalisation divides by the spread of the averages, and the spread grew ten times, too." },
    { name: "Add 100 to all channels", act: () => { state.channels = state.channels.map((x) => x + 100); },
      why: () => "The gate stays. Normalisation subtracts the mean of the averages, and the mean rose by 100, too." },
    { name: "Keep one scale only", act: () => { state.scales = [1]; },
      why: () => "The gate is 1/2 for ever. One average minus the mean of itself is 0, whatever you drag." },
    { name: "Keep two scales only", act: () => { state.scales = [1, 2]; },
      why: () => `The gate keeps one bit, ${twoValues()}. It sees which half is louder; how much louder is divided away.` },
    { name: "Set all weights to 0", act: () => { state.weights.fill(0); },
      why: () => "The gate is 1/2 for every pixel, because 0 times anything is 0. Training of PPCR starts here." },
    { name: "Shuffle within the quarters", act: shuffle,
      why: () => "The gate stays. Every quarter holds the channels that it held, so no average moves." },
  ];

  function shuffle() { // each quarter's channels go one place on
    const size = state.channels.length / 4;
    state.channels = state.channels.map((_, k) => {
      const start = Math.floor(k / size) * size;
      return state.channels[start + ((k - start + 1) % size)];
    });
  }

  function press(k) {
    const fact = FACTS[k];
    state.scales = SCALES;
    if (state.weights.every((w) => w === 0)) state.weights = [...QUESTION]; // else every gate is 1/2 before, too
    if (highest() > 1000) state.channels = [...START[state.channels.length]];
    const before = gateNow();
    fact.act();
    state.top = Math.max(10, axisFor(highest()));
    build();
    find("#fact").replaceChildren(
      element("strong", { textContent: `Gate before ${digits(before, 3)}, after ${digits(gateNow(), 3)}. ` }), fact.why());
    document.querySelectorAll("#facts button").forEach((button, n) => button.setAttribute("aria-pressed", n === k));
  }

  function release() { // no fact is pressed
    document.querySelectorAll("#facts button").forEach((button) => button.setAttribute("aria-pressed", false));
    find("#fact").textContent = "Press a button, and then try to break what it says by dragging bars.";
  }

  function restart(count) {
    Object.assign(state, { channels: [...START[count]], weights: [...QUESTION], scales: SCALES, top: 10 });
    release();
    build();
  }

  // ---- drawing
  function build() { // the bars anew: their number may have changed
    const channelNames = state.channels.map((_, k) => `channel ${k + 1}`);
    controls = [
      bars(find("#channels"), { names: channelNames, values: state.channels, changed: draw, describe: number,
        range: () => [0, state.top], step: () => (state.top <= 10 ? 0.1 : state.top / 100) }),
      bars(find("#weights"), { names: NAMES.map((name) => `weight of ${name}`), values: state.weights, changed: draw, describe: (v) => signed(v),
        range: () => [-3, 3], step: () => 0.1 }),
    ];
    draw();
  }

  function draw() {
    const now = ppcr(state.channels, state.weights, state.scales);
    controls.forEach((control) => control.show());
    drawGroups(now);
    find("#statistics").textContent = `Their mean is ${number(now.middle)}, their spread ${digits(now.deviation)}.`;
    readBars(find("#normalised"), now.normalised.map((v) => (v === null ? null : v / 2.5)), now.normalised.map((v) => (v === null ? "–" : signed(v))), true);
    find("#normalised").setAttribute("aria-label", "Normalised averages: "
      + NAMES.map((name, d) => `${name} ${now.normalised[d] === null ? "left out" : signed(now.normalised[d])}`).join(", "));
    find("#products").replaceChildren(...now.products.map((v) => element("span", { textContent: v === null ? "–" : signed(v) })));
    find("#sum").replaceChildren("The sum is ", element("strong", { textContent: signed(now.z, 2) }),
      ", and the gate ", element("strong", { textContent: digits(now.gate) }), ".");
    find("#gate").textContent = digits(now.gate);
    find("#meter").style.width = `${100 * now.gate}%`;
    readBars(find("#gated"), now.gated.map((v) => v / state.top), now.gated.map(number), false, state.channels.map((v) => v / state.top));
    find("#gated").setAttribute("aria-label", `Channels after the gate: ${now.gated.map(number).join(", ")}`);
    const dot = find("#curve .dot");
    dot.setAttribute("x1", Math.max(-6.5, Math.min(6.5, now.z)));
    dot.setAttribute("x2", Math.max(-6.5, Math.min(6.5, now.z)));
    dot.setAttribute("y1", -now.gate);
    dot.setAttribute("y2", -now.gate);
  }

  const signed = (value, n = 1) => (digits(Math.abs(value), n) === digits(0, n) ? digits(0, n) : `${value > 0 ? "+" : "−"}${digits(Math.abs(value), n)}`);

  function drawGroups(now) {
    const rows = SCALES.map((scale) => {
      const row = element("div", { className: "groups" });
      row.style.gridTemplateColumns = `repeat(${scale}, minmax(0, 1fr))`;
      CONTEXTS.forEach((context, d) => {
        if (context.scale !== scale) return;
        const value = now.contexts[d], cell = element("div", { className: "group" });
        if (value === null) {
          cell.classList.add("off");
          cell.textContent = "left out";
        } else {
          const shade = colour(value / state.top);
          cell.style.background = `rgb(${shade})`;
          cell.style.color = Draw.readableOn(shade);
          cell.append(element("small", { textContent: SHORT[d] }), " ", number(value));
        }
        row.append(cell);
      });
      return row;
    });
    find("#groups").replaceChildren(...rows);
  }

  // bars that only show: heights as shares of the axis (of half of it, where signed), and framed what they were
  function readBars(place, shares, texts, isSigned, frames = []) {
    place.replaceChildren(...shares.map((share, k) => {
      const one = bar(), fill = one.querySelector(".fill");
      const height = Math.min(1, Math.abs(share ?? 0)) * (isSigned ? 50 : 100);
      fill.style.height = `${height}%`;
      fill.style.bottom = isSigned ? `${share < 0 ? 50 - height : 50}%` : "0";
      if (frames.length) {
        const frame = element("span", { className: "fill" });
        Object.assign(frame.style, { height: `${100 * frames[k]}%`, bottom: 0, background: "none", border: "1px dashed var(--soft)" });
        one.firstChild.append(frame);
      }
      one.lastChild.textContent = texts[k];
      return one;
    }));
  }

  function drawCurve() {
    const svg = find("#curve"), points = [];
    for (let z = -6.5; z <= 6.5; z += 0.25) points.push(`${z},${-1 / (1 + Math.exp(-z))}`);
    svg.innerHTML = `<g fill="none" stroke="var(--line)" stroke-width="1">
      ${[0, -0.5, -1].map((y) => `<line x1="-7" x2="7" y1="${y}" y2="${y}"/>`).join("")}
      <polyline points="${points.join(" ")}" stroke="var(--ppcr)" stroke-width="3"/>
      <line class="dot" stroke="var(--text)" stroke-width="14" stroke-linecap="round"/></g>`;
    for (const node of svg.firstChild.children) node.setAttribute("vector-effect", "non-scaling-stroke");
  }

  find("#names").replaceChildren(...SHORT.map((name) => element("span", { textContent: name })));
  find("#facts").replaceChildren(...FACTS.map((fact, k) =>
    element("button", { type: "button", textContent: fact.name, onclick: () => press(k), attributes: { "aria-pressed": "false" } })));
  find("#reset").onclick = () => restart(state.channels.length);
  document.querySelectorAll("input[name=count]").forEach((radio) => { radio.onchange = () => restart(+radio.value); });
  drawCurve();
  build();
})();
