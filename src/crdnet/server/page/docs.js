// Shows the OpenAPI document as a page; everything comes from this server.
"use strict";

function element(tag, content, ...children) {
  const made = document.createElement(tag);
  if (content) made.textContent = content;
  made.append(...children);
  return made;
}

function table(title, headings, rows) {
  const head = element("tr", "", ...headings.map((each) => element("th", each)));
  const body = rows.map((row) => element("tr", "", ...row.map((each) => element("td", each))));
  const made = element("div", "", element("table", "", element("thead", "", head), element("tbody", "", ...body)));
  // Wider than a phone, it is scrolled within itself, by keyboard too.
  return Object.assign(made, { className: "scroll", tabIndex: 0, role: "region", ariaLabel: title });
}

function kind(schema = {}, document = {}) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(", ");
  if (schema.anyOf) return schema.anyOf.map((each) => kind(each, document)).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items, document)}`;
  const range = [schema.minimum, schema.maximum].every((each) => each !== undefined) ? `, ${schema.minimum} to ${schema.maximum}` : "";
  return `${schema.type || "anything"}${range}${schema.default !== undefined ? `, else ${schema.default}` : ""}`;
}

function section(path, method, operation) {
  const badge = Object.assign(element("span", method.toUpperCase()), { className: "method" });
  const made = element("article", "", element("h2", "", badge, element("code", path)), element("p", operation.summary));
  const asked = operation.parameters || [];
  if (asked.length) made.append(element("h3", "Parameters"), table(`Parameters of ${path}`, ["name", "what", ""], asked.map((each) => [each.name, kind(each.schema), each.description || each.schema.description || ""])));
  if (operation.requestBody) {
    const rows = Object.entries(operation.requestBody.content).map(([type, body]) => [type, body.schema.properties ? `a form: ${Object.keys(body.schema.properties).join(", ")}` : "the bytes of the image"]);
    made.append(element("h3", "Body"), table(`Body of ${path}`, ["type", "what"], rows));
  }
  const answers = Object.entries(operation.responses).map(([status, answer]) => [status, answer.description, Object.entries(answer.content || {}).map(([type, each]) => (each.schema && each.schema.format === "binary") || !each.schema ? type : `${type}: ${kind(each.schema)}`).join(", "), Object.keys(answer.headers || {}).join(", ")]);
  made.append(element("h3", "Answers"), table(`Answers of ${path}`, ["status", "what", "body", "headers"], answers));
  return made;
}

async function show() {
  document.querySelector("#origin").textContent = location.origin;
  const place = document.querySelector("#operations");
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const said = await answer.json();
    const sections = Object.entries(said.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => section(path, method, operation)));
    const schemas = Object.entries(said.components.schemas).filter(([, each]) => each.properties).map(([name, each]) => element("article", "", element("h2", name), element("p", each.description || ""), table(`Fields of ${name}`, ["name", "what", ""], Object.entries(each.properties).map(([field, schema]) => [field, kind(schema), schema.description || ""]))));
    place.replaceChildren(...sections, ...schemas);
  } catch (error) {
    place.replaceChildren(element("p", `The OpenAPI document cannot be read: ${error.message}.`));
  }
}

show();
