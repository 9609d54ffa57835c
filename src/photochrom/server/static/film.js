// A film on the page: it is colorized as a whole on the server, and only when that is asked for.

import { addressOf, discard, finish, getJson, submit, upload } from "./api.js";
import { find } from "./dom.js";
import { Photo, parameters } from "./photo.js";

export const isFilm = ({ name, type }) => type.startsWith("video/") || /\.(avi|m4v|mkv|mov|mp4|mpe?g|webm)$/i.test(name);

export class Film extends Photo {
  isFilm = true;
  made = ""; // the settings of the film that is shown
  making = undefined; // aborts the job that is being colorized, and has it as `job`

  /** The settings, without those that are for photos. */
  get key() {
    const query = parameters(this.settings, true);
    query.delete("hint");
    query.delete("page");
    return String(query);
  }

  get outputKey() {
    return this.made;
  }

  get prediction() {
    return this.job?.film ? this.job : undefined;
  }

  /** Uploads the film, unless the server has it, and has it colorized; that takes long and is not waited for. */
  async open() {
    const { job, key } = this;
    this.set({ state: "working", problem: "", step: "Uploading", progress: 0 });
    try {
      if (!job && !this.file) throw new Error("The server has deleted this film: add it again.");
      if (!job) {
        const query = new URLSearchParams(key);
        query.set("name", this.name);
        const { signal } = this.closing;
        this.job = await upload(this.file, query, signal, (progress) => this.set({ progress }), "films");
        this.made = key;
      }
      this.isOpen = true;
      this.following = this.follow(this.job);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Colorizes the film again, with the present settings; the one before is shown until then. */
  async remake() {
    const { key } = this;
    this.set({ state: "working", problem: "", step: "Waiting", progress: undefined });
    await this.follow(submit(this.job, "again", new URLSearchParams(key), this.closing.signal), key);
  }

  /** Shows the progress of a job, or of one that is being submitted, until it ends, and then its film. */
  async follow(job, made = this.made) {
    const making = new AbortController();
    this.making = making;
    try {
      making.job = await job;
      const done = await finish(making.job, making.signal, (state) => this.set(progressOf(state)));
      if (this.job.id !== done.id) discard(this.job);
      this.set({ job: done, made, notes: done.notes, width: done.width, height: done.height, state: "done" });
    } catch (error) {
      if (this.job?.id === making.job?.id) this.job = undefined; // it is discarded
      this.fail(error);
    } finally {
      if (this.making === making) this.making = undefined;
    }
  }

  /** Changed settings wait for `remake`. */
  async predict() {}

  cancel() {
    this.making?.abort();
    this.set({ state: "done", problem: "" });
  }

  async load() {}

  unload() {}

  /** Returns the job with the film, as one with the output of a photo. */
  async finishOutput() {
    try {
      const { film, output, ...job } = await getJson(addressOf(this.job));
      return { ...job, copies: [{ photo: film, name: output }] };
    } catch (error) {
      if (error.status === 404) this.job = undefined;
      throw error;
    }
  }

  fail(error) {
    if (error.name !== "AbortError") this.set({ state: "failed", problem: error.message.replace(/^film(?=:)/, () => this.name) });
  }

  get jobs() {
    return [this.job, this.making?.job === this.job ? undefined : this.making?.job].filter(Boolean);
  }

  close() {
    this.closing.abort();
    this.making?.abort(); // which discards its job
    if (this.job !== this.making?.job) discard(this.job);
  }
}

function progressOf({ state, ahead, done, whole }) {
  if (state === "queued") return { step: `Waiting${ahead ? `: ${ahead} before it` : ""}`, progress: undefined };
  if (!whole) return { step: "Colorizing", progress: undefined };
  return { step: `${Math.floor(done)} of ${Math.ceil(whole)} s`, progress: Math.min(1, done / whole) };
}

/** Shows a film on the stage, or nothing, and a picture of it on its button. */
export function showFilm(film) {
  const video = find("#stage video");
  const address = film?.prediction?.film ?? "";
  if ((video.getAttribute("src") ?? "") === address) return;
  if (address) video.src = address;
  else video.removeAttribute("src");
  video.load();
  if (!address) return;
  video.setAttribute("aria-label", `${film.name}, colorized`);
  video.requestVideoFrameCallback?.(() => {
    const { canvas } = film;
    Object.assign(canvas, { width: 176, height: 128 });
    const scale = Math.min(canvas.width / video.videoWidth, canvas.height / video.videoHeight);
    const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
    canvas.getContext("2d").drawImage(video, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  });
  video.onerror = () => {
    if (address === film.prediction?.film) film.set({ problem: "This browser cannot play the film: download it." });
  };
}
