// What the browser keeps for the next visit: which photos the server has, and their settings. Pages of one server that
// are open at once share it.

const STORE = "photochrom";
const DELAY = 200; // milliseconds

const removed = new Set(); // jobs of photos that were removed here
let [timer, isReady] = [0, false];

export function read() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? [];
  } catch {
    return []; // without storage, the page begins anew
  }
}

function write(entries) {
  try {
    localStorage.setItem(STORE, JSON.stringify(entries));
  } catch { /* as in `read` */ }
}

/** Begins to store; before, the photos of the last visit are not all there. `lost`: jobs that the server has deleted. */
export function begin(lost) {
  for (const job of lost) removed.add(job);
  isReady = true;
}

export function forget(photo) {
  if (photo.job) removed.add(photo.job.id);
}

export function store(photos) {
  if (!isReady) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const own = photos.filter(({ job }) => job).map(({ name, job, view, page, output, settings, saved, isFilm, made }) => {
      return { name, job: job.id, view: view && { id: view.id, page }, output, settings, saved, isFilm, made };
    });
    const jobs = new Set([...removed, ...own.map(({ job }) => job)]);
    write([...read().filter(({ job }) => !jobs.has(job)), ...own]);
  }, DELAY);
}
