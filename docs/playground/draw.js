// What the pages share: colours, pictures on a canvas, bars to drag, rows of probabilities.
"use strict";

const Draw = (() => {
  const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

  // 0 to 1 as a colour: larger is brighter
  function colour(value) {
    const place = Math.min(1, Math.max(0, value)) * (VIRIDIS.length - 1), k = Math.min(VIRIDIS.length - 2, Math.floor(place));
    return VIRIDIS[k].map((one, c) => Math.round(one + (place - k) * (VIRIDIS[k + 1][c] - one)));
  }

  // black or white, whichever can be read on a colour (contrast as WCAG defines it)
  function readableOn(shade) {
    const [r, g, b] = shade.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
  }

  const element = (tag, properties = {}, ...children) => {
    const { attributes = {}, ...own } = properties, node = Object.assign(document.createElement(tag), own);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  const find = (selector) => document.querySelector(selector);

  // `pixel(k)` gives red, green and blue of the k-th pixel, row by row
  function paint(canvas, width, height, pixel) {
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let k = 0; k < width * height; k++) image.data.set([...pixel(k), 255], 4 * k);
    context.putImageData(image, 0, 0);
  }

  const paintImage = (canvas, planes, size) =>
    paint(canvas, size, size, (k) => [planes[k], planes[size * size + k], planes[2 * size * size + k]]);

  const paintMap = (canvas, values, width, height, low = 0, high = 1) =>
    paint(canvas, width, height, (k) => colour((values[k] - low) / (high - low || 1)));

  const digits = (value, n = 2) => value.toFixed(n).replace(/^-(0(\.0*)?)$/, "$1"); // no minus zero
  const percent = (value) => `${Math.round(100 * value)} %`;

  // a bar in its well, and its number below
  const bar = () => element("div", { className: "bar" },
    element("span", { className: "well" }, element("span", { className: "fill" })), element("span", { className: "number" }));

  // Bars to drag: one slider each, for a finger, a mouse and the keyboard. `range()` gives [lowest, highest].
  function bars(place, { names, range, step, values, changed, describe = (v) => digits(v, 1) }) {
    place.replaceChildren();
    const sliders = names.map((name) => {
      const slider = bar();
      slider.tabIndex = 0;
      for (const [key, value] of Object.entries({ role: "slider", "aria-label": name, "aria-orientation": "vertical" })) slider.setAttribute(key, value);
      place.append(slider);
      return slider;
    });
    function show() {
      const [low, high] = range();
      sliders.forEach((slider, k) => {
        const share = (v) => Math.min(1, Math.max(0, (v - low) / (high - low))), zero = share(0), here = share(values[k]);
        const fill = slider.querySelector(".fill"), number = slider.lastChild;
        fill.style.bottom = `${100 * Math.min(zero, here)}%`;
        fill.style.height = `${100 * Math.abs(here - zero)}%`;
        fill.classList.toggle("negative", values[k] < 0);
        number.textContent = describe(values[k]);
        for (const [key, value] of [["valuemin", low], ["valuemax", high], ["valuenow", +values[k].toFixed(3)]])
          slider.setAttribute(`aria-${key}`, value);
      });
    }
    function set(k, value) {
      const [low, high] = range(), unit = step();
      values[k] = Math.min(high, Math.max(low, Math.round(value / unit) * unit));
      changed();
    }
    const follow = (event) => { // over several bars too, like drawing a line
      const k = sliders.findIndex((slider) => {
        const box = slider.getBoundingClientRect();
        return event.clientX >= box.left && event.clientX < box.right;
      });
      if (k < 0) return;
      const box = sliders[k].firstChild.getBoundingClientRect(), [low, high] = range();
      set(k, low + ((box.bottom - event.clientY) / box.height) * (high - low));
      return k;
    };
    place.onpointerdown = (event) => {
      event.preventDefault();
      place.setPointerCapture(event.pointerId);
      const k = follow(event);
      if (k !== undefined) sliders[k].focus({ preventScroll: true });
      place.onpointermove = follow;
    };
    place.onpointerup = place.onpointercancel = () => { place.onpointermove = null; };
    place.onkeydown = (event) => {
      const k = sliders.indexOf(event.target), [low, high] = range(), unit = step();
      const to = { ArrowUp: values[k] + unit, ArrowRight: values[k] + unit, ArrowDown: values[k] - unit, ArrowLeft: values[k] - unit,
        PageUp: values[k] + 10 * unit, PageDown: values[k] - 10 * unit, Home: low, End: high }[event.key];
      if (k < 0 || to === undefined) return;
      event.preventDefault();
      set(k, to);
    };
    show();
    return { show };
  }

  // One row a class: its name, a bar, its probability; the largest one is marked by a word.
  function probabilities(place, classes, values) {
    if (place.children.length !== classes.length)
      place.replaceChildren(...classes.map((name) => element("div", { className: "row" },
        element("span", { textContent: name }), element("span", { className: "track" }, element("i")), element("b"))));
    const best = values.indexOf(Math.max(...values));
    [...place.children].forEach((row, k) => {
      row.classList.toggle("best", k === best);
      row.querySelector("i").style.width = `${100 * values[k]}%`;
      row.lastChild.textContent = percent(values[k]);
    });
    return classes[best];
  }

  return { colour, readableOn, element, find, paintImage, paintMap, paint, digits, percent, bar, bars, probabilities };
})();
