// Each photo is an article; /openapi.json describes the requests.

const PARALLEL_JOBS = 2;
const POLL = 300; // milliseconds between requests for the state of a job
const KEEP_ALIVE = 300_000; // milliseconds between requests that keep photos alive
const find = (selector, within = document) => within.querySelector(selector);
const form = find("#options");
const waiting = [];
const photos = new Set();
let [models, limits, busy] = [[], {}, 0];

const clamp = (value) => Math.min(0.9999, Math.max(0, value));
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const show = (text) => (find("#message").textContent = text);

/** Returns the response to a request. Throws an Error whose message is for the user. */
async function request(address, options) {
  for (;;) {
    let response;
    try {
      response = await fetch(address, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      await options?.body?.slice(0, 1).arrayBuffer().catch(() => { throw new Error("The file cannot be read."); });
      throw new Error("The server does not respond: is `photochrom web` still running?");
    }
    if (response.ok) return response;
    const reason = (await response.json().catch(() => ({}))).detail ?? `The server responded ${response.status}.`;
    if (response.status !== 429) throw Object.assign(new Error(reason), { status: response.status });
    show(`${reason}. Trying again.`);
    await sleep(1000 * Number(response.headers.get("Retry-After") ?? 10));
  }
}

const model = () => models.find(({ name }) => name === find("input[name=model]:checked").value);

/** Returns the options of the form as query parameters. */
function parameters() {
  const query = new URLSearchParams({ model: model().name, saturation: find("#saturation").value });
  for (const input of document.querySelectorAll("[data-for] input:enabled, #page")) {
    if (input.value) query.set(input.name, input.value);
  }
  return query;
}

class Photo {
  static count = 0;

  constructor(file) {
    this.file = file;
    this.hints = [];
    this.cursor = { x: 0.5, y: 0.5 };
    this.article = find("#photo").content.firstElementChild.cloneNode(true);
    const title = Object.assign(this.part("h3"), { id: `photo-${(Photo.count += 1)}`, textContent: file.name });
    this.article.setAttribute("aria-labelledby", title.id);
    for (const part of [".again", ".add-hint", ".remove", ".divide", "progress", ".variants"]) {
      this.part(part).setAttribute("aria-describedby", title.id);
    }
    this.state("Waiting");
    this.part(".divide").oninput = (event) => this.split(event.target.value);
    this.part(".remove").onclick = () => this.remove();
    this.part(".again").onclick = () => form.reportValidity() && start(this);
    this.part(".add-hint").onclick = () => this.placeHint(this.part(".place").hidden);
    this.part(".place").onclick = (event) => this.addHint(event);
    this.part(".place").onkeydown = (event) => this.moveCursor(event);
    find("#photos").prepend(this.article);
    photos.add(this);
  }

  part(selector) {
    return find(selector, this.article);
  }

  state(text) {
    const state = this.part(".state");
    if (state.textContent !== text) state.textContent = text; // screen readers read each change
  }

  /** Uploads the photo, or colorizes it once more, and waits for the result. */
  async run() {
    this.running = true;
    this.outdated = false;
    const query = parameters();
    for (const hint of this.hints) query.append("hint", `${hint.x},${hint.y},${hint.color}`);
    this.stop = new AbortController();
    this.part(".problem").hidden = true;
    this.part("progress").hidden = false;
    this.part("progress").removeAttribute("value");
    this.part(".remove").textContent = "Cancel";
    this.part(".again").disabled = true;
    const before = this.job;
    try {
      this.state(before ? "Submitting" : "Uploading");
      this.next = await this.begin(query);
      while (["queued", "working"].includes(this.next.state)) {
        this.state(this.next.state === "queued" ? `Waiting: ${this.next.ahead} before it` : "Colorizing");
        if (this.next.copies.length) this.part("progress").value = this.next.copies.length / this.next.seeds.length;
        await sleep(POLL);
        this.next = await (await request(`jobs/${this.next.id}`, { signal: this.stop.signal })).json();
      }
      if (this.next.problem) throw new Error(this.next.problem);
      this.job = this.next;
      this.done();
      if (before) discard(before);
    } catch (error) {
      if (this.next && this.next !== this.job) discard(this.next);
      if (!photos.has(this)) return;
      this.state(this.job ? "Unchanged" : "Not colorized");
      if (error.name === "AbortError") return;
      this.part(".problem").textContent = error.message.replace(/^photo(?=:)/, () => this.file.name);
      this.part(".problem").hidden = false;
    } finally {
      this.next = undefined;
      this.running = false;
      this.part("progress").hidden = true;
      this.part(".again").disabled = false;
      this.part(".remove").textContent = "Remove";
      summarize();
      if (this.outdated && photos.has(this)) start(this);
    }
  }

  /** Returns a new job; uploads the photo only if the server does not have it. */
  async begin(query) {
    const options = { method: "POST", signal: this.stop.signal };
    if (this.job) {
      try {
        return await (await request(`jobs/${this.job.id}/again?${query}`, options)).json();
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    }
    query.set("name", this.file.name);
    return (await request(`jobs?${query}`, { ...options, body: this.file })).json();
  }

  done() {
    const { job } = this;
    this.state(`Colorized: ${job.width} × ${job.height} pixels, ${job.seconds.toFixed(1)} seconds`);
    this.part(".notes").replaceChildren(...job.notes.map(sentence));
    this.part(".notes").hidden = !job.notes.length;
    this.part(".before").src = job.before;
    this.part(".compare").hidden = this.part(".after-it").hidden = false;
    this.part(".variants").replaceChildren(...job.copies.map((copy) => this.choice(copy)));
    this.part(".variants").hidden = job.copies.length < 2;
    this.choose(job.copies.find((copy) => copy.seed === this.seed) ?? job.copies[0]);
    this.split(this.part(".divide").value);
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

  split(percent) {
    this.part(".compare").style.setProperty("--at", `${percent}%`);
    this.part(".divide").setAttribute("aria-valuetext", `${percent}% colorized, from the left`);
  }

  placeHint(begin) {
    this.part(".add-hint").setAttribute("aria-pressed", begin);
    this.part(".place").hidden = this.part(".cross").hidden = !begin;
    if (begin) {
      this.split(100);
      this.drawCursor();
      this.part(".place").focus();
    } else {
      this.split(this.part(".divide").value);
      this.part(".add-hint").focus();
    }
  }

  drawCursor() {
    this.part(".compare").style.setProperty("--x", `${this.cursor.x * 100}%`);
    this.part(".compare").style.setProperty("--y", `${this.cursor.y * 100}%`);
  }

  moveCursor(event) {
    const step = event.shiftKey ? 0.1 : 0.01;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (event.key === "Escape") this.placeHint(false);
    if (x === undefined) return;
    event.preventDefault();
    this.cursor = { x: clamp(this.cursor.x + x * step), y: clamp(this.cursor.y + y * step) };
    this.drawCursor();
    show(`${Math.round(this.cursor.x * 100)}% from the left, ${Math.round(this.cursor.y * 100)}% from the top`);
  }

  /** Adds a color hint at a click, or at the cursor, and colorizes again. */
  addHint(event) {
    if (event.detail) {
      const box = event.target.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.cursor = { x: clamp(x), y: clamp(y) };
    }
    const [x, y] = [Math.floor(this.cursor.x * this.job.width), Math.floor(this.cursor.y * this.job.height)];
    this.hints.push({ x, y, color: this.part(".color").value });
    this.placeHint(false);
    this.listHints();
    start(this);
  }

  listHints() {
    this.part(".hints").replaceChildren(...this.hints.map((hint) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `Remove hint ${hint.color} at ${hint.x}, ${hint.y}`;
      button.onclick = () => {
        this.hints = this.hints.filter((other) => other !== hint);
        this.listHints();
        this.part(".add-hint").focus();
        start(this);
      };
      item.append(button);
      return item;
    }));
  }

  remove() {
    this.stop?.abort();
    if (this.running && this.job) return; // cancels the new job only
    photos.delete(this);
    if (this.job) discard(this.job);
    const beside = this.article.nextElementSibling ?? this.article.previousElementSibling;
    (beside ? find(".remove", beside) : find("#files")).focus();
    this.article.remove();
    summarize();
  }
}

function sentence(note) {
  const item = document.createElement("li");
  item.textContent = `${note[0].toUpperCase()}${note.slice(1)}.`;
  return item;
}

function discard(job) {
  fetch(`jobs/${job.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

/** Queues a photo; a running one is colorized again afterwards. */
async function start(photo) {
  if (photo.running) photo.outdated = true;
  if (photo.running || waiting.includes(photo)) return;
  waiting.push(photo);
  photo.state("Waiting");
  if (busy >= PARALLEL_JOBS) return;
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

/** Updates the count and the link to the zip. */
function summarize() {
  const done = [...photos].filter((photo) => photo.job);
  const query = new URLSearchParams(done.slice(-limits.job[1]).map((photo) => ["job", photo.job.id]));
  find("#all").hidden = done.length < 2 && !done.some((photo) => photo.job.copies.length > 1);
  find("#all a").href = `archive?${query}`;
  show(photos.size ? `${done.length} of ${photos.size} ${photos.size === 1 ? "photo" : "photos"} colorized` : "");
}

function add(files) {
  if (!models.length) return show("The models are not loaded yet: try again.");
  if (form.reportValidity()) for (const file of files) start(new Photo(file));
}

function update() {
  const { stochastic, options } = model();
  for (const part of document.querySelectorAll("[data-for]")) {
    part.hidden = !(part.dataset.for === "stochastic" ? stochastic : options.includes(part.dataset.for));
    find("input", part).disabled = part.hidden; // neither validated nor sent
  }
  find("#options output").textContent = find("#saturation").value;
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
document.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); add(event.dataTransfer.files); };
document.onpaste = (event) => add(event.clipboardData.files);
find("#files").onchange = (event) => { add(event.target.files); event.target.value = ""; };
form.oninput = update;
form.onsubmit = (event) => event.preventDefault();
for (const button of document.querySelectorAll("[data-example]")) {
  button.onclick = async () => {
    const name = button.dataset.example;
    try {
      add([new File([await (await request(name)).blob()], name)]);
    } catch (error) {
      show(error.message);
    }
  };
}
setInterval(() => { for (const { job } of photos) if (job) fetch(`jobs/${job.id}`).catch(() => {}); }, KEEP_ALIVE);
window.onpageshow = (event) => event.persisted && location.reload();
window.onpagehide = () => { for (const photo of photos) for (const job of [photo.job, photo.next]) if (job) discard(job); };

try {
  limits = await (await request("limits")).json();
  for (const input of form.querySelectorAll("input[id]:not(#page)")) [input.min, input.max] = limits[input.name];
  models = await (await request("models")).json();
  find("#models").append(...models.map((model, index) => choice(model, index === 0)));
  update();
} catch (error) {
  show(error.message);
}
