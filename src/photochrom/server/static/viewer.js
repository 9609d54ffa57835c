// The stage: a photo before and after, with zoom and pan. Several pictures on one stage move together.

const MAX_ZOOM = 32; // screen pixels for one of the photo
const STEP = 1.25;
export const DRAG = 5; // screen pixels that a pointer moves at least to drag
const CLOSE = 1.05; // screen pixels for one of a preview, from which on a larger one is worth while

export class Viewer {
  /** `onDetail` is called when the preview is shown larger than it is. */
  constructor(stage, onDetail, onView) {
    Object.assign(this, { stage, onDetail, onView, pointers: new Map(), size: [1, 1], view: { zoom: 1, x: 0.5, y: 0.5 } });
    stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.onDown(event));
    stage.addEventListener("pointermove", (event) => this.onMove(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      stage.addEventListener(type, (event) => this.pointers.delete(event.pointerId));
    }
    stage.addEventListener("pointercancel", () => { this.pressed = undefined; });
    new ResizeObserver(() => this.place()).observe(stage);
  }

  /** Shows a photo of this size, in pixels, of which the preview has some; the view stays unless `isNew`. */
  show(width, height, previewWidth, isNew, isFixed = false) {
    this.size = [width, height];
    this.isFixed = isFixed; // it does not zoom
    this.previewWidth = previewWidth;
    if (isNew) this.view = { zoom: 1, x: 0.5, y: 0.5 };
    this.place();
  }

  get pane() {
    return this.stage.querySelector(".pane:not([hidden])") ?? this.stage;
  }

  /** Screen pixels (CSS) for a pixel of the photo when all of it is seen. */
  get fit() {
    const box = this.pane.getBoundingClientRect();
    return Math.min(box.width / this.size[0], box.height / this.size[1]);
  }

  get scale() {
    return this.fit * this.view.zoom;
  }

  /** Zooms so that the place (in shares of the photo) stays where it is on the screen. */
  zoom(factor, place = this.view) {
    const before = this.view.zoom;
    const most = this.isFixed ? 1 : Math.max(1, MAX_ZOOM / this.fit);
    const zoom = Math.min(most, Math.max(1, before * factor));
    const moved = (from, to) => to + (from - to) * (before / zoom);
    this.view = { zoom, x: moved(this.view.x, place.x), y: moved(this.view.y, place.y) };
    this.place();
  }

  zoomTo(scale) {
    this.zoom(scale / this.scale);
  }

  reset() {
    this.view = { zoom: 1, x: 0.5, y: 0.5 };
    this.place();
  }

  /** Moves the view by screen pixels. */
  pan(x, y) {
    this.view.x -= x / (this.size[0] * this.scale);
    this.view.y -= y / (this.size[1] * this.scale);
    this.place();
  }

  place() {
    const box = this.pane.getBoundingClientRect();
    const [width, height] = this.size.map((side) => side * this.scale);
    const limit = (at, side, room) => (side <= room ? 0.5 : Math.min(1 - room / 2 / side, Math.max(room / 2 / side, at)));
    this.view.x = limit(this.view.x, width, box.width);
    this.view.y = limit(this.view.y, height, box.height);
    const { style } = this.stage;
    style.setProperty("--width", `${width}px`);
    style.setProperty("--height", `${height}px`);
    const [left, top] = [box.width / 2 - this.view.x * width, box.height / 2 - this.view.y * height];
    style.setProperty("--left", `${left}px`);
    style.setProperty("--top", `${top}px`);
    this.picture = { left, top, width, height }; // in its pane
    this.stage.classList.toggle("pixels", this.scale * devicePixelRatio > 3);
    if ((width * devicePixelRatio) / this.previewWidth > CLOSE && this.view.zoom > 1) this.onDetail();
    if (this.previewWidth) this.onView(this.scale);
  }

  /** The place of a screen point in shares of the photo, from 0 to 1 inside it. */
  locate(event) {
    const pane = event.target.closest?.(".pane") ?? this.pane;
    const [box, { left, top, width, height }] = [pane.getBoundingClientRect(), this.picture];
    return { x: (event.clientX - box.left - left) / width, y: (event.clientY - box.top - top) / height };
  }

  onWheel(event) {
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    this.zoom(Math.exp(-delta / 400), this.locate(event));
  }

  onDown(event) {
    if (event.button || event.target.closest("button, input, video")) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pressed = this.pointers.size ? undefined : { event, place: this.locate(event) };
    this.pointers.set(event.pointerId, event);
  }

  onMove(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before || (this.pressed && distance(event, this.pressed.event) < DRAG)) return;
    this.pressed = undefined;
    const other = [...this.pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (other) {
      this.zoom(distance(event, other) / (distance(before, other) || 1), this.locate(other));
    } else if (!this.isBrushing) this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
  }

  /** Returns the place of the press that ends; undefined where it moved the picture. */
  takePress() {
    const { place } = this.pressed ?? {};
    this.pressed = undefined;
    return place;
  }

  /** Handles a key of the stage; returns whether it was one. */
  key(event) {
    const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (pan && this.view.zoom > 1) this.pan(...pan);
    else if (event.key === "+" || event.key === "=") this.zoom(STEP);
    else if (event.key === "-") this.zoom(1 / STEP);
    else if (event.key === "0") this.reset();
    else if (event.key === "1") this.zoomTo(1 / devicePixelRatio);
    else return false;
    return true;
  }
}

export const distance = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
