// One participant at a time: consent, practice, trials, thanks. The server knows which trial is next.

const READY = 600; // milliseconds between a choice and the next pictures
const KEYS = { ArrowLeft: "left", ArrowUp: "left", ArrowRight: "right", ArrowDown: "right" };
const QUESTIONS = { real: "Which picture has the colors of the camera?", better: "Which picture looks better?" };
const find = (selector) => document.querySelector(selector);
const pair = find("#pair");
let survey; // what the server says about the survey
let next; // and about the next trial
let trial; // the one on the screen

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const frame = () => new Promise((done) => requestAnimationFrame(done));
const question = () => QUESTIONS[survey.question];

/** Returns the response to a request. Throws an Error whose message is for the participant. */
async function request(address, body) {
  const options = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not respond: is the survey still running?");
  }
  if (response.ok) return response.json();
  const { detail } = await response.json().catch(() => ({}));
  const reason = typeof detail === "string" ? detail : `The server responded ${response.status}.`;
  throw Object.assign(new Error(reason), { status: response.status });
}

/** Does something that may fail, again and again until it succeeds or the participant leaves. */
async function persist(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if ([404, 409].includes(error.status)) { // the server was restarted, or another tab went on: begin with its state
        location.reload();
        await new Promise(() => {});
      }
      const visible = find("main > section:not([hidden])");
      find("#reason").textContent = error.message;
      show("problem");
      await new Promise((done) => (find("#retry").onclick = done));
      if (visible) show(visible.id);
    }
  }
}

function show(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  find(`#${id} [tabindex="-1"]`)?.focus();
}

/** Shows a text with one button, and waits until it is pressed. */
async function rest(title, text, button) {
  find("#break-title").textContent = title;
  find("#break-text").textContent = text;
  find("#go").textContent = button;
  show("break");
  await new Promise((done) => (find("#go").onclick = done));
}

async function consent() {
  find("#title").textContent = question().replace("has the colors of the camera", "is real");
  find("#consent-text").replaceChildren(
    ...survey.consent.trim().split(/\n\s*\n/).map((text) => Object.assign(document.createElement("p"), { textContent: text })),
  );
  show("consent");
  await new Promise((done) => (find("#agree").onclick = done));
  next = await persist(() => request("participants", {}));
  sessionStorage.setItem("participant", next.participant);
}

function instructions() {
  const what = survey.question === "real"
    ? "In one picture the colors are those of a camera, in the other a program has guessed them. Choose the camera's."
    : "The same photo has different colors in the two pictures. Choose the one that looks better to you.";
  const unit = survey.seconds === 1 ? "second" : "seconds";
  const time = survey.seconds ? `They are shown for ${survey.seconds} ${unit}. You can choose before or after that.\n` : "";
  return `${what}\n${time}Use the arrow keys, click or tap.\nPractice first: one of the two is tinted, choose the other.`;
}

async function load(side) {
  const image = Object.assign(new Image(), { alt: "", draggable: false });
  image.src = `participants/${next.participant}/${next.trial}/${side}`;
  await image.decode().catch(async () => {
    const { trial } = await request(`participants/${next.participant}`);
    const status = trial === next.trial ? undefined : 409;
    throw Object.assign(new Error("A picture could not be loaded."), { status });
  });
  return image;
}

/** One trial: `phase` goes from loading to ready, shown, masked, and sent; `paused` stops it in between. */
class Trial {
  constructor() {
    this.shown = 0; // milliseconds
    this.response = 0;
    this.marks = new Set(sessionStorage.getItem("seen") === `${next.participant}/${next.trial}` ? ["repeated"] : []);
    this.choice = new Promise((done) => (this.choose = done));
    find("#number").textContent = next.practice ? "Practice" : `Trial ${next.trial} of ${survey.trials}`;
    Object.assign(find("#progress"), { max: survey.trials, value: Math.max(0, next.trial - 1) });
    find("#countdown").hidden = !survey.seconds;
    find("#countdown").value = 1;
    for (const button of pair.children) button.removeAttribute("aria-pressed");
    this.enter("loading", "");
  }

  enter(phase, status) {
    this.phase = pair.dataset.phase = phase;
    find("#status").textContent = status;
  }

  async run() {
    const images = await persist(() => Promise.all(["left", "right"].map(load)));
    images.forEach((image, index) => {
      find(`#pair > :nth-child(${index + 1}) .frame`).replaceChildren(image, find(".cover").cloneNode());
    });
    this.images = images;
    this.enter("ready", "Get ready");
    await sleep(READY);
    if (this.phase === "ready") this.reveal();
    return this.choice;
  }

  async reveal() {
    sessionStorage.setItem("seen", `${next.participant}/${next.trial}`);
    this.enter("shown", "");
    this.since = await frame(); // the first one with the pictures
    while (this.phase === "shown") {
      const now = await frame();
      if (this.phase !== "shown" || !survey.seconds) break;
      const left = survey.seconds * 1000 - this.shown - (now - this.since);
      find("#countdown").value = Math.max(0, left / survey.seconds / 1000);
      if (left <= 0) {
        this.stop(now);
        this.enter("masked", "Time is up. Choose one.");
      }
    }
  }

  /** Adds the time since the pictures, or after them the mask, appeared. */
  stop(now) {
    const time = Math.max(0, now - (this.since ?? now));
    if (this.phase === "shown") this.shown += time;
    this.response += time;
    this.since = now;
  }

  async pause() {
    const before = this.phase;
    if (!["ready", "shown", "masked"].includes(before)) return;
    this.stop(performance.now());
    if (before === "shown") this.marks.add("paused");
    this.enter("paused", "");
    await rest("Pause", "Take your time: the survey goes on when you do.", "Continue");
    show("trial");
    this.since = performance.now();
    if (before === "masked") this.enter("masked", "Choose one.");
    else this.reveal();
  }

  decide(side) {
    if (!side || !["shown", "masked"].includes(this.phase)) return;
    this.stop(performance.now());
    const width = Math.round(this.images[0].getBoundingClientRect().width);
    find(`[data-side=${side}]`).setAttribute("aria-pressed", "true");
    this.enter("sent", "");
    const [shown, response] = [this.shown, this.response].map((time) => Math.round(time) / 1000);
    this.choose({ trial: next.trial, choice: side, shown, response, width, marks: [...this.marks] });
  }
}

async function trials() {
  while (!next.finished) {
    if (next.practice) await rest(question(), instructions(), "Start the practice");
    find("#question").textContent = question();
    trial = new Trial();
    show("trial");
    const { practice } = next;
    const reply = await trial.run();
    next = await persist(() => request(`participants/${next.participant}/replies`, reply));
    if (practice && next.correct) {
      await rest("Well done", `Now ${survey.trials} trials follow. You can pause at any time, also with the Escape key.`, "Start");
    } else if (practice) {
      await rest("Not that one", "You chose the tinted picture. Please try again.", "Try again");
    }
  }
  trial = undefined;
  find("#code").textContent = next.participant;
  show("end");
  await new Promise((done) => (find("#another").onclick = done));
  sessionStorage.clear();
}

async function resume() {
  const participant = sessionStorage.getItem("participant");
  if (!participant) return false;
  next = await persist(() => request(`participants/${participant}`).catch((error) => {
    if (error.status === 404) return undefined; // the server has forgotten it: it had no answers
    throw error;
  }));
  if (next && !next.practice && !next.finished) {
    await rest("Welcome back", `You go on with trial ${next.trial} of ${survey.trials}.`, "Continue");
  }
  return Boolean(next);
}

pair.onclick = (event) => trial?.decide(event.target.closest("[data-side]")?.dataset.side);
find("#pause").onclick = () => trial?.pause();
document.onvisibilitychange = () => document.hidden && trial?.pause();
document.onkeydown = (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || find("#trial").hidden) return;
  if (event.key === "Escape") trial.pause();
  if (!(event.key in KEYS)) return;
  event.preventDefault(); // no scrolling
  trial.decide(KEYS[event.key]);
};

survey = await persist(() => request("survey"));
document.title = question();
for (;;) {
  if (!(await resume())) await consent();
  await trials();
}
