// The page: each photograph is an article, each request one of the HTTP interface that /openapi.json describes.

const AT_ONCE = 2; // photographs that this page has under way
const MOST = 1000; // photographs in a zip
const LOOK = 300; // milliseconds between two looks at one
const KEEP = 300_000; // milliseconds between two looks at those that are done, lest they be forgotten
const find = (selector, within = document) => within.querySelector(selector);
const wishes = find("#wishes");
const waiting = [];
const photos = new Set();
let models = [];
let busy = 0;

const inside = (value) => Math.min(0.9999, Math.max(0, value));
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const say = (text) => (find("#said").textContent = text);

/** The answer to a request, or an Error with the sentence that says why there is none. */
async function ask(address, options) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(address, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      await options?.body?.slice(0, 1).arrayBuffer().catch(() => { throw new Error("It cannot be read (any more)."); });
      throw new Error("Nobody answers: is `photochrom web` still running?");
    }
    if (answer.ok) return answer;
    const why = (await answer.json().catch(() => ({}))).detail ?? `The answer was ${answer.status}.`;
    if (answer.status !== 429) throw Object.assign(new Error(why), { status: answer.status });
    say(`${why} Trying again.`);
    await sleep(1000 * Number(answer.headers.get("Retry-After") ?? 10));
  }
}

/** What is set above, as the interface takes it. */
function asked() {
  const chosen = models.find((model) => model.name === find("input[name=model]:checked").value);
  const query = new URLSearchParams({ model: chosen.name, saturation: find("#saturation").value });
  const fits = { variants: chosen.stochastic, seed: chosen.stochastic, steps: chosen.told.includes("steps"),
    temperature: chosen.told.includes("temperature") };
  for (const [name, fit] of Object.entries(fits)) {
    if (fit && find(`#${name}`).value) query.set(name, find(`#${name}`).value);
  }
  return query;
}

class Photo {
  static count = 0;

  constructor(file) {
    this.file = file;
    this.pins = [];
    this.at = { x: 0.5, y: 0.5 };
    this.article = find("#photo").content.firstElementChild.cloneNode(true);
    const title = Object.assign(this.part("h3"), { id: `photo-${(Photo.count += 1)}`, textContent: file.name });
    this.article.setAttribute("aria-labelledby", title.id);
    for (const part of [".again", ".pin", ".remove", ".divide", "progress", ".variants"]) {
      this.part(part).setAttribute("aria-describedby", title.id);
    }
    this.state("Waiting");
    this.part(".divide").oninput = (event) => this.show(event.target.value);
    this.part(".remove").onclick = () => this.remove();
    this.part(".again").onclick = () => wishes.reportValidity() && start(this);
    this.part(".pin").onclick = () => this.pinning(this.part(".place").hidden);
    this.part(".place").onclick = (event) => this.pin(event);
    this.part(".place").onkeydown = (event) => this.move(event);
    find("#photos").prepend(this.article);
    photos.add(this);
  }

  part(selector) {
    return find(selector, this.article);
  }

  state(text) {
    const state = this.part(".state");
    if (state.textContent !== text) state.textContent = text; // a screen reader hears each change
  }

  /** Send it, or have it coloured once more, and stay with it until it is done. */
  async run() {
    this.running = true;
    this.stale = false;
    const query = asked();
    for (const pin of this.pins) query.append("hint", `${pin.x},${pin.y},${pin.color}`);
    this.stop = new AbortController();
    this.part(".problem").hidden = true;
    this.part("progress").hidden = false;
    this.part("progress").removeAttribute("value");
    this.part(".remove").textContent = "Cancel";
    this.part(".again").disabled = true;
    const before = this.job;
    try {
      this.state(before ? "Asking" : "Sending");
      this.next = await this.begin(query);
      while (["queued", "working"].includes(this.next.state)) {
        this.state(this.next.state === "queued" ? `Waiting: ${this.next.ahead} before it` : "Colouring");
        if (this.next.copies.length) this.part("progress").value = this.next.copies.length / this.next.seeds.length;
        await sleep(LOOK);
        this.next = await (await ask(`jobs/${this.next.id}`, { signal: this.stop.signal })).json();
      }
      if (this.next.problem) throw new Error(this.next.problem);
      this.job = this.next;
      this.done();
      if (before) forget(before);
    } catch (error) {
      if (this.next && this.next !== this.job) forget(this.next);
      if (!photos.has(this)) return;
      this.state(this.job ? "As it was before" : "Not coloured");
      if (error.name === "AbortError") return;
      this.part(".problem").textContent = error.message.replace(/^photograph(?=:)/, () => this.file.name);
      this.part(".problem").hidden = false;
    } finally {
      this.next = undefined;
      this.running = false;
      this.part("progress").hidden = true;
      this.part(".again").disabled = false;
      this.part(".remove").textContent = "Remove";
      everything();
      if (this.stale && photos.has(this)) start(this);
    }
  }

  /** A new job: of the photograph that is there, or sent where it is not, or not any more. */
  async begin(query) {
    const options = { method: "POST", signal: this.stop.signal };
    if (this.job) {
      try {
        return await (await ask(`jobs/${this.job.id}/again?${query}`, options)).json();
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    }
    query.set("name", this.file.name);
    return (await ask(`jobs?${query}`, { ...options, body: this.file })).json();
  }

  done() {
    const { job } = this;
    this.state(`In colour: ${job.width} × ${job.height} pixels, ${job.seconds.toFixed(1)} seconds`);
    this.part(".before").src = job.before;
    this.part(".compare").hidden = this.part(".after-it").hidden = false;
    this.part(".variants").replaceChildren(...job.copies.map((copy) => this.choice(copy)));
    this.part(".variants").hidden = job.copies.length < 2;
    this.choose(job.copies.find((copy) => copy.seed === this.seed) ?? job.copies[0]);
    this.show(this.part(".divide").value);
  }

  choice(copy) {
    const button = document.createElement("button");
    const picture = Object.assign(new Image(), { src: copy.preview, alt: "" });
    button.type = "button";
    button.append(picture, `Seed ${copy.seed}`);
    button.dataset.seed = copy.seed;
    button.onclick = () => this.choose(copy);
    return button;
  }

  choose(copy) {
    this.seed = copy.seed;
    this.part(".after").src = copy.preview;
    Object.assign(this.part(".save"), { href: copy.photo, download: copy.name });
    this.part(".save").textContent = `Download ${copy.name}`;
    for (const button of this.part(".variants").children) {
      button.setAttribute("aria-pressed", button.dataset.seed === String(copy.seed));
    }
  }

  show(percent) {
    this.part(".compare").style.setProperty("--at", `${percent}%`);
    this.part(".divide").setAttribute("aria-valuetext", `${percent}% in colour, from the left`);
  }

  pinning(begin) {
    this.part(".pin").setAttribute("aria-pressed", begin);
    this.part(".place").hidden = this.part(".cross").hidden = !begin;
    if (begin) {
      this.show(100);
      this.cross();
      this.part(".place").focus();
    } else {
      this.show(this.part(".divide").value);
      this.part(".pin").focus();
    }
  }

  cross() {
    this.part(".compare").style.setProperty("--x", `${this.at.x * 100}%`);
    this.part(".compare").style.setProperty("--y", `${this.at.y * 100}%`);
  }

  move(event) {
    const step = event.shiftKey ? 0.1 : 0.01;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (event.key === "Escape") this.pinning(false);
    if (x === undefined) return;
    event.preventDefault();
    this.at = { x: inside(this.at.x + x * step), y: inside(this.at.y + y * step) };
    this.cross();
    say(`${Math.round(this.at.x * 100)}% from the left, ${Math.round(this.at.y * 100)}% from the top`);
  }

  /** A click, or Enter at the cross, pins the colour there and colours again. */
  pin(event) {
    if (event.detail) {
      const box = event.target.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.at = { x: inside(x), y: inside(y) };
    }
    const [x, y] = [Math.floor(this.at.x * this.job.width), Math.floor(this.at.y * this.job.height)];
    this.pins.push({ x, y, color: this.part(".color").value });
    this.pinning(false);
    this.pinned();
    start(this);
  }

  pinned() {
    this.part(".pins").replaceChildren(...this.pins.map((pin) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `Unpin ${pin.color} at ${pin.x}, ${pin.y}`;
      button.onclick = () => {
        this.pins = this.pins.filter((other) => other !== pin);
        this.pinned();
        this.part(".pin").focus();
        start(this);
      };
      item.append(button);
      return item;
    }));
  }

  remove() {
    this.stop?.abort();
    if (this.running && this.job) return; // only what is being asked for is cancelled
    photos.delete(this);
    if (this.job) forget(this.job);
    const beside = this.article.nextElementSibling ?? this.article.previousElementSibling;
    (beside ? find(".remove", beside) : find("#files")).focus();
    this.article.remove();
    everything();
  }
}

function forget(job) {
  fetch(`jobs/${job.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

/** Take a photograph in turn; one that is under way is taken again after. */
async function start(photo) {
  if (photo.running) photo.stale = true;
  if (photo.running || waiting.includes(photo)) return;
  waiting.push(photo);
  photo.state("Waiting");
  if (busy >= AT_ONCE) return;
  busy += 1;
  try {
    while (waiting.length) {
      const next = waiting.shift();
      if (photos.has(next)) await next.run();
    }
  } finally {
    busy -= 1;
  }
}

/** What concerns all photographs: how many are done, and where all are. */
function everything() {
  const done = [...photos].filter((photo) => photo.job);
  const query = new URLSearchParams(done.slice(-MOST).map((photo) => ["job", photo.job.id]));
  find("#all").hidden = done.length < 2 && !done.some((photo) => photo.job.copies.length > 1);
  find("#all a").href = `archive?${query}`;
  say(photos.size ? `${done.length} of ${photos.size} photographs in colour` : "");
}

function take(files) {
  if (!models.length) return say("The models are not known yet: try again in a moment.");
  if (wishes.reportValidity()) for (const file of files) start(new Photo(file));
}

function fit() {
  const chosen = models.find((model) => model.name === find("input[name=model]:checked").value);
  for (const part of document.querySelectorAll("[data-for]")) {
    part.hidden = !(part.dataset.for === "stochastic" ? chosen.stochastic : chosen.told.includes(part.dataset.for));
    find("input", part).disabled = part.hidden; // what is not asked for need not be right
  }
  find("#wishes output").textContent = find("#saturation").value;
}

function choice(model, first) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "model", value: model.name });
  input.checked = first;
  const [text, name] = [document.createElement("span"), document.createElement("b")];
  name.textContent = model.name;
  text.append(name, model.summary || model.family);
  label.append(input, text);
  return label;
}

const drop = find("#drop");
document.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
document.ondragleave = () => drop.classList.remove("over");
document.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); };
document.onpaste = (event) => take(event.clipboardData.files);
find("#files").onchange = (event) => { take(event.target.files); event.target.value = ""; };
wishes.oninput = fit;
wishes.onsubmit = (event) => event.preventDefault();
for (const button of document.querySelectorAll("[data-example]")) {
  button.onclick = async () => {
    const name = button.dataset.example;
    try {
      take([new File([await (await ask(name)).blob()], name)]);
    } catch (error) {
      say(error.message);
    }
  };
}
setInterval(() => { for (const { job } of photos) if (job) fetch(`jobs/${job.id}`).catch(() => {}); }, KEEP);
window.onpageshow = (event) => event.persisted && location.reload();
window.onpagehide = () => { for (const photo of photos) for (const job of [photo.job, photo.next]) if (job) forget(job); };

try {
  models = await (await ask("models")).json();
  find("#models").append(...models.map((model, index) => choice(model, index === 0)));
  fit();
} catch (error) {
  say(error.message);
}
