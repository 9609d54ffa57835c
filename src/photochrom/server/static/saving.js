// Downloads of photos and of their settings.

import { count, create, find, say } from "./dom.js";

const DOWNLOAD_SECONDS = 300; // after which a file that was made in the browser is forgotten

function download(address, name) {
  const link = create("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Makes the output of a photo. Returns its job, and a function to call once it is downloaded. */
async function makeOutput(photo) {
  const saved = photo.outputKey;
  const job = await photo.finishOutput(find("#format").value);
  return { job, confirm: () => photo.set({ saved }) };
}

export async function save(photo) {
  find("#save").disabled = true;
  say(`Making ${photo.name} at full size.`);
  try {
    const { job, confirm } = await makeOutput(photo);
    download(job.copies[0].photo, job.copies[0].name);
    confirm();
    say(`${job.copies[0].name} is downloaded.`);
  } catch (error) {
    photo.fail(error);
    say("");
  } finally {
    find("#save").disabled = false;
  }
}

/** Downloads all photos that are colorized, at most `limit`, with their settings as a zip. */
export async function saveAll(photos, limit) {
  const ready = photos.filter(({ prediction }) => prediction).slice(0, limit);
  const outputs = [];
  find("#save-all").disabled = true;
  for (const [index, photo] of ready.entries()) {
    say(`Making ${index + 1} of ${ready.length} at full size.`);
    try {
      outputs.push(await makeOutput(photo));
    } catch (error) {
      photo.fail(error);
    }
  }
  find("#save-all").disabled = false;
  const missing = photos.length - outputs.length;
  const rest = missing ? ` ${count(missing, "photo")} could not be put into it.` : "";
  if (!outputs.length) return say("No photo could be made at full size.");
  download(`archive?${new URLSearchParams([["settings", true], ...outputs.map(({ job }) => ["job", job.id])])}`, "");
  for (const { confirm } of outputs) confirm();
  return say(`${count(outputs.length, "photo")} in a zip.${rest}`);
}

export function saveSettings(photo, version) {
  const content = new Blob([JSON.stringify(photo.sidecar(version), null, 2)], { type: "application/json" });
  const address = URL.createObjectURL(content);
  download(address, `${photo.name}.json`);
  setTimeout(() => URL.revokeObjectURL(address), 1000 * DOWNLOAD_SECONDS);
}
