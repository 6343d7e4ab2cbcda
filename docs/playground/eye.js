// A drawn eye without spots, and any spots drawn on it, as `medattn.datasets.phantoms` draws them.
// Lengths are in half sides of the image: x and y lie within -1 to 1, and y points down.
"use strict";

const Eye = (() => {
  const SIZE = 28;
  const centre = (k) => ((k + 0.5) * 2) / SIZE - 1; // of the k-th pixel
  const sigmoid = (v) => 1 / (1 + Math.exp(-v));

  // how much of a spot is at a place, 0 to about 1
  function profile(spot, x, y) {
    const dx = x - spot.x, dy = y - spot.y, cos = Math.cos(spot.turn), sin = Math.sin(spot.turn);
    const along = (dx * cos + dy * sin) / spot.stretch, across = (dy * cos - dx * sin) * spot.stretch;
    const around = Math.atan2(across, along);
    const wave = (Math.cos(3 * around + 11 * spot.turn) + Math.cos(5 * around - 7 * spot.turn)) / 2;
    const border = spot.radius * (1 + 0.12 * wave), soft = Math.max(0.16 * spot.radius, 0.6 / SIZE);
    return spot.strength * sigmoid((border - Math.hypot(along, across)) / soft);
  }

  // bare: bytes, three planes. Dark spots absorb light as blood does, bright ones cover as fat does.
  function compose(bare, lamp, spots, scene) {
    const out = new Float64Array(bare.length), n = SIZE * SIZE;
    for (let k = 0; k < n; k++) {
      const x = centre(k % SIZE), y = centre(Math.floor(k / SIZE));
      let dark = 0, bright = 0;
      for (const spot of spots)
        if (spot.dark) dark = Math.max(dark, profile(spot, x, y));
        else bright = Math.max(bright, profile(spot, x, y));
      const lit = (1.08 - 0.3 * ((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2)) * lamp[2];
      const light = Math.max(lit, 0.1) * sigmoid((scene.view - Math.hypot(x, y)) / (0.8 / SIZE));
      const cover = Math.min(1, 0.62 * bright);
      for (let c = 0; c < 3; c++) {
        const seen = (bare[c * n + k] / 255 - scene.darkest) * Math.exp(-0.75 * dark * scene.blood[c]);
        const value = seen * (1 - cover) + scene.exudate[c] * light * cover + scene.darkest;
        out[c * n + k] = Math.min(255, Math.max(0, Math.round(255 * value)));
      }
    }
    return out;
  }

  const inside = (spot, scene) => Math.hypot(spot.x - scene.fovea[0], spot.y - scene.fovea[1]) <= scene.radius;

  return { SIZE, compose, inside };
})();
