// Color as in photochrom/core/color.py: Lab (D65, 2 degrees) and sRGB; colors are put under the lightness of a photo.

const WHITE = [0.95047, 1, 1.08883];
const TO_XYZ = [
  [0.4124564, 0.3575761, 0.1804375],
  [0.2126729, 0.7151522, 0.072175],
  [0.0193339, 0.119192, 0.9503041],
];
const FROM_XYZ = [
  [3.2404542, -1.5371385, -0.4985314],
  [-0.969266, 1.8760108, 0.041556],
  [0.0556434, -0.2040259, 1.0572252],
];
const KNEE = 6 / 29;
const SURROUNDINGS = 0.1; // as in inference/grading.py, with WARM
const WARM = [4, 16];
const CODES = 1 << 12; // steps of the table of sRGB codes

const toLinear = Float32Array.from({ length: 256 }, (_, code) => {
  const value = code / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
});
// By the square root of linear light, which makes dark steps as fine as light ones.
const toCode = Uint8ClampedArray.from({ length: CODES + 1 }, (_, step) => {
  const light = (step / CODES) ** 2;
  return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
});

const curve = (light) => (light > KNEE ** 3 ? Math.cbrt(light) : light / (3 * KNEE ** 2) + 4 / 29);
const light = (value) => (value > KNEE ? value ** 3 : 3 * KNEE ** 2 * (value - 4 / 29));
const code = (linear) => toCode[Math.round(Math.sqrt(Math.min(1, Math.max(0, linear))) * CODES)];
const dot = (row, [x, y, z]) => row[0] * x + row[1] * y + row[2] * z;

/** Lab of an sRGB color, three codes from 0 to 255. */
export function toLab(rgb) {
  const linear = [...rgb].map((value) => toLinear[value]);
  const [x, y, z] = TO_XYZ.map((row, index) => curve(dot(row, linear) / WHITE[index]));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** Linear sRGB of light Y and the Lab curve of it, and a and b; outside the gamut, pulled towards the gray of Y. */
function mix(y, f, a, b, out) {
  const x = light(f + a / 500) - y;
  const z = light(f - b / 200) - y;
  let share = 1;
  for (let channel = 0; channel < 3; channel += 1) {
    const row = FROM_XYZ[channel];
    const shift = row[0] * WHITE[0] * x + row[2] * WHITE[2] * z;
    out[channel] = shift;
    if (y + shift > 1) share = Math.min(share, (1 - y) / shift);
    else if (y + shift < 0) share = Math.min(share, -y / shift);
  }
  for (let channel = 0; channel < 3; channel += 1) out[channel] = y + share * out[channel];
  return share;
}

/** The sRGB codes of a Lab color, moved into the gamut at its lightness, and whether it was inside already. */
export function fromLab([lightness, a, b]) {
  const f = (lightness + 16) / 116;
  const out = [0, 0, 0];
  const share = mix(light(f), f, a, b, out);
  return { rgb: out.map(code), isInside: share === 1 };
}

export const toHex = (rgb) => `#${[...rgb].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
export const fromHex = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** A color map of the server: int16 (2, height, width), a and b of Lab times 64. */
export function readColors(buffer, width, height) {
  return { width, height, ab: Float32Array.from(new Int16Array(buffer), (value) => value / 64) };
}

/** Weighted means of the surroundings of each value along a line. */
function gaussian(size, sigma) {
  const weights = new Float32Array(size * size);
  for (let at = 0; at < size; at += 1) {
    let sum = 0;
    for (let other = 0; other < size; other += 1) sum += Math.exp(-(((at - other) / sigma) ** 2) / 2);
    for (let other = 0; other < size; other += 1) {
      weights[at * size + other] = Math.exp(-(((at - other) / sigma) ** 2) / 2) / sum;
    }
  }
  return weights;
}

/** The mean of the surroundings of each pixel of a color map, kept with the map. */
function blur(colors) {
  if (colors.blurred) return colors.blurred;
  const { width, height, ab } = colors;
  const sigma = SURROUNDINGS * Math.min(width, height);
  const [down, across] = [gaussian(height, sigma), gaussian(width, sigma)];
  const [half, blurred] = [new Float32Array(ab.length), new Float32Array(ab.length)];
  for (let plane = 0; plane < 2; plane += 1) {
    const start = plane * width * height;
    for (let y = 0; y < height; y += 1) {
      for (let other = 0; other < height; other += 1) {
        const weight = down[y * height + other];
        if (weight < 1e-6) continue;
        for (let x = 0; x < width; x += 1) half[start + y * width + x] += weight * ab[start + other * width + x];
      }
      for (let x = 0; x < width; x += 1) {
        let sum = 0;
        for (let other = 0; other < width; other += 1) sum += across[x * width + other] * half[start + y * width + other];
        blurred[start + y * width + x] = sum;
      }
    }
  }
  colors.blurred = blurred;
  return blurred;
}

/**
 * A color map graded as by inference/grading.py. `hints`: maps of the share of each hint and its a and b, which stay.
 */
export function grade(colors, { saturation, warmth, local_saturation: local }, hints = []) {
  const { width, height, ab } = colors;
  const graded = new Float32Array(ab.length);
  const surroundings = local === 1 ? ab : blur(colors);
  const size = width * height;
  for (let index = 0; index < ab.length; index += 1) {
    const plane = index < size ? 0 : 1;
    const pixel = index - plane * size;
    let [hinted, weight] = [0, 0];
    for (const hint of hints) {
      hinted += hint.share[pixel] * hint.ab[plane];
      weight += hint.share[pixel];
    }
    const change = (ab[index] - surroundings[index]) * (local - 1) + WARM[plane] * warmth;
    graded[index] = (ab[index] + change * (1 - weight)) * saturation + hinted * (1 - saturation);
  }
  return { width, height, ab: graded };
}

/** A photo whose lightness is known, to be shown in any colors. */
export class Light {
  constructor(image) {
    this.image = image;
    this.width = image.width;
    this.height = image.height;
    const { data } = image;
    this.y = new Float32Array(this.width * this.height);
    this.f = new Float32Array(this.y.length);
    for (let index = 0, at = 0; index < this.y.length; index += 1, at += 4) {
      const y = TO_XYZ[1][0] * toLinear[data[at]] + TO_XYZ[1][1] * toLinear[data[at + 1]] + TO_XYZ[1][2] * toLinear[data[at + 2]];
      this.y[index] = y;
      this.f[index] = curve(y);
    }
  }

  /** Gray in [-1, 1], as models see it, in blocks of another size. */
  gray(width, height) {
    const [sums, counts] = [new Float32Array(width * height), new Float32Array(width * height)];
    for (let y = 0; y < this.height; y += 1) {
      const row = Math.floor((y * height) / this.height) * width;
      for (let x = 0; x < this.width; x += 1) {
        const cell = row + Math.floor((x * width) / this.width);
        sums[cell] += (116 * this.f[y * this.width + x] - 16) / 50 - 1;
        counts[cell] += 1;
      }
    }
    return sums.map((sum, cell) => sum / (counts[cell] || 1));
  }

  lightness(x, y) {
    return 116 * this.f[y * this.width + x] - 16;
  }

  /** The picture in the colors of a map, which is enlarged linearly. */
  show({ width, height, ab }) {
    const image = new ImageData(this.width, this.height);
    const { data } = image;
    const columns = places(width, this.width);
    const rows = places(height, this.height);
    const [lineA, lineB, out] = [new Float32Array(width), new Float32Array(width), [0, 0, 0]];
    for (let y = 0, at = 0, index = 0; y < this.height; y += 1) {
      const [top, bottom, below] = [rows.first[y] * width, rows.second[y] * width, rows.weight[y]];
      for (let x = 0; x < width; x += 1) {
        lineA[x] = ab[top + x] + below * (ab[bottom + x] - ab[top + x]);
        lineB[x] = ab[top + x + width * height] + below * (ab[bottom + x + width * height] - ab[top + x + width * height]);
      }
      for (let x = 0; x < this.width; x += 1, at += 4, index += 1) {
        const [left, right, weight] = [columns.first[x], columns.second[x], columns.weight[x]];
        const a = lineA[left] + weight * (lineA[right] - lineA[left]);
        const b = lineB[left] + weight * (lineB[right] - lineB[left]);
        mix(this.y[index], this.f[index], a, b, out);
        data[at] = code(out[0]);
        data[at + 1] = code(out[1]);
        data[at + 2] = code(out[2]);
        data[at + 3] = 255;
      }
    }
    return image;
  }
}

/** The two cells of a line that each of more pixels lies between, and the weight of the second. */
function places(cells, pixels) {
  const [first, second, weight] = [new Int32Array(pixels), new Int32Array(pixels), new Float32Array(pixels)];
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const place = Math.min(cells - 1, Math.max(0, ((pixel + 0.5) * cells) / pixels - 0.5));
    first[pixel] = Math.floor(place);
    second[pixel] = Math.min(cells - 1, first[pixel] + 1);
    weight[pixel] = place - first[pixel];
  }
  return { first, second, weight };
}

/** A color map at another size, by linear interpolation. */
export function resize(map, width, height) {
  if (map.width === width && map.height === height) return map;
  const [columns, rows] = [places(map.width, width), places(map.height, height)];
  const ab = new Float32Array(2 * width * height);
  for (let plane = 0, at = 0; plane < 2; plane += 1) {
    for (let y = 0; y < height; y += 1) {
      const [top, bottom] = [rows.first[y], rows.second[y]].map((row) => (plane * map.height + row) * map.width);
      for (let x = 0; x < width; x += 1, at += 1) {
        const [left, right] = [columns.first[x], columns.second[x]].map((column) => {
          return map.ab[top + column] + rows.weight[y] * (map.ab[bottom + column] - map.ab[top + column]);
        });
        ab[at] = left + columns.weight[x] * (right - left);
      }
    }
  }
  return { width, height, ab };
}

/** How much color maps of one size differ at each pixel: root mean square distance from their mean, in Lab units. */
export function disagreement(maps) {
  const size = maps[0].width * maps[0].height;
  return Float32Array.from({ length: size }, (_, pixel) => {
    let variance = 0;
    for (const plane of [0, size]) {
      const mean = maps.reduce((sum, { ab }) => sum + ab[plane + pixel], 0) / maps.length;
      variance += maps.reduce((sum, { ab }) => sum + (ab[plane + pixel] - mean) ** 2, 0) / maps.length;
    }
    return Math.sqrt(variance);
  });
}
