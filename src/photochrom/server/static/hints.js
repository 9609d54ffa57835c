// Color hints: a place of the photo is chosen, its region outlined, and a color found for it.

import { submit } from "./api.js";
import { fromLab, toHex } from "./color.js";
import { create, draw, find, findAll } from "./dom.js";
import { DRAG, distance } from "./viewer.js";

const MOVE = 0.01; // of the photo, for an arrow key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BRUSH = 0.06; // of the short side, between the hints of a stroke
const MAX_RECENT = 8;
const OUTLINE = Math.log(2); // squared path length within which a hint decides most of the color
const RANGE = 110; // Lab units from the center of the wheel to its edge

export class Hints {
  /** `current` returns the photo that is shown; `say` announces a sentence. */
  constructor(viewer, current, models, say, choosePhoto) {
    Object.assign(this, { viewer, current, models, say, choosePhoto, recent: [], cross: { x: 0.5, y: 0.5 }, limit: 100 });
    find("#place").onclick = () => this.start(!this.isPlacing);
    find("#use").onclick = () => this.put(find("#color").value);
    find("#cancel-hint").onclick = () => this.stop();
    find("#dropper").onclick = () => this.startDropper();
    find("#wheel").onclick = (event) => this.takeFromWheel(event);
    find("#picker").onkeydown = (event) => {
      if (event.key !== "Escape") return;
      this.stop();
      viewer.stage.focus();
    };
    const { stage } = viewer;
    stage.addEventListener("pointermove", (event) => this.onMove(event));
    stage.addEventListener("pointerdown", (event) => this.onDown(event));
    stage.addEventListener("pointerup", () => this.onPress());
    for (const type of ["pointerup", "pointercancel"]) stage.addEventListener(type, () => this.endStroke());
    find("#brush").onchange = () => this.showPicker();
  }

  get isPlacing() {
    return find("#place").getAttribute("aria-pressed") === "true";
  }

  get isBrushing() {
    return this.isPlacing && find("#brush").checked;
  }

  start(isPlacing) {
    find("#place").setAttribute("aria-pressed", isPlacing);
    find("#how").hidden = !isPlacing;
    this.viewer.stage.classList.toggle("placing", isPlacing);
    this.isAiming = isPlacing;
    this.stop();
    if (isPlacing) this.viewer.stage.focus();
  }

  startDropper() {
    this.dropping = this.target && { photo: this.current(), target: this.target };
    this.say("Click a color in this or another photo.");
  }

  onMove(event) {
    if (!this.isPlacing || event.target.closest("button")) return;
    const place = this.viewer.locate(event);
    if (!isInside(place)) return;
    if (this.stroke) {
      if (event.buttons) this.continueStroke(place);
      else this.endStroke();
    } else if (!this.target && !event.buttons) {
      this.cross = place;
      this.isAiming = false;
      this.outline(place);
    }
  }

  onPress() {
    const photo = this.current();
    const place = this.viewer.takePress();
    if (!place || !isInside(place) || !photo?.light) return;
    if (this.dropping) {
      const color = photo.colorAt(place);
      const { photo: from, target } = this.dropping;
      if (!this.choosePhoto(from)) return this.stop();
      this.target = target;
      this.put(color);
    } else if (this.isPlacing && !this.isBrushing) this.choose(place);
  }

  /** Begins a stroke of the brush; a second finger ends it, as it moves the picture. */
  onDown(event) {
    const photo = this.current();
    if (!this.isBrushing || this.dropping || event.button || event.target.closest("button") || !photo?.light) return;
    if (this.stroke) {
      if (this.stroke.length) photo.cancel();
      this.stroke = undefined;
      return;
    }
    const place = this.viewer.locate(event);
    if (!isInside(place)) return;
    this.stroke = [];
    this.continueStroke(place);
  }

  continueStroke({ x, y }) {
    const photo = this.current();
    const last = this.stroke.at(-1);
    const [width, height] = [photo.width, photo.height];
    const step = BRUSH * Math.min(width, height);
    if (last && Math.hypot((x - last.x) * width, (y - last.y) * height) < step) return;
    if (photo.settings.hints.length >= this.limit) return;
    const isFirst = !this.stroke.length;
    this.stroke.push({ x, y });
    this.add(photo, { x, y }, find("#color").value, isFirst);
  }

  endStroke() {
    if (this.stroke?.length) this.current()?.predict();
    this.stroke = undefined;
  }

  /** Handles a key of the stage; returns whether it was one. */
  key(event) {
    if (!this.isPlacing) return false;
    const [x, y] = ARROWS[event.key] ?? [];
    if (event.key === "Escape") {
      if (this.target || this.dropping) this.stop();
      else this.start(false);
    } else if (event.key === "Enter") this.choose(this.cross);
    else if (x !== undefined) {
      const step = event.shiftKey ? 10 * MOVE : MOVE;
      this.isAiming = true;
      this.cross = { x: clamp(this.cross.x + x * step), y: clamp(this.cross.y + y * step) };
      this.outline(this.cross);
      this.say(`${Math.round(this.cross.x * 100)}% from the left, ${Math.round(this.cross.y * 100)}% from the top`);
    } else return false;
    return true;
  }

  /** Asks for the color of a place, or of a hint that there is. */
  async choose(place, hint) {
    const photo = this.current();
    if (!photo?.light) return;
    this.target = { place, hint };
    this.cross = place;
    this.outline(place);
    find("#hinting").open = true;
    this.showPicker();
    find("#color").value = hint?.color ?? photo.colorAt(place);
    this.drawWheel(photo, place);
    this.showSwatches("#recent", "Recent: ", this.recent.map((color) => [color, color]));
    this.showSwatches("#likely", "", []);
    find("#use").focus({ preventScroll: true });
    find("#picker").scrollIntoView({ block: "nearest" });
    if (!this.models().some(({ suggests }) => suggests)) return;
    const { x, y } = toPixel(photo, place);
    try {
      const target = this.target;
      const likely = await submit(photo.view, "likely", new URLSearchParams({ x, y })); // of the page that is shown
      const colors = likely.map(({ color, probability }) => [color, `${color}, ${Math.round(100 * probability)}%`]);
      if (this.target === target) this.showSwatches("#likely", "Likely here: ", colors);
    } catch (error) {
      this.say(error.message);
    }
  }

  showSwatches(selector, title, colors) {
    find(selector).replaceChildren(...(colors.length ? [title] : []), ...colors.map(([color, name]) => {
      const button = create("button", { type: "button", className: "swatch", title: name, ariaLabel: name });
      button.style.background = color;
      button.onclick = () => this.put(color);
      return button;
    }));
  }

  /** Renders all colors of the lightness of a place, a to the right and b upwards. */
  drawWheel(photo, place) {
    const wheel = find("#wheel");
    const size = wheel.width;
    const image = new ImageData(size, size);
    this.lightness = photo.lightnessAt(place);
    for (let y = 0, at = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1, at += 4) {
        const { rgb, isInside: isShown } = fromLab([this.lightness, ((2 * x) / size - 1) * RANGE, (1 - (2 * y) / size) * RANGE]);
        image.data.set(isShown ? [...rgb, 255] : [0, 0, 0, 0], at);
      }
    }
    draw(wheel, image);
  }

  takeFromWheel(event) {
    const box = event.target.getBoundingClientRect();
    const a = ((2 * (event.clientX - box.left)) / box.width - 1) * RANGE;
    const b = (1 - (2 * (event.clientY - box.top)) / box.height) * RANGE;
    this.put(toHex(fromLab([this.lightness, a, b]).rgb));
  }

  /** Gives the chosen place a color. */
  put(color) {
    const { place, hint } = this.target ?? {};
    if (!place) return;
    const photo = this.current();
    find("#color").value = color;
    if (hint) photo.change({ hints: photo.settings.hints.map((other) => (other === hint ? { ...hint, color } : other)) });
    else if (photo.settings.hints.length >= this.limit) this.say(`A photo has at most ${this.limit} hints.`);
    else this.add(photo, place, color);
    photo.predict();
    this.stop();
    this.viewer.stage.focus();
  }

  add(photo, place, color, isStep = true) {
    const hint = { ...toPixel(photo, place), color };
    const others = photo.settings.hints.filter(({ x, y }) => x !== hint.x || y !== hint.y);
    this.recent = [color, ...this.recent.filter((other) => other !== color)].slice(0, MAX_RECENT);
    photo.change({ hints: [...others, hint] }, isStep);
  }

  remove(hint) {
    const photo = this.current();
    photo.update({ hints: photo.settings.hints.filter((other) => other !== hint) });
    this.viewer.stage.focus();
  }

  /** The brush needs a color before it is used. */
  showPicker() {
    find("#picker").hidden = !this.target && !this.isBrushing;
    this.viewer.isBrushing = this.isBrushing;
    for (const part of findAll("#likely, #wheel, #use, #dropper, #cancel-hint")) part.hidden = !this.target;
  }

  /** Closes the picker; a dropper stays, for a color of the photo that is chosen next. */
  close() {
    this.target = undefined;
    this.showPicker();
    this.outline();
  }

  stop() {
    if (this.dropping) this.say("");
    this.dropping = undefined;
    this.close();
  }

  /** Outlines the region that a hint at a place would color; without a place, removes the outline. */
  outline(place) {
    const overlay = find(".overlay");
    const photo = this.current();
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, overlay.width, overlay.height);
    this.draw();
    if (!place || !photo?.light || !photo.prediction) return;
    const { width, height } = photo.prediction;
    const lengths = photo.lengths(toPixel(photo, place), width, height);
    const scale = Math.max(1, Math.ceil(600 / width));
    [overlay.width, overlay.height] = [width * scale, height * scale];
    const isIn = (x, y) => x >= 0 && y >= 0 && x < width && y < height && lengths[y * width + x] ** 2 < OUTLINE;
    for (const [color, line] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.beginPath();
      for (let y = 0; y <= height; y += 1) {
        for (let x = 0; x <= width; x += 1) {
          if (isIn(x, y) !== isIn(x - 1, y)) context.moveTo(x * scale, y * scale), context.lineTo(x * scale, (y + 1) * scale);
          if (isIn(x, y) !== isIn(x, y - 1)) context.moveTo(x * scale, y * scale), context.lineTo((x + 1) * scale, y * scale);
        }
      }
      context.stroke();
    }
  }

  /** Renders the marks of hints on the photo and their list. */
  draw() {
    const photo = this.current();
    const hints = photo?.settings.hints ?? [];
    const cross = find(".cross");
    cross.hidden = !this.isPlacing || !this.isAiming;
    Object.assign(cross.style, { left: `${this.cross.x * 100}%`, top: `${this.cross.y * 100}%` });
    if (this.drawn?.photo === photo && this.drawn.hints === hints && this.drawn.width === photo?.width) return;
    this.drawn = { photo, hints, width: photo?.width };
    const { hint: focused } = document.activeElement?.dataset ?? {};
    find(".marks").replaceChildren(...hints.map((hint, index) => this.mark(photo, hint, index)));
    if (focused !== undefined) find(`.marks [data-hint="${focused}"]`)?.focus();
    find("#hints").replaceChildren(...hints.map((hint, index) => this.entry(hint, index)));
  }

  mark(photo, hint, index) {
    const ariaLabel = `Hint ${index + 1}, ${hint.color}: Enter changes, arrow keys move, Delete removes it`;
    const button = create("button", { type: "button", ariaLabel });
    button.dataset.hint = index;
    Object.assign(button.style, {
      left: `${((hint.x + 0.5) / photo.width) * 100}%`,
      top: `${((hint.y + 0.5) / photo.height) * 100}%`,
      background: hint.color,
    });
    const place = { x: (hint.x + 0.5) / photo.width, y: (hint.y + 0.5) / photo.height };
    const move = (to) => {
      const moved = { ...hint, ...toPixel(photo, { x: clamp(to.x), y: clamp(to.y) }) };
      photo.update({ hints: photo.settings.hints.map((other) => (other === hint ? moved : other)) });
    };
    const step = Math.max(1, Math.round(MOVE * Math.min(photo.width, photo.height)));
    button.onclick = (event) => {
      if (!event.detail || !this.hasMoved) this.choose(place, hint); // not after it was dragged
    };
    button.onkeydown = (event) => {
      const [x, y] = ARROWS[event.key] ?? [];
      if (event.key === "Delete" || event.key === "Backspace") this.remove(hint);
      else if (x !== undefined) move({ x: place.x + (x * step) / photo.width, y: place.y + (y * step) / photo.height });
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    let press;
    button.onpointerdown = (event) => {
      press = event;
      this.hasMoved = false;
      button.setPointerCapture(event.pointerId);
    };
    button.onpointermove = (event) => {
      if (!press || (!this.hasMoved && distance(event, press) < DRAG)) return;
      this.hasMoved = true;
      const to = this.viewer.locate(event);
      Object.assign(button.style, { left: `${to.x * 100}%`, top: `${to.y * 100}%` });
    };
    button.onpointerup = (event) => {
      press = undefined;
      if (this.hasMoved) move(this.viewer.locate(event));
    };
    button.onpointercancel = () => {
      press = undefined;
      button.replaceWith(this.mark(photo, hint, index));
    };
    return button;
  }

  entry(hint, index) {
    const [item, color, remove] = ["li", "span", "button"].map((name) => create(name));
    color.style.background = hint.color;
    Object.assign(remove, { type: "button", textContent: `Remove hint ${index + 1} (${hint.color})` });
    remove.onclick = () => this.remove(hint);
    item.append(color, remove);
    return item;
  }
}

const clamp = (value) => Math.min(0.9999, Math.max(0, value));
const isInside = ({ x, y }) => x >= 0 && y >= 0 && x < 1 && y < 1;
const toPixel = ({ width, height }, { x, y }) => ({ x: Math.floor(x * width), y: Math.floor(y * height) });
