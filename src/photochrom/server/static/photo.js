// A photo on the page: its settings with their history, and the predictions of models.

import { discard, finish, getBuffer, getJson, request, submit, upload } from "./api.js";
import { Light, disagreement, fromHex, fromLab, grade, readColors, resize, toHex, toLab } from "./color.js";
import { pathLengths, shares } from "./region.js";

const DETAIL = 4096; // pixels of the long side where one looks closely
const SMALLEST = 64; // of previews that nobody looks at
const GONE = "no such photo"; // how the server begins to say that it has deleted one
const THUMB = 128;
const MAX_HISTORY = 200;
const MAX_PREDICTIONS = 40;
const MAX_PATHS = 40;
export const NEUTRAL = { saturation: 1, warmth: 0, local_saturation: 1 };
const GRADING = Object.keys(NEUTRAL);

export const DEFAULTS = Object.freeze({ model: "", seed: 0, near: "", size: "", distance: 0.3, steps: "", solver: "", eta: "", temperature: "", page: "", hints: [], ...NEUTRAL });

/** Settings as parameters of a request; those that have their defaults are left out. */
export function parameters(settings, graded) {
  const query = new URLSearchParams({ model: settings.model });
  for (const [name, value] of Object.entries(settings)) {
    if (name === "hints" || name === "model" || value === DEFAULTS[name] || (!graded && GRADING.includes(name))) continue;
    query.set(name, value);
  }
  for (const { x, y, color } of settings.hints) query.append("hint", `${x},${y},${color}`);
  return query;
}

export class Photo {
  /** `file` is missing for a photo that the server still has; `onChange` is called after each change. */
  constructor(name, file, settings, onChange) {
    Object.assign(this, { name, file, onChange, state: "waiting", problem: "", notes: [], progress: undefined });
    this.history = [settings];
    this.position = 0;
    this.predictions = new Map(); // by the parameters of their requests
    this.gradings = new WeakMap(); // of predictions: the latest map, and the settings that it was made with
    this.closing = new AbortController();
    this.saved = ""; // the settings of the last download
  }

  get settings() {
    return this.history[this.position];
  }

  get key() {
    return String(parameters(this.settings));
  }

  /** The prediction that is shown: that of the present settings or, until it is there, the one before. */
  get prediction() {
    return this.predictions.get(this.key) ?? this.shown;
  }

  /** The parameters of a download. */
  get outputKey() {
    return String(parameters(this.settings, true));
  }

  get isSaved() {
    return this.saved === this.outputKey;
  }

  /** Changes settings; `isStep` begins a step of the history, otherwise the last one is continued. */
  change(settings, isStep = true) {
    const next = Object.freeze({ ...this.settings, ...settings });
    if (isStep) {
      this.history.splice(this.position + 1);
      this.history.push(next);
      if (this.history.length > MAX_HISTORY) this.history.shift();
      this.position = this.history.length - 1;
    } else this.history[this.position] = next;
    this.onChange(this);
  }

  /** Changes settings and predicts with them. */
  update(settings, isStep = true) {
    this.change(settings, isStep);
    return this.predict();
  }

  travel(steps) {
    this.position = Math.min(this.history.length - 1, Math.max(0, this.position + steps));
    this.onChange(this);
    return this.predict();
  }

  set(values) {
    Object.assign(this, values);
    this.onChange(this);
  }

  /** Uploads the photo, unless the server has it, and colorizes it. */
  async open() {
    this.set({ state: "working", problem: "", step: "Uploading", progress: 0 });
    try {
      if (this.job) await this.look(this.restored);
      else await this.look(await this.upload((progress) => this.set({ progress })));
      this.isOpen = true;
      this.restored = undefined;
      await this.predict();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Uploads the photo. The job that this makes stays for as long as the photo; all others begin with it. */
  async upload(onProgress = () => {}) {
    const query = parameters(this.settings);
    const key = String(query);
    query.set("name", this.name);
    query.set("draft", true);
    const sent = await upload(this.file, query, this.closing.signal, onProgress);
    this.job = await this.follow(sent, this.closing.signal);
    await this.keep(this.job, key);
    return this.job;
  }

  /** Shows the progress of a job until it ends. */
  follow(job, signal) {
    return finish(job, signal, ({ state, ahead }) => {
      const step = state === "working" ? "Colorizing" : `Waiting${ahead ? `: ${ahead} before it` : ""}`;
      this.set({ step, progress: undefined });
    });
  }

  /** Runs a request about the photo on the server; where the server has deleted the photo, uploads it again before. */
  async withJob(use) {
    const { job } = this;
    try {
      if (job) return await use(job);
    } catch (error) {
      if (error.status !== 404 || !error.message.startsWith(GONE) || !this.file) throw error;
    }
    if (this.job === job) this.job = undefined;
    if (!this.job) this.uploading ??= this.upload().finally(() => { this.uploading = undefined; });
    await this.uploading;
    return use(this.job);
  }

  /** Returns a job with a preview of the original. */
  askForView(options) {
    const { signal } = this.closing;
    const query = new URLSearchParams({ ...options, colors: false });
    return this.withJob(async (job) => finish(await submit(job, "again", query, signal), signal));
  }

  /** Reads the size and a small picture of the page of the file that the settings name, from a job that shows it. */
  async look(given) {
    const { page } = this.settings;
    const view = given ?? (await this.askForView(page ? { page } : {}));
    const thumb = await readLight(view.before, THUMB);
    if (page !== this.settings.page) { // they name another one meanwhile
      if (!given) discard(view);
      return;
    }
    if (this.view?.id !== this.job.id) discard(this.view);
    this.unload();
    this.set({ thumb, view, page, width: view.width, height: view.height });
  }

  /** Predicts with the present settings, unless that is known; gives up what is being predicted. */
  async predict() {
    if (!this.isOpen) return;
    const { key } = this;
    if (this.predicting?.key === key) return;
    this.predicting?.abort();
    this.predicting = undefined;
    if (this.settings.page === this.page && this.predictions.has(key)) {
      this.shown = this.predictions.get(key);
      this.set({ state: "done", problem: "" });
      return;
    }
    const predicting = Object.assign(new AbortController(), { key });
    this.predicting = predicting;
    this.set({ state: "working", step: "Colorizing", progress: undefined, problem: "" });
    try {
      if (this.settings.page !== this.page) await this.look();
      if (!this.predictions.has(key)) await this.ask(this.settings, 1, predicting.signal);
      if (this.predicting !== predicting) return;
      this.predicting = undefined;
      this.shown = this.predictions.get(key);
      this.set({ state: "done" });
    } catch (error) {
      if (this.predicting !== predicting) return;
      this.predicting = undefined;
      this.fail(error);
    }
  }

  /** Gives up a prediction, and the settings that asked for it. */
  cancel() {
    if (this.history.length > 1) this.history.splice(this.position, 1);
    this.position = Math.max(0, this.position - 1);
    this.predict();
  }

  /** Returns the predictions of a model with one or several seeds. */
  async ask(settings, variants = 1, signal = this.closing.signal) {
    const query = parameters(settings);
    query.set("draft", true);
    query.set("preview", SMALLEST);
    if (variants > 1) query.set("variants", variants);
    const job = await this.withJob(async (first) => this.follow(await submit(first, "again", query, signal), signal));
    try {
      const seeds = job.copies.map(({ seed }) => seed);
      return await Promise.all(seeds.map((seed) => this.keep(job, String(parameters({ ...settings, seed })), seed)));
    } finally {
      discard(job);
    }
  }

  /** Reads the color map of a job's output and remembers it. */
  async keep(job, key, seed = job.copies[0].seed) {
    const { colors } = job.copies.find((copy) => copy.seed === seed);
    const map = readColors(await getBuffer(colors.address), colors.width, colors.height);
    const query = new URLSearchParams(key);
    const near = query.has("near") ? Number(query.get("near")) : "";
    const prediction = { ...map, model: query.get("model"), seed, near, situation: situation(query) };
    this.notes = job.notes;
    this.predictions.set(key, prediction);
    if (this.predictions.size > MAX_PREDICTIONS) this.predictions.delete(this.predictions.keys().next().value);
    return prediction;
  }

  fail(error) {
    if (error.name === "AbortError") return;
    const problem = error.message.replace(/^photo(?=:)/, () => this.name);
    this.set({ state: "failed", problem });
  }

  lightnessAt({ x, y }) {
    return this.light.lightness(Math.floor(x * this.light.width), Math.floor(y * this.light.height));
  }

  /** The color that is shown at a place, as #rrggbb. */
  colorAt(place) {
    const { width, height, ab } = this.graded();
    const at = Math.floor(place.y * height) * width + Math.floor(place.x * width);
    return toHex(fromLab([this.lightnessAt(place), ab[at], ab[at + width * height]]).rgb);
  }

  /** The map of a prediction in the present grading. */
  graded(prediction = this.prediction) {
    if (GRADING.every((name) => this.settings[name] === NEUTRAL[name])) return prediction;
    const { hints, ...settings } = this.settings;
    const key = JSON.stringify([GRADING.map((name) => settings[name]), this.light ? hints : []]);
    const known = this.gradings.get(prediction);
    if (known?.key === key) return known.map;
    const map = grade(prediction, settings, this.hintMaps(prediction));
    this.gradings.set(prediction, { key, map });
    return map;
  }

  /** The shares of the hints; none while only the thumbnail of the photo is loaded. */
  hintMaps({ width, height }) {
    const { hints } = this.settings;
    if (!hints.length || !this.light) return [];
    const lines = hints.map((hint) => this.lengths(hint, width, height));
    const maps = shares(lines);
    return hints.map(({ color }, index) => ({ share: maps[index], ab: toLab(fromHex(color)).slice(1) }));
  }

  /** The path lengths from a place of the photo at the size of a map. */
  lengths({ x, y }, width, height) {
    if (this.small?.width !== width || this.small?.height !== height) {
      this.small = { width, height, gray: this.light.gray(width, height), lengths: new Map() };
    }
    const cell = [Math.floor((x * width) / this.width), Math.floor((y * height) / this.height)];
    const known = this.small.lengths.get(String(cell));
    if (known) return known;
    const lengths = pathLengths(this.small, ...cell);
    if (this.small.lengths.size > MAX_PATHS) this.small.lengths.clear();
    this.small.lengths.set(String(cell), lengths);
    return lengths;
  }

  /** Where predictions with the same hints differ, in Lab units; undefined for fewer than two. */
  disagreement() {
    const { width, height, situation: shared } = this.prediction;
    const alike = [...this.predictions.values()].filter((other) => other.situation === shared);
    if (alike.length < 2) return undefined;
    return { width, height, values: disagreement(alike.map((other) => resize(other, width, height))) };
  }

  /** Loads the photo to be looked at; `unload` frees its memory, which is a lot. */
  async load() {
    if (this.loading || !this.view) return;
    this.loading = this.view;
    try {
      const light = await readLight(this.view.before);
      if (this.loading === this.view) this.set({ light });
    } catch (error) {
      if (error.status !== 404) return this.fail(error);
      await this.look().catch((other) => this.fail(other)); // which loads it again
    }
  }

  unload() {
    this.light = this.detail = this.small = this.loading = this.loadingDetail = undefined;
  }

  /** Loads the photo in more pixels, if it has more. */
  async loadDetail() {
    const { light, page } = this;
    if (!light || this.loadingDetail) return;
    if (Math.min(DETAIL, Math.max(this.width, this.height)) <= Math.max(light.width, light.height)) return;
    this.loadingDetail = light;
    const view = await this.askForView({ preview: DETAIL, ...(page ? { page } : {}) });
    const detail = await readLight(view.before).finally(() => discard(view));
    if (this.loadingDetail === light) this.set({ detail });
  }

  /** Returns the job with the output in the present settings. */
  async finishOutput(format) {
    const query = parameters(this.settings, true);
    if (format) query.set("format", format);
    const key = String(query);
    if (this.output?.key === key) {
      const job = await getJson(`jobs/${this.output.id}`).catch(() => undefined);
      if (job && !job.problem) return job;
      this.output = undefined;
    }
    query.set("preview", SMALLEST);
    const { signal } = this.closing;
    const job = await this.withJob(async (first) => finish(await submit(first, "again", query, signal), signal));
    discard(this.output);
    this.output = { id: job.id, key };
    this.set({ notes: job.notes });
    return job;
  }

  /** The jobs that the server is to keep. */
  get jobs() {
    return [this.job, this.view?.id === this.job?.id ? undefined : this.view, this.output].filter(Boolean);
  }

  /** What the command line and this page read again (`--settings`). */
  sidecar(version) {
    const { model, hints, ...others } = this.settings;
    const options = { hints: hints.map(({ x, y, color }) => `${x},${y},${color}`) };
    for (const [name, value] of Object.entries(others)) if (value !== DEFAULTS[name]) options[name] = value;
    return { photochrom: version, photo: { name: this.name, width: this.width, height: this.height }, model, options };
  }

  close() {
    this.closing.abort();
    this.predicting?.abort();
    for (const job of this.jobs) discard(job);
  }
}

/** The parameters that predictions which are compared with each other share. */
const situation = (query) => JSON.stringify([query.get("page"), query.getAll("hint").sort()]);

/** Reads a picture of the server, made small where `longest` says so. */
async function readLight(address, longest = Infinity) {
  const bitmap = await createImageBitmap(await (await request(address)).blob());
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return new Light(context.getImageData(0, 0, width, height));
}

/** The settings of a sidecar, within `limits`. Throws an Error for another file. */
export function readSidecar(text, limits) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    content = undefined;
  }
  const { photo, model, options } = content ?? {};
  if (!content?.photochrom || typeof model !== "string" || typeof options !== "object" || !options) {
    throw new Error("This JSON file has no settings of Photochrom.");
  }
  const settings = { ...DEFAULTS, model };
  for (const [name, value] of Object.entries(options)) {
    if (name === "hints") settings.hints = readHints(value);
    else if (!(name in DEFAULTS)) throw new Error(`The page has no option ${name}; the command line may have it.`);
    else if (name === "solver") settings.solver = String(value);
    else if (typeof value !== "number" || value < (limits[name]?.[0] ?? 1) || value > (limits[name]?.[1] ?? Infinity)) {
      throw new Error(`${name} ${value}: must be a number from ${limits[name]?.join(" to ") ?? "1"}.`);
    } else settings[name] = value;
  }
  return { name: typeof photo?.name === "string" ? photo.name : "", settings: Object.freeze(settings) };
}

function readHints(hints) {
  if (!Array.isArray(hints)) throw new Error("The hints are no list.");
  return hints.map((hint) => {
    const [, x, y, color] = /^\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*#?([0-9a-f]{6})\s*$/i.exec(hint) ?? [];
    if (!color) throw new Error(`Hint ${hint}: must be x,y,#rrggbb.`);
    return { x: Number(x), y: Number(y), color: `#${color.toLowerCase()}` };
  });
}
