// PPCR's seven equations for one pixel. Paper: Zhang et al., "PPCR", 2023, section 3, Eqs. (1)-(7).
"use strict";

const Equations = (() => {
  const SCALES = [1, 2, 4], EPSILON = 1e-5; // xi of Eq. (4)
  // the seven contexts: of which scale, and which of its groups
  const CONTEXTS = SCALES.flatMap((scale) => Array.from({ length: scale }, (_, group) => ({ scale, group })));
  const NAMES = ["all", "half 1", "half 2", "quarter 1", "quarter 2", "quarter 3", "quarter 4"];

  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

  // Eq. (2): the mean of one of `scale` equal groups of channels
  function groupMean(channels, scale, group) {
    const size = channels.length / scale;
    return mean(channels.slice(group * size, (group + 1) * size));
  }

  // All seven equations. `scales` are those in use; what belongs to another scale is null.
  function ppcr(channels, weights, scales = SCALES) {
    const used = CONTEXTS.map(({ scale }) => scales.includes(scale));
    const contexts = CONTEXTS.map(({ scale, group }, d) => (used[d] ? groupMean(channels, scale, group) : null)); // Eq. (1)
    const known = contexts.filter((value) => value !== null), middle = mean(known); // Eq. (4)
    const deviation = Math.sqrt(mean(known.map((value) => (value - middle) ** 2)) + EPSILON); // Eq. (4)
    const normalised = contexts.map((value) => (value === null ? null : (value - middle) / deviation)); // Eq. (3)
    const products = normalised.map((value, d) => (value === null ? null : weights[d] * value));
    const z = products.reduce((total, value) => total + (value ?? 0), 0); // Eq. (6)
    const gate = 1 / (1 + Math.exp(-z)); // Eq. (5)
    return { contexts, middle, deviation, normalised, products, z, gate, gated: channels.map((x) => gate * x) }; // Eq. (7)
  }

  return { SCALES, CONTEXTS, NAMES, ppcr };
})();
