// Requests to the server; /openapi.json describes them.

const RETRY = 10; // seconds, where the server names none
const WAIT = 20; // seconds that the server waits for news of a job
const MAX_WAITING = 2; // requests that wait at once: browsers allow six connections to a server
const POLL = 500; // milliseconds between the other requests for news

/** Resolves after a time; rejects as `fetch` does where the signal is aborted before. */
function sleep(milliseconds, signal) {
  return new Promise((done, stop) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); stop(signal.reason); }, { once: true });
  });
}

let waiting = 0;

/** Called with a sentence while the server is busy, and with "" afterwards. */
export const events = { busy: () => {} };

/**
 * Returns the response to a request; while the server is busy, tries again until the signal is aborted. Throws an Error
 * whose message is for the user.
 */
export async function request(address, options, signal = options?.signal) {
  for (;;) {
    signal?.throwIfAborted();
    let response;
    try {
      response = await fetch(address, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not respond: is photochrom web still running?");
    }
    if (response.ok) return response;
    const reason = (await response.json().catch(() => ({}))).detail;
    await pause(response.status, reason, response.headers.get("Retry-After"), signal);
  }
}

/** Waits where the server is busy. Throws an Error for any other response. */
async function pause(status, reason = `The server responded ${status}.`, seconds, signal) {
  if (status !== 429) throw Object.assign(new Error(reason), { status });
  events.busy(`${reason[0].toUpperCase()}${reason.slice(1)}. Trying again.`);
  await sleep(1000 * Number(seconds ?? RETRY), signal);
  events.busy("");
}

export const getJson = async (address, options) => (await request(address, options)).json();
export const getBuffer = async (address) => (await request(address)).arrayBuffer();

/** The address of a job; those of films name it. */
export const addressOf = ({ id, address }) => address ?? `jobs/${id}`;

/** Uploads a file as a new job, by a route; `onProgress` gets the share that is sent. */
export function upload(file, query, signal, onProgress, route = "jobs") {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", `${route}?${query}`);
    sending.responseType = "json";
    sending.upload.onprogress = (event) => onProgress(event.lengthComputable ? event.loaded / event.total : undefined);
    sending.onload = () => {
      if (sending.status < 300) return resolve(sending.response);
      const seconds = sending.getResponseHeader("Retry-After");
      return pause(sending.status, sending.response?.detail, seconds, signal)
        .then(() => upload(file, query, signal, onProgress, route))
        .then(resolve, reject);
    };
    sending.onabort = () => reject(new DOMException("canceled", "AbortError"));
    sending.onerror = async () => {
      const isReadable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
      reject(new Error(isReadable ? "The server does not respond: is photochrom web still running?" : "The file cannot be read."));
    };
    signal.addEventListener("abort", () => sending.abort(), { once: true });
    sending.send(file);
  });
}

/** Returns a job once it has ended; `onChange` gets its states before. Throws an Error with the reason of a failure. */
export async function finish(job, signal, onChange = () => {}) {
  let next = job;
  try {
    while (["queued", "working"].includes(next.state)) {
      onChange(next);
      next = await news(next, signal);
    }
    if (next.problem) throw new Error(next.problem);
    return next;
  } catch (error) {
    discard(job);
    throw error;
  }
}

async function news(job, signal) {
  if (waiting >= MAX_WAITING) {
    await sleep(POLL, signal);
    return getJson(addressOf(job), { signal });
  }
  waiting += 1;
  try {
    return await getJson(`${addressOf(job)}?wait=${WAIT}`, { signal });
  } finally {
    waiting -= 1;
  }
}

/**
 * Submits the photo of a job with other settings (`again`), or a place of it for its colors (`likely`). The signal does
 * not abort a request that is sent: the server may have the new job already, and only its response has the id.
 */
export async function submit(job, route, query, signal) {
  return (await request(`${addressOf(job)}/${route}?${query}`, { method: "POST" }, signal)).json();
}

export function discard(job) {
  if (job) fetch(addressOf(job), { method: "DELETE", keepalive: true }).catch(() => {});
}
