// All images in the order in which they were chosen: a strip of thumbnails, one card that is shown,
// the progress of all, and their download.

import { Card, saveFile } from "./card.js";
import { makeZip } from "./zip.js";

const THUMBNAIL = 256; // pixels
const STATES = { waiting: "waits", busy: "in progress", done: "done", failed: "failed" };

export class Gallery {
  // root: the element that holds .strip, .total and .cards; settings: as a Card takes them.
  constructor(root, settings) {
    this.root = root;
    this.settings = settings;
    this.cards = [];
    this.find(".all").addEventListener("click", () => this.downloadAll());
  }

  find(selector) { return this.root.querySelector(selector); }

  add(files) {
    const added = Array.from(files, (file) => this.addOne(file));
    if (added.length) this.select(added[0]);
  }

  addOne(file) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const card = new Card(file, this.settings, () => this.update());
    card.thumbnail = document.createElement("li");
    card.thumbnail.append(button);
    this.cards.push(card);
    this.find(".strip").append(card.thumbnail);
    this.find(".cards").append(card.root);
    button.addEventListener("click", () => this.select(card));
    card.find(".remove").addEventListener("click", () => this.remove(card));
    drawThumbnail(file, button, card.find(".waiting"));
    this.update();
    return card;
  }

  select(card) {
    this.selected = card;
    for (const each of this.cards) each.root.hidden = each !== card;
    card.viewer.move(0, 0); // a hidden frame has no size
    card.thumbnail.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.update();
  }

  remove(card) {
    const place = this.cards.indexOf(card);
    card.remove();
    card.thumbnail.remove();
    this.cards.splice(place, 1);
    const next = this.cards[Math.min(place, this.cards.length - 1)];
    this.update();
    if (next) this.select(next);
    (next ? next.thumbnail.firstElementChild : document.querySelector("#files")).focus();
  }

  count(state) { return this.cards.filter((card) => card.state === state).length; }

  update() {
    const number = this.cards.length;
    const failed = this.count("failed");
    document.body.classList.toggle("has-images", number > 0);
    this.find(".overview").hidden = number < 2;
    this.find(".overview progress").value = this.cards.reduce((sum, card) => sum + card.share, 0) / (number || 1);
    this.find(".total").textContent = `${this.count("done")} of ${number} done${failed ? `, ${failed} failed` : ""}`;
    this.find(".all").disabled = this.count("done") === 0 || this.isDownloading;
    for (const card of this.cards) {
      const button = card.thumbnail.firstElementChild;
      button.dataset.state = card.state;
      button.ariaLabel = `${card.name}: ${STATES[card.state]}`;
      button.ariaCurrent = card === this.selected ? "true" : "false";
    }
  }

  // One after the other: the server takes what a browser would not wait for.
  async downloadAll() {
    const done = this.cards.filter((card) => card.state === "done");
    const tell = (words) => { this.find(".note").textContent = words; };
    this.isDownloading = true;
    this.update();
    try {
      const files = [];
      for (const card of done) {
        tell(`Collecting ${files.length + 1} of ${done.length}…`);
        files.push(await card.makeResult());
      }
      saveFile(await makeZip(files), "derained.zip");
      tell("");
    } catch (error) {
      tell(error.message);
    } finally {
      this.isDownloading = false;
      this.update();
    }
  }
}

// Small copies: a strip of whole images would take gigabytes, and one that waits as much as its work.
async function drawThumbnail(file, button, waiting) {
  try {
    const whole = await createImageBitmap(file, { resizeWidth: THUMBNAIL, resizeQuality: "medium" });
    const canvas = document.createElement("canvas");
    for (const each of [canvas, waiting]) {
      Object.assign(each, { width: whole.width, height: whole.height });
      each.getContext("2d").drawImage(whole, 0, 0);
    }
    whole.close();
    button.append(canvas);
  } catch {
    waiting.remove();
    button.append((file.name || "image").split(".").pop()); // the browser cannot show the format
  }
}
