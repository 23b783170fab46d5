// The page: takes files and settings, and hands them to the gallery.

import { Gallery } from "./gallery.js";

const find = (selector) => document.querySelector(selector);
const LOSSY = ["jpg", "webp", "avif"];

const settings = {
  getKey: () => find("#key")?.value.trim() ?? "", // the app asks for none
  askForKey: () => { find("#access").open = true; },
  getFormat() {
    const format = find("#format").value;
    if (!format) return {};
    return LOSSY.includes(format) ? { format, quality: find("#quality").value } : { format };
  },
};
const gallery = new Gallery(find("#results"), settings);

function showQuality() {
  find("#quality-field").hidden = !LOSSY.includes(find("#format").value);
  find("#quality-field output").textContent = find("#quality").value;
  for (const card of gallery.cards) card.tellSizes();
}
for (const selector of ["#format", "#quality"]) find(selector).addEventListener("input", showQuality);
showQuality();

for (const selector of ["#files", "#camera"]) {
  find(selector).addEventListener("change", (event) => {
    gallery.add(event.target.files);
    event.target.value = "";
  });
}
find("#example").addEventListener("click", async () => {
  const answer = await fetch("assets/example.jpg");
  gallery.add([new File([await answer.blob()], "example.jpg", { type: "image/jpeg" })]);
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("#drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") gallery.add(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => gallery.add(event.clipboardData.files));
