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
    return this.ask(this.models().map((model) => {
      return [settingsFor({ ...settings, near: "" }, model), samplerFor(model, settings).stochastic ? VARIANTS : 1];
    }));
  }

  /** Shows predictions that are close to one of a stochastic model, with other seeds each time. */
  askSimilar({ model: name, seed }) {
    this.nextSeed += VARIANTS;
    const model = this.models().find((other) => other.name === name);
    return this.ask([[settingsFor({ ...this.current().settings, seed: this.nextSeed, near: seed }, model), VARIANTS]]);
  }

  /** Shows predictions with several settings, each with a number of variants. */
  async ask(requests) {
    const photo = this.current();
    say("Asking the models.");
    find("#compare").disabled = true;
    const results = await Promise.allSettled(requests.map(([settings, variants]) => photo.ask(settings, variants)));
    find("#compare").disabled = false;
    photo.set({ state: "done" });
    if (photo !== this.current()) return;
    const predictions = results.flatMap(({ value }) => value ?? []);
    const problems = results.map(({ reason }) => reason?.message).filter(Boolean);
    say([predictions.length && `${count(predictions.length, "prediction")}: choose one.`, ...problems].filter(Boolean).join(" "));
    if (predictions.length) this.show(photo, predictions);
  }

  show(photo, predictions) {
    this.end();
    this.panes = predictions.map((prediction) => this.pane(photo, prediction));
    find("#single").hidden = true;
    find("#end-comparison").hidden = false;
    const { stage } = this.viewer;
    const ratio = (predictions.length * stage.clientWidth * photo.height) / (stage.clientHeight * photo.width);
    stage.style.setProperty("--columns", Math.min(Math.max(1, Math.round(Math.sqrt(ratio))), predictions.length));
    stage.classList.add("comparing");
    stage.append(...this.panes.map(({ pane }) => pane));
    this.draw();
    this.viewer.reset();
    find(".choose", this.panes[0].pane).focus();
  }

  pane(photo, prediction) {
    const model = this.models().find(({ name }) => name === prediction.model);
    const { stochastic } = samplerFor(model, photo.settings);
    const title = stochastic ? `${model.name}, seed ${prediction.seed}` : model.name;
    const [pane, row] = [create("div", { className: "pane" }), create("div", { className: "row choices" })];
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
    pane.append(canvas, row);
    return { pane, canvas, prediction };
  }

  /** Renders the panes in the present grading. */
  draw() {
    const photo = this.current();
    for (const { canvas, prediction } of this.panes) render(canvas, photo.light, photo.graded(prediction));
  }

  end() {
    if (!this.panes.length) return;
    for (const { pane } of this.panes) pane.remove();
    this.panes = [];
    find("#single").hidden = false;
    find("#end-comparison").hidden = true;
    this.viewer.stage.classList.remove("comparing");
    this.viewer.place();
  }
}
