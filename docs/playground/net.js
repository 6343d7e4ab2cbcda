// A network that PyTorch trained, run in the page. `export.py` writes it as a list of operators; here is what each does.
// A tensor is {shape, data}; images are (1, channels, height, width). Numbers are 64 bits wide, weights were 16.
"use strict";

const Net = (() => {
  const count = (shape) => shape.reduce((a, b) => a * b, 1);
  const tensor = (shape, data) => ({ shape, data: data ?? new Float64Array(count(shape)) });

  // ---- numbers from text
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  function halves(text) { // float16, little-endian
    const raw = bytes(text), out = new Float64Array(raw.length / 2);
    for (let k = 0; k < out.length; k++) {
      const bits = raw[2 * k] | (raw[2 * k + 1] << 8), exponent = (bits >> 10) & 31, fraction = bits & 1023;
      const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
      out[k] = bits & 0x8000 ? -size : size;
    }
    return out;
  }

  // ---- multiply weights (outs, depth) with a strip (depth, 4 pixels), block by block: (outs, 4). The heart of it all.
  function multiplyPlainly(weight, strip, block) {
    const depth = strip.length / 4, w = weight.data;
    for (let o = 0, at = 0; o < block.length; o += 4) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let k = 0; k < strip.length; k += 4) {
        const v = w[at++];
        a += v * strip[k]; b += v * strip[k + 1]; c += v * strip[k + 2]; d += v * strip[k + 3];
      }
      block[o] = a; block[o + 1] = b; block[o + 2] = c; block[o + 3] = d;
    }
  }

  // The same in 333 bytes of WebAssembly, five times as fast: f(strip, weights, outs / 4, depth, block), all addresses
  // in bytes of its memory m; a pixel is a lane, four outputs go at once. Its inner loop, for each of depth:
  //   x = v128.load(strip); sum[k] = f32x4.add(sum[k], f32x4.mul(x, v128.load32_splat(weights + 4 * k * depth))), k = 0..3
  const CODE = "AGFzbQEAAAABCQFgBX9/f39/AAMCAQAFAwEAAwcJAgFtAgABZgAACqMCAaACAgR/BXsgA0ECdCEFA0D9DAAAAAAAAAAAAAAAAAAAAAAhCf0MAAAAAAAAAAAAAAAAAAAAACEK/QwAAAAAAAAAAAAAAAAAAAAAIQv9DAAAAAAAAAAAAAAAAAAAAAAhDCAAIQYgASEHIAMhCANAIAb9AAIAIQ0gCSANIAf9CQIA/eYB/eQBIQkgCiANIAcgBWr9CQIA/eYB/eQBIQogCyANIAcgBUECbGr9CQIA/eYB/eQBIQsgDCANIAcgBUEDbGr9CQIA/eYB/eQBIQwgBkEQaiEGIAdBBGohByAIQQFrIggNAAsgBCAJ/QsCACAEIAr9CwIQIAQgC/0LAiAgBCAM/QsCMCAEQcAAaiEEIAEgBUEEbGohASACQQFrIgINAAsL";
  const STRIP = 0, BLOCK = 65536, WEIGHTS = 131072; // a strip is 27 kB at most, a block 3
  let fast, end = WEIGHTS;
  const placed = new WeakMap(); // weights -> where they lie in the memory

  function fastMultiplier(weight, depth, outs) { // null where the browser has no such instructions, or they do not fit
    if (fast === undefined) {
      const known = globalThis.WebAssembly?.validate(bytes(CODE));
      fast = known ? new WebAssembly.Instance(new WebAssembly.Module(bytes(CODE))).exports : null;
    }
    if (!fast || outs % 4 || 16 * depth > BLOCK) return null;
    if (!placed.has(weight)) {
      const missing = end + 4 * weight.data.length - fast.m.buffer.byteLength;
      if (missing > 0) fast.m.grow(Math.ceil(missing / 65536));
      new Float32Array(fast.m.buffer, end, weight.data.length).set(weight.data);
      placed.set(weight, end);
      end += 4 * weight.data.length;
    }
    const strip = new Float32Array(fast.m.buffer, STRIP, 4 * depth), block = new Float32Array(fast.m.buffer, BLOCK, 4 * outs);
    return { strip, block, multiply: () => fast.f(STRIP, placed.get(weight), outs / 4, depth, BLOCK) };
  }

  function plainMultiplier(weight, depth, outs) {
    const strip = new Float64Array(4 * depth), block = new Float64Array(4 * outs);
    return { strip, block, multiply: () => multiplyPlainly(weight, strip, block) };
  }

  // ---- convolution: the neighbourhoods of four pixels are laid out as a strip (im2col), and multiplied at once
  function padded(x, by) {
    const [, channels, height, width] = x.shape;
    if (!by) return x;
    const out = tensor([1, channels, height + 2 * by, width + 2 * by]), wide = width + 2 * by;
    for (let row = 0; row < channels * height; row++) {
      const channel = Math.floor(row / height), y = row % height;
      const to = (channel * (height + 2 * by) + y + by) * wide + by;
      for (let k = 0; k < width; k++) out.data[to + k] = x.data[row * width + k];
    }
    return out;
  }

  function conv(x, weight, bias, { stride = 1, padding = 0 }, plainly = false) {
    const [outs, channels, kernel] = weight.shape, from = padded(x, padding), seen = from.data;
    const [, , height, width] = from.shape;
    const rows = Math.floor((height - kernel) / stride) + 1, columns = Math.floor((width - kernel) / stride) + 1;
    const pixels = rows * columns, depth = channels * kernel * kernel, reach = new Int32Array(depth);
    for (let c = 0, d = 0; c < channels; c++)
      for (let y = 0; y < kernel; y++) for (let z = 0; z < kernel; z++) reach[d++] = (c * height + y) * width + z;
    const { strip, block, multiply } = (!plainly && fastMultiplier(weight, depth, outs)) || plainMultiplier(weight, depth, outs);
    const out = tensor([1, outs, rows, columns]);
    const corner = (p) => Math.floor(p / columns) * stride * width + (p % columns) * stride;
    for (let first = 0; first < pixels; first += 4) {
      const last = Math.min(first + 3, pixels - 1); // at the end, a pixel may be laid out twice
      const p = corner(first), q = corner(Math.min(first + 1, last)), r = corner(Math.min(first + 2, last)), s = corner(last);
      for (let d = 0, at = 0; d < depth; d++) {
        const step = reach[d];
        strip[at++] = seen[p + step]; strip[at++] = seen[q + step]; strip[at++] = seen[r + step]; strip[at++] = seen[s + step];
      }
      multiply();
      for (let o = 0; o < outs; o++) {
        const more = bias ? bias.data[o] : 0;
        for (let k = first; k <= last; k++) out.data[o * pixels + k] = block[4 * o + k - first] + more;
      }
    }
    return out;
  }

  // ---- number by number
  function each(x, f) {
    const out = tensor(x.shape);
    for (let k = 0; k < out.data.length; k++) out.data[k] = f(x.data[k]);
    return out;
  }

  function relu(x) { // as `each`, but this one is often called, and quicker when it stands alone
    const out = tensor(x.shape);
    for (let k = 0; k < out.data.length; k++) out.data[k] = x.data[k] > 0 ? x.data[k] : 0;
    return out;
  }

  function pairs(a, b, f) { // a side of 1, or a missing one, is repeated
    if (typeof a === "number") return each(b, (v) => f(a, v));
    if (typeof b === "number") return each(a, (v) => f(v, b));
    const n = Math.max(a.shape.length, b.shape.length);
    const fill = (shape) => [...Array(n - shape.length).fill(1), ...shape], s = fill(a.shape), t = fill(b.shape);
    const shape = s.map((side, k) => Math.max(side, t[k])), out = tensor(shape);
    const steps = (own) => own.map((side, k) => (side === 1 ? 0 : count(own.slice(k + 1))));
    const stepA = steps(s), stepB = steps(t), last = shape[n - 1], at = Array(n).fill(0);
    for (let k = 0; k < out.data.length; k += last) {
      let i = 0, j = 0;
      for (let axis = 0; axis < n - 1; axis++) { i += at[axis] * stepA[axis]; j += at[axis] * stepB[axis]; }
      for (let z = 0; z < last; z++) out.data[k + z] = f(a.data[i + z * stepA[n - 1]], b.data[j + z * stepB[n - 1]]);
      for (let axis = n - 2; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
    }
    return out;
  }

  // ---- over axes
  function sum(x, { axes, keep }) {
    let now = x;
    for (const axis of axes.map((k) => (k < 0 ? k + x.shape.length : k))) {
      const n = now.shape[axis], inner = count(now.shape.slice(axis + 1)), outer = count(now.shape.slice(0, axis));
      const out = tensor(now.shape.map((side, k) => (k === axis ? 1 : side)));
      for (let o = 0; o < outer; o++)
        for (let k = 0; k < n; k++)
          for (let i = 0; i < inner; i++) out.data[o * inner + i] += now.data[(o * n + k) * inner + i];
      now = out;
    }
    const gone = axes.map((k) => (k < 0 ? k + x.shape.length : k));
    return keep ? now : tensor(x.shape.filter((_, k) => !gone.includes(k)), now.data);
  }

  function mean(x, settings) {
    const total = sum(x, settings), n = x.data.length / total.data.length;
    return each(total, (v) => v / n);
  }

  function variance(x, settings) { // the biased one
    const middle = mean(x, { ...settings, keep: true });
    return mean(pairs(x, middle, (v, m) => (v - m) ** 2), settings);
  }

  function cat(...inputs) {
    const { axis } = inputs.pop(), shape = [...inputs[0].shape];
    shape[axis] = inputs.reduce((n, x) => n + x.shape[axis], 0);
    const out = tensor(shape), outer = count(shape.slice(0, axis));
    for (let o = 0, at = 0; o < outer; o++)
      for (const x of inputs) {
        const n = x.data.length / outer;
        out.data.set(x.data.subarray(o * n, (o + 1) * n), at);
        at += n;
      }
    return out;
  }

  function view(x, { shape }) {
    const known = -count(shape); // of a shape with one -1
    return tensor(shape.map((side) => (side === -1 ? x.data.length / known : side)), x.data);
  }

  function averagePool(x, { size, ceil }) { // a window that reaches over the border counts what is there
    const [, channels, height, width] = x.shape, round = ceil ? Math.ceil : Math.floor;
    const out = tensor([1, channels, round(height / size), round(width / size)]), [, , rows, columns] = out.shape;
    for (let k = 0; k < out.data.length; k++) {
      const column = k % columns, row = Math.floor(k / columns) % rows, channel = Math.floor(k / columns / rows);
      let total = 0, n = 0;
      for (let y = row * size; y < Math.min(height, (row + 1) * size); y++)
        for (let z = column * size; z < Math.min(width, (column + 1) * size); z++, n++)
          total += x.data[(channel * height + y) * width + z];
      out.data[k] = total / n;
    }
    return out;
  }

  function linear(x, weight, bias) {
    const [outs, ins] = weight.shape, out = tensor([1, outs]);
    for (let o = 0; o < outs; o++) {
      out.data[o] = bias.data[o];
      for (let k = 0; k < ins; k++) out.data[o] += weight.data[o * ins + k] * x.data[k];
    }
    return out;
  }

  function softmax(x) { // over all there is
    const largest = x.data.reduce((a, b) => Math.max(a, b)), powers = each(x, (v) => Math.exp(v - largest));
    const total = powers.data.reduce((a, b) => a + b);
    return each(powers, (v) => v / total);
  }

  const OPERATORS = { // (inputs..., settings) -> tensor
    conv, relu, sum, mean, var: variance, cat, view, avg_pool: averagePool, linear, softmax,
    sigmoid: (x) => each(x, (v) => 1 / (1 + Math.exp(-v))),
    rsqrt: (x) => each(x, (v) => 1 / Math.sqrt(v)),
    add: (a, b) => pairs(a, b, (v, w) => v + w),
    sub: (a, b) => pairs(a, b, (v, w) => v - w),
    mul: (a, b) => pairs(a, b, (v, w) => v * w),
    div: (a, b) => pairs(a, b, (v, w) => v / w),
  };

  // Decode what export.py wrote; the result takes inputs and gives all that it computed, by name.
  function load({ nodes, tensors, weights, inputs, output, gates, size }) {
    const numbers = halves(weights), constants = {};
    for (const [name, { shape, at }] of Object.entries(tensors))
      constants[name] = tensor(shape, numbers.subarray(at, at + count(shape)));
    // `given` replaces what the network would compute, by name; `replacing(gates)` names gates so
    function run(values, given = {}) {
      const known = { ...constants };
      inputs.forEach((name, k) => { known[name] = values[k]; });
      for (const [operator, name, from, settings] of nodes)
        known[name] = given[name]
          ?? OPERATORS[operator](...from.map((one) => (typeof one === "string" ? known[one] : one)), settings);
      return { probabilities: Array.from(known[output].data), gates: gates.map((name) => known[name]) };
    }
    const replacing = (own) => Object.fromEntries(gates.map((name, k) => [name, own[k]]));
    return { run, size, replacing, nWeights: numbers.length };
  }

  return { load, tensor, bytes, halves, OPERATORS };
})();
