// The regions of color hints, as in photochrom/inference/hints.py: the share of a hint falls with the length of the
// shortest path to it, and paths across edges of lightness are long.

const EDGE = 0.8;
const REACH = 1.2;
const POWER = 4;

/** The lengths of the shortest paths, along rows and columns, from a cell to every cell of a gray image. */
export function pathLengths({ width, height, gray }, column, row) {
  const pixel = 1 / (REACH * Math.min(width, height));
  const lengths = new Float64Array(width * height).fill(Infinity);
  lengths[row * width + column] = 0;
  const step = (from, to) => Math.abs(gray[from] - gray[to]) / EDGE + pixel;
  let isShorter = true;
  const relax = (from, to) => {
    const length = lengths[from] + step(from, to);
    if (length < lengths[to] - 1e-9) {
      lengths[to] = length;
      isShorter = true;
    }
  };
  while (isShorter) {
    isShorter = false;
    for (let y = 0; y < height; y += 1) {
      for (let at = y * width + 1; at < (y + 1) * width; at += 1) relax(at - 1, at);
      for (let at = (y + 1) * width - 1; at > y * width; at -= 1) relax(at, at - 1);
    }
    for (let at = width; at < width * height; at += 1) relax(at - width, at);
    for (let at = width * height - 1; at >= width; at -= 1) relax(at, at - width);
  }
  return lengths;
}

/** The share of each of several hints in the color of every cell, from their `pathLengths`. */
export function shares(lengths) {
  const maps = lengths.map((line) => new Float32Array(line.length));
  for (let at = 0; at < maps[0]?.length; at += 1) {
    const nearness = lengths.map((line) => Math.max(line[at], 1e-6) ** -POWER);
    const total = nearness.reduce((sum, value) => sum + value, 0);
    const strength = Math.exp(-(Math.min(...lengths.map((line) => line[at])) ** 2));
    maps.forEach((map, hint) => { map[at] = (strength * nearness[hint]) / total; });
  }
  return maps;
}
