// Short names for what every part of the page does.

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector) => [...document.querySelectorAll(selector)];
export const create = (name, properties) => Object.assign(document.createElement(name), properties);

/** Renders an `ImageData` on a canvas of its size. */
export function draw(canvas, image) {
  if (canvas.width !== image.width) canvas.width = image.width;
  if (canvas.height !== image.height) canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Renders a photo in the colors of a map, or its original, unless the canvas shows that already. */
export function render(canvas, light, map) {
  if (canvas.light === light && canvas.map === map) return;
  draw(canvas, map ? light.show(map) : light.image);
  Object.assign(canvas, { light, map });
}

/** "1 photo", "2 photos". */
export const count = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;

/** Announces a sentence, and shows it until the next. */
export const say = (text) => { find("#message").textContent = text; };
