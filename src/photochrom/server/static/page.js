// The page: a film strip of photos, a stage for the one that is shown, and its settings. photo.js holds the photos.

import { addressOf, events, getJson, request } from "./api.js";
import { Comparison, modelChoice, samplerFor, settingsFor } from "./comparison.js";
import { count, create, draw, find, findAll, render, say } from "./dom.js";
import { droppedFiles } from "./dropping.js";
import { Film, isFilm, showFilm } from "./film.js";
import { Hints } from "./hints.js";
import * as memory from "./memory.js";
import { DEFAULTS, NEUTRAL, Photo, readSidecar } from "./photo.js";
import { save, saveAll, saveSettings } from "./saving.js";
import { Viewer } from "./viewer.js";

const PARALLEL = 2; // photos that are uploaded or opened at once
const KEEP_ALIVE = 300; // seconds, at most, between requests that keep photos on the server
const MAX_DIFFERENCE = 40; // Lab units, shown in full red
const STATES = { waiting: "Waiting", failed: "Failed" };

let [models, limits, version, current, opening] = [[], {}, "", undefined, 0];
const photos = [];
const waiting = [];
const settingsByName = new Map(); // of sidecars that came before their photos
const early = []; // files that came before the models are known
let notice = ""; // that stays until photos are added or removed

events.busy = say;

const viewer = new Viewer(
  find("#stage"),
  () => current?.loadDetail().catch((error) => say(error.message)),
  (scale) => { find("#zoom").textContent = `${Math.round(scale * devicePixelRatio * 100)}%`; },
);
const hints = new Hints(viewer, () => current, () => models, say, (photo) => photos.includes(photo) && (choose(photo), true));
const comparison = new Comparison(viewer, () => current, () => models, () => { showSettings(); find("#stage").focus(); });

// Photos come and go

function add(files) {
  if (!models.length) {
    early.push(...files);
    return say("The models are not known yet: the photos wait.");
  }
  notice = "";
  const sidecars = [...files].filter(({ name }) => name.endsWith(".json"));
  for (const file of sidecars) openSidecar(file);
  for (const file of files) {
    const Kind = isFilm(file) ? Film : Photo;
    if (!sidecars.includes(file)) insert(new Kind(file.name, file, firstSettings(file.name), refresh));
  }
}

/** Those of a sidecar, else the model and its options of the photo that is shown. */
function firstSettings(name) {
  const own = { ...(current?.settings ?? { ...DEFAULTS, model: models[0].name }), ...NEUTRAL, page: "", hints: [] };
  return Object.freeze(settingsByName.get(name) ?? own);
}

async function openSidecar(file) {
  try {
    const { name, settings } = readSidecar(await file.text(), limits);
    if (!models.some((model) => model.name === settings.model)) throw new Error(`The server has no model ${settings.model}.`);
    settingsByName.set(name, settings);
    const known = photos.filter((photo) => photo.name === name);
    for (const photo of known) photo.update(settings);
    if (current) showSettings();
    say(known.length ? `Settings of ${name} opened.` : `Settings opened: now add ${name}.`);
  } catch (error) {
    say(`${file.name}: ${error.message}`);
  }
}

function insert(photo) {
  photos.push(photo);
  const [item, button, canvas, label] = [create("li"), create("button", { type: "button" }), create("canvas"), create("span")];
  button.onclick = () => choose(photo);
  button.append(canvas, create("span", { textContent: photo.name }), label);
  item.append(button);
  Object.assign(photo, { item, button, canvas, label });
  find("#strip ul").append(item);
  if (!current) choose(photo);
  refresh(photo);
  if (photo !== current) refresh(current); // which has a neighbor now
  open(photo);
}

/** Opens a photo, a few at a time. */
async function open(photo) {
  waiting.push(photo);
  if (opening >= PARALLEL) return;
  opening += 1;
  while (waiting.length) {
    const next = waiting.shift();
    if (photos.includes(next)) await next.open();
    next.following?.then(summarize);
    summarize();
  }
  opening -= 1;
}

function summarize() {
  const number = (wanted) => photos.filter(({ state }) => state === wanted).length;
  const failed = number("failed") ? `, ${number("failed")} failed` : "";
  say([photos.length && `${number("done")} of ${count(photos.length, photos.some((photo) => photo.isFilm) ? "file" : "photo")} colorized${failed}.`, notice].filter(Boolean).join(" "));
}

function choose(photo) {
  comparison.end();
  const before = current;
  current = photo;
  if (before !== photo) before?.unload();
  find("#empty").hidden = Boolean(photo);
  find("#work").hidden = find("#actions").hidden = !photo;
  if (!photo) return;
  hints.close();
  if (photo.isFilm) hints.start(false);
  if (!hints.dropping) summarize();
  isNew = true;
  showSettings();
  refresh(photo);
  const { item } = photo;
  find("#strip").scrollLeft = item.offsetLeft - (find("#strip").clientWidth - item.offsetWidth) / 2;
}

const neighbor = (step) => photos[photos.indexOf(current) + step];

async function remove(gone) {
  const unsaved = gone.filter((photo) => photo.prediction && !photo.isSaved);
  if (unsaved.length && !(await confirmRemoval(unsaved))) return;
  const next = gone.includes(current) ? [...photos.slice(photos.indexOf(current)), ...[...photos].reverse()] : [current];
  for (const photo of gone) {
    photo.close();
    photo.item.remove();
    photos.splice(photos.indexOf(photo), 1);
    memory.forget(photo);
  }
  choose(next.find((photo) => photos.includes(photo)));
  find(current ? "#strip [aria-current=true]" : "#files").focus();
  memory.store(photos);
  summarize();
}

async function confirmRemoval(unsaved) {
  const what = unsaved.length === 1 ? `${unsaved[0].name} is` : `${unsaved.length} photos are`;
  find("#question").textContent = `${what} not downloaded in the present colors. Remove?`;
  const dialog = find("#confirm");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return dialog.returnValue === "yes";
}

// Showing

let isNew = true;
let frame = 0;
let announced = ""; // state of the photo that is shown

/** Called after each change of a photo. */
function refresh(photo) {
  if (!photos.includes(photo)) return;
  if (photo === current && photo.isOpen && photo.state === "done" && announced === "working") say("Colorized.");
  if (photo === current) announced = photo.state;
  const done = photo.isSaved ? "Downloaded" : "Colorized";
  photo.label.textContent = STATES[photo.state] ?? (photo.state === "working" ? photo.step : done);
  photo.label.className = photo.state;
  for (const other of photos) {
    other.button.setAttribute("aria-current", other === current);
    other.button.tabIndex = other === current ? 0 : -1;
  }
  if (photo.thumb && photo.prediction) draw(photo.canvas, photo.thumb.show(photo.graded()));
  memory.store(photos);
  if (photo === current) {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(show);
  }
}

function show() {
  const photo = current;
  if (!photo) return;
  comparison.end(photo);
  showState(photo);
  find("#undo").disabled = photo.position === 0;
  find("#redo").disabled = photo.position === photo.history.length - 1;
  find("#previous").disabled = !neighbor(-1);
  find("#next").disabled = !neighbor(1);
  for (const button of findAll("#save, #save-settings, #compare, #place")) button.disabled = !photo.prediction;
  find("#apply").hidden = find("#save-all").hidden = find("#remove-all").hidden = photos.length < 2;
  photo.load();
  find("#work").classList.toggle("film", Boolean(photo.isFilm));
  showFilm(photo.isFilm ? photo : undefined);
  find("#remake").disabled = !photo.isFilm || photo.state !== "done" || photo.key === photo.made;
  const isShown = Boolean(photo.prediction && (photo.isFilm || photo.light));
  find("#single").classList.toggle("blank", !isShown);
  find("#blank").textContent = isShown ? "" : photo.problem || (photo.state === "done" ? "Loading" : photo.label.textContent);
  const isComparing = comparison.panes.length > 0;
  for (const input of findAll("#view :is(button, input)")) if (input.id !== "previous" && input.id !== "next") input.disabled = !isShown;
  for (const input of findAll("#original, #differ, #divider")) input.disabled = !isShown || isComparing;
  if (!isShown) return;
  if (isComparing) return comparison.draw();
  if (photo.isFilm) {
    viewer.show(photo.width, photo.height, photo.width, isNew, true);
    isNew = false;
    return;
  }
  const light = (!sliding && photo.detail) || photo.light;
  render(find("#single .after"), light, photo.graded());
  render(find(".before"), light);
  find("#single .after").setAttribute("aria-label", `${photo.name}, colorized by ${photo.prediction.model}`);
  viewer.show(photo.width, photo.height, light.width, isNew);
  isNew = false;
  if (hints.target) hints.outline(hints.target.place);
  else if (isPressed("#differ")) showDisagreement(photo);
  else hints.outline();
}

function showState(photo) {
  const size = photo.width ? `${photo.width} × ${photo.height} pixels` : "";
  find("#name").textContent = photo.name;
  find("#state").textContent = [photo.label.textContent, size].filter(Boolean).join(", ");
  find("#working").hidden = photo.state !== "working";
  if (photo.progress === undefined) find("#progress").removeAttribute("value");
  else find("#progress").value = photo.progress;
  find("#problem").hidden = !photo.problem;
  if (find("#problem").textContent !== photo.problem) find("#problem").textContent = photo.problem;
  const failed = photos.filter(({ state }) => state === "failed");
  find("#retry").hidden = photo.state !== "failed";
  find("#retry button").textContent = failed.length > 1 ? `Try again with all ${failed.length} that failed` : "Try again";
  find("#notes").hidden = !photo.notes.length;
  find("#notes").replaceChildren(...photo.notes.map((note) => create("li", { textContent: `${note[0].toUpperCase()}${note.slice(1)}.` })));
}

function showDisagreement(photo) {
  const map = photo.disagreement();
  hints.draw();
  if (!map) return say("There is only one prediction with these hints: compare models and variants first.");
  const image = new ImageData(map.width, map.height);
  map.values.forEach((value, pixel) => image.data.set([230, 0, 60, Math.min(1, value / MAX_DIFFERENCE) * 220], 4 * pixel));
  return draw(find(".overlay"), image);
}

const isPressed = (selector) => find(selector).getAttribute("aria-pressed") === "true";

function press(selector, isOn) {
  find(selector).setAttribute("aria-pressed", isOn);
  if (selector === "#original") find("#stage").classList.toggle("original", isOn);
  if (current) refresh(current);
}

function split(percent) {
  find("#divider").value = percent;
  find("#divider").setAttribute("aria-valuetext", `${Math.round(percent)}% colorized, from the left`);
  find("#stage").style.setProperty("--at", percent);
}

// Settings

function showSettings() {
  const { settings } = current;
  const model = models.find(({ name }) => name === settings.model) ?? models[0];
  const sampler = samplerFor(model, settings);
  showSolvers(model);
  for (const input of findAll("#panel input[name]:not([name=model]), #panel select[name]")) {
    input.value = settings[input.name];
    const output = find("output", input.parentElement);
    if (output) output.textContent = `${input.name === "warmth" && settings.warmth > 0 ? "+" : ""}${settings[input.name]}`;
  }
  for (const input of findAll("input[name=model]")) input.checked = input.value === model.name;
  for (const part of findAll("[data-for]")) {
    part.hidden = !(part.dataset.for === "stochastic" ? sampler.stochastic : sampler.options.includes(part.dataset.for));
  }
  find("[name=distance]").parentElement.hidden = settings.near === "";
  hints.draw();
}

function showSolvers(model) {
  const choice = find("[name=solver]");
  if (choice.dataset.model === model.name) return;
  const names = Object.keys(model.solvers).map((name) => create("option", { textContent: name }));
  choice.replaceChildren(create("option", { value: "", textContent: "model default" }), ...names);
  choice.dataset.model = model.name;
}

let sliding = "";

/** Changes settings by an input of the panel. While a slider is dragged, all its changes are one step. */
function onInput({ target, type }) {
  const { name } = target;
  if (!name || !current) return;
  if (target.type === "range") {
    current.change({ [name]: Number(target.value) }, sliding !== name);
    sliding = type === "input" ? name : "";
    refresh(current);
  } else if (type === "input") return;
  else if (target.reportValidity()) {
    const isText = ["model", "solver"].includes(name);
    const settings = { ...current.settings, [name]: isText ? target.value : Number(target.value) };
    if (target.value === "") settings[name] = DEFAULTS[name];
    current.update(settingsFor(settings, models.find((model) => model.name === settings.model)));
  }
  showSettings();
}

function travel(steps) {
  if (!current) return;
  current.travel(steps);
  showSettings();
}

function applyToAll() {
  const shared = { ...current.settings };
  for (const name of ["hints", "page"]) delete shared[name];
  for (const photo of photos) if (photo !== current) photo.update(shared);
  say(`Settings applied to ${count(photos.length - 1, "other photo")}, each of which has its own undo; color hints stay with their photos.`);
}

// Wiring

const actions = {
  "#undo": () => travel(-1),
  "#redo": () => travel(1),
  "#keys": () => find("#help").showModal(),
  "#previous": () => choose(neighbor(-1)),
  "#next": () => choose(neighbor(1)),
  "#original": () => press("#original", !isPressed("#original")),
  "#differ": () => press("#differ", !isPressed("#differ")),
  "#smaller": () => viewer.zoom(1 / 1.5),
  "#larger": () => viewer.zoom(1.5),
  "#fit": () => viewer.reset(),
  "#pixels": () => viewer.zoomTo(1 / devicePixelRatio),
  "#full": toggleFullScreen,
  "#neutral": () => { current.change(NEUTRAL); showSettings(); },
  "#compare": () => { if (comparison.isAsking) comparison.cancel(); else comparison.askAll(); },
  "#end-comparison": () => { comparison.end(); refresh(current); find("#stage").focus(); },
  "#save": () => save(current),
  "#save-all": () => saveAll(photos, limits.job[1]),
  "#save-settings": () => saveSettings(current, version),
  "#apply": applyToAll,
  "#remove": () => remove([current]),
  "#remove-all": () => remove([...photos]),
  "#stop": stop,
  "#remake": () => current.remake(),
  "#retry button": () => { for (const photo of photos) if (photo.state === "failed") open(photo); find("#stage").focus(); },
};
for (const [selector, action] of Object.entries(actions)) find(selector).onclick = action;

find("#full").hidden = !document.fullscreenEnabled;

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

function stop() {
  if (!current.prediction) {
    notice = `${current.name} is canceled and removed.`;
    return remove([current]);
  }
  current.cancel();
  showSettings();
  find("#stage").focus();
}

find("#divider").oninput = ({ target }) => split(target.value);
find(".line").onpointerdown = (down) => {
  down.stopPropagation();
  find(".line").setPointerCapture(down.pointerId);
  find(".line").onpointermove = (event) => split(100 * Math.min(1, Math.max(0, viewer.locate(event).x)));
  find(".line").onpointerup = () => { find(".line").onpointermove = null; };
};
find("#panel").addEventListener("input", onInput);
find("#panel").addEventListener("change", onInput);
find("#stage").onkeydown = (event) => {
  if (event.key === "Escape" && comparison.panes.length) actions["#end-comparison"]();
  else if (event.target !== find("#stage") || event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key.toLowerCase() === "h") press("#original", true);
  else if (event.key.toLowerCase() === "f") toggleFullScreen();
  else if (!hints.key(event) && !viewer.key(event)) return;
  event.preventDefault();
};
find("#stage").onkeyup = (event) => event.key.toLowerCase() === "h" && press("#original", false);
find("#stage").addEventListener("focusout", ({ target }) => target === find("#stage") && press("#original", false));
find("#strip").onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || !neighbor(step)) return;
  event.preventDefault();
  choose(neighbor(step));
  current.button.focus();
};
document.onkeydown = (event) => {
  if (find("dialog[open]") || event.target.matches("input[type=number]")) return;
  const step = !event.target.matches("#panel *, input") && { PageUp: -1, PageDown: 1 }[event.key];
  const key = event.ctrlKey || event.metaKey ? event.key.toLowerCase() : "";
  if (step && neighbor(step)) choose(neighbor(step));
  else if (key === "z") travel(event.shiftKey ? 1 : -1);
  else if (key === "y") travel(1);
  else return;
  event.preventDefault();
};
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = () => document.body.classList.remove("over");
document.ondrop = async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  try {
    const { files, passed } = await droppedFiles(event.dataTransfer);
    add(files);
    if (passed) notice = `${count(passed, "file")} in folders ${passed === 1 ? "is no photo and was" : "are no photos and were"} passed over.`;
    summarize();
  } catch (error) {
    say(error.message);
  }
};
document.onpaste = (event) => add(event.clipboardData.files);
find("#files").onchange = (event) => { add(event.target.files); event.target.value = ""; };
for (const button of findAll("[data-example]")) {
  button.onclick = async () => {
    const name = button.dataset.example;
    try {
      add([new File([await (await request(name)).blob()], name)]);
    } catch (error) {
      say(error.message);
    }
  };
}
window.onbeforeunload = (event) => { if (photos.some(({ job, file }) => file && !job)) event.preventDefault(); };

/** Returns a job; undefined for one that the server has deleted. */
async function askForJob(id, route = "jobs") {
  try {
    return id && (await getJson(`${route}/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    return undefined;
  }
}

/** Shows the photos of the last visit again, those that the server still has. */
async function restore() {
  const [entries, lost] = [memory.read(), []];
  const stored = await Promise.all(entries.map(({ job, view, isFilm: wasFilm }) => {
    const asked = askForJob(job, wasFilm ? "films" : "jobs");
    return Promise.all([asked, view?.id === job ? asked : askForJob(view?.id)]);
  }));
  for (const [index, [job, view]] of stored.entries()) {
    const { settings, saved, output, made, view: { page } = {}, ...entry } = entries[index];
    if (!job || job.problem) lost.push(entry.job);
    else {
      const photo = new (entry.isFilm ? Film : Photo)(entry.name, undefined, Object.freeze({ ...DEFAULTS, ...settings }), refresh);
      insert(Object.assign(photo, { job, saved, output, made, restored: page === photo.settings.page ? view : undefined }));
    }
  }
  memory.begin(lost);
  memory.store(photos);
  if (lost.length) notice = `${count(lost.length, "photo")} of the last visit ${lost.length === 1 ? "is" : "are"} no longer on the server.`;
  summarize();
}

try {
  // The token is a cookie from now on.
  if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", location.pathname);
  limits = await getJson("limits");
  hints.limit = limits.hint[1];
  for (const input of findAll("#panel input[name]")) if (limits[input.name]) [input.min, input.max] = limits[input.name];
  models = await getJson("models");
  find("#models").append(...models.map(modelChoice));
  const health = await getJson("health");
  version = health.version;
  find("#retention").textContent = `, or for ${Math.round(health.retention / 360) / 10} hours after this page was last open`;
  const seconds = Math.min(KEEP_ALIVE, health.retention / 3);
  setInterval(() => {
    for (const job of photos.flatMap(({ jobs }) => jobs)) fetch(addressOf(job)).catch(() => {});
  }, 1000 * seconds);
  split(100);
  await restore();
  if (early.length) add(early);
} catch (error) {
  memory.begin([]);
  say(error.message);
}
