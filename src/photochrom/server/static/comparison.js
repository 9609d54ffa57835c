// Predictions of models and variants side by side, which zoom together.

import { count, create, find, render, say } from "./dom.js";
import { DEFAULTS } from "./photo.js";

const VARIANTS = 4;

/** The sampler of a model that settings name, or its own: which options it has, and whether it is stochastic. */
export const samplerFor = (model, { solver }) => model.solvers[solver] ?? model;

/** Settings for a model, without the options that it does not have. */
export function settingsFor(settings, model) {
  const solver = model.solvers[settings.solver] ? settings.solver : "";
  const { options, stochastic } = samplerFor(model, settings);
  const others = Object.fromEntries(["steps", "eta", "temperature"].filter((name) => !options.includes(name)).map((name) => [name, ""]));
  const { seed, near, distance } = stochastic ? settings : DEFAULTS;
  return { ...settings, ...others, solver, model: model.name, seed, near, distance };
}

/** The radio button of a model. */
export function modelChoice({ name, summary, family }) {
  const [label, text] = [create("label"), create("span")];
  text.append(create("b", { textContent: name }), summary || family);
  label.append(create("input", { type: "radio", name: "model", value: name }), text);
  return label;
}

export class Comparison {
  /** `current` returns the photo that is shown, `models` those of the server; `onChoice` is called after a choice. */
  constructor(viewer, current, models, onChoice) {
    Object.assign(this, { viewer, current, models, onChoice, panes: [], nextSeed: 1000 });
  }

  /** Shows what each model predicts. */
  askAll() {
    const { settings } = this.current();
    const requests = this.models().map((model) => {
      return [settingsFor({ ...settings, near: "" }, model), samplerFor(model, settings).stochastic ? VARIANTS : 1];
    });
    return this.ask(settings.near === "" ? requests : [[settings, 1], ...requests]);
  }

  /** Shows predictions that are close to one of a stochastic model, with other seeds each time. */
  askSimilar({ model: name, seed }) {
    this.nextSeed += VARIANTS;
    const model = this.models().find((other) => other.name === name);
    return this.ask([[settingsFor({ ...this.current().settings, seed: this.nextSeed, near: seed }, model), VARIANTS]]);
  }

  /** Shows predictions with several settings, each with a number of variants, as they come. */
  async ask(requests) {
    const photo = this.current();
    this.cancel();
    this.key = photo.key;
    const asking = new AbortController();
    this.asking = asking;
    find("#compare").textContent = "Cancel comparison";
    const [predictions, problems] = [[], []];
    const report = (end) => say([`${count(predictions.flat().length, "prediction")}${end}`, ...problems].join(" "));
    report(" so far.");
    await Promise.all(requests.map(async ([settings, variants], index) => {
      try {
        predictions[index] = await photo.ask(settings, variants, asking.signal);
      } catch (error) {
        problems.push(error.message);
      }
      if (asking.signal.aborted) return;
      report(" so far.");
      if (predictions[index]) this.add(photo, predictions[index], predictions.flat().length === predictions[index].length);
    }));
    if (asking.signal.aborted) return;
    this.cancel();
    report(": choose one.");
  }

  get isAsking() {
    return Boolean(this.asking);
  }

  /** Gives up what models have not predicted yet. */
  cancel() {
    this.asking?.abort();
    this.asking = undefined;
    find("#compare").textContent = "Compare models and variants";
  }

  /** Adds predictions to those that are shown, or replaces these. */
  add(photo, predictions, isNew) {
    if (isNew) this.clear();
    const added = predictions.map((prediction) => this.pane(photo, prediction));
    this.panes.push(...added);
    find("#single").hidden = true;
    find("#end-comparison").hidden = false;
    const { stage } = this.viewer;
    const number = this.panes.length;
    const ratio = (number * stage.clientWidth * photo.height) / (stage.clientHeight * photo.width);
    stage.style.setProperty("--columns", Math.min(Math.max(1, Math.round(Math.sqrt(ratio))), number));
    stage.classList.add("comparing");
    stage.append(...added.map(({ tile }) => tile));
    this.draw();
    if (!isNew) return this.viewer.place();
    this.viewer.reset();
    find(".choose", this.panes[0].tile).focus();
  }

  pane(photo, prediction) {
    const model = this.models().find(({ name }) => name === prediction.model);
    const { stochastic } = samplerFor(model, photo.settings);
    const title = stochastic ? `${model.name}, seed ${prediction.seed}` : model.name;
    const [tile, pane, row] = ["tile", "pane", "row"].map((className) => create("div", { className }));
    const canvas = create("canvas", { className: "picture after", role: "img", ariaLabel: title });
    const choice = create("button", { type: "button", className: "choose", textContent: `Choose ${title}` });
    choice.onclick = () => {
      this.end();
      photo.update(settingsFor({ ...photo.settings, seed: prediction.seed, near: prediction.near }, model));
      this.onChoice();
    };
    row.append(choice);
    if (stochastic && prediction.near === "") {
      const similar = create("button", { type: "button", textContent: "More like this" });
      similar.onclick = () => this.askSimilar(prediction);
      row.append(similar);
    }
    pane.append(canvas);
    tile.append(pane, row);
    return { tile, canvas, prediction };
  }

  /** Renders the panes in the present grading. */
  draw() {
    const photo = this.current();
    for (const { canvas, prediction } of this.panes) render(canvas, photo.light, photo.graded(prediction));
  }

  clear() {
    for (const { tile } of this.panes) tile.remove();
    this.panes = [];
  }

  /** Shows the photo alone again, where predictions are compared, or where they are of other settings than the photo's. */
  end(photo) {
    if (photo?.key === this.key || !(this.isAsking || this.panes.length)) return;
    this.cancel();
    this.clear();
    say("");
    find("#single").hidden = false;
    find("#end-comparison").hidden = true;
    this.viewer.stage.classList.remove("comparing");
    this.viewer.place();
  }
}
