// The requests of /openapi.json as a page.

const create = (name, text) => Object.assign(document.createElement(name), { textContent: text });

function limits({ minimum, maximum, anyOf = [] }) {
  const own = minimum === undefined ? anyOf.find((schema) => schema.minimum !== undefined) : { minimum, maximum };
  return own ? `${own.minimum} to ${own.maximum ?? "any"}` : "";
}

function section(method, path, { description = "", parameters = [] }) {
  const details = document.createElement("details");
  details.append(create("summary", `${method.toUpperCase()} ${path}`), create("p", description));
  if (parameters.length) {
    const table = document.createElement("table");
    for (const { name, schema, description: about = "" } of parameters) {
      const row = document.createElement("tr");
      row.append(create("th", name), create("td", schema.default ?? ""), create("td", limits(schema)), create("td", about));
      table.append(row);
    }
    details.append(table);
  }
  return details;
}

const { paths } = await (await fetch("openapi.json")).json();
for (const [path, methods] of Object.entries(paths)) {
  for (const [method, operation] of Object.entries(methods)) document.querySelector("#routes").append(section(method, path, operation));
}
