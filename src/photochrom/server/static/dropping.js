// Files and folders that are dropped on the page.

import { isFilm } from "./film.js";

/** Returns the files of a drop, those of folders included, and how many in folders were passed over: no photos or films, or hidden. */
export async function droppedFiles({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(({ isDirectory }) => isDirectory)) return { files: [...files], passed: 0 };
  const found = (await Promise.all(entries.map((entry) => read(entry)))).flat();
  const accepted = found.filter(({ file, isInside }) => !isInside || isPhotoOrFilm(file));
  return { files: accepted.map(({ file }) => file), passed: found.length - accepted.length };
}

const isPhotoOrFilm = ({ name, type }) => !name.startsWith(".") && (type.startsWith("image/") || /\.(jp2|j2k|hei[cf]|avif|tiff?|json)$/i.test(name) || isFilm({ name, type }));

async function read(entry, isInside = false) {
  if (entry.isFile) return [{ file: await new Promise((done, fail) => { entry.file(done, fail); }), isInside }];
  const [reader, children] = [entry.createReader(), []];
  for (;;) {
    const some = await new Promise((done, fail) => { reader.readEntries(done, fail); }); // at most 100 at once
    if (!some.length) break;
    children.push(...some);
  }
  children.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  return (await Promise.all(children.map((child) => read(child, true)))).flat();
}
