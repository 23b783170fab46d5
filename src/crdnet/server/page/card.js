// One image: its progress, its result, and what can be done with it.

import { Failure, derainImage } from "./send.js";
import { Viewer } from "./viewer.js";

const SUFFIXES = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/tiff": "tiff", "image/avif": "avif", "video/mp4": "mp4", "video/webm": "webm", "video/quicktime": "mov" };
const DENSITIES = { none: "No rain", light: "Light rain", medium: "Medium rain", heavy: "Heavy rain", unknown: "This model does not sense how heavy the rain is" };
const UPLOAD_SHARE = 0.2; // of the progress of an image

// One image after the other: the server has other clients too.
let line = Promise.resolve();
const runInTurn = (task) => (line = line.then(task, task));

export function formatBytes(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function saveFile(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export class Card {
  // settings: { getKey(), askForKey(), getFormat() }, as the page has them.
  // onChange: called when the state or the share of the work has changed.
  constructor(file, settings, onChange) {
    this.file = file;
    this.settings = settings;
    this.onChange = onChange;
    this.name = file.name || "pasted image";
    this.isAlways = false;
    this.fallback = {};
    this.state = "waiting"; // or busy, done, failed
    this.share = 0;
    this.results = new Map(); // by their wishes
    this.root = document.querySelector("#card").content.firstElementChild.cloneNode(true);
    this.find(".name").textContent = this.name;
    this.urls = [URL.createObjectURL(file)];
    this.viewer = new Viewer(this.find(".viewer"));
    this.connect();
    this.find(".before").src = this.urls[0];
    this.start();
  }

  find(selector) { return this.root.querySelector(selector); }

  connect() {
    const on = (selector, event, action) => this.find(selector).addEventListener(event, action);
    on(".cancel", "click", () => this.cancelling.abort());
    on(".again", "click", () => this.start());
    on(".always", "click", () => { this.isAlways = true; this.start(); });
    on(".download", "click", () => this.download());
    on(".strength input", "input", (event) => {
      this.find(".strength output").textContent = `${event.target.value} %`;
      this.viewer.setStrength(event.target.value / 100);
      this.tellSizes();
    });
    const name = `view-${Card.count = (Card.count || 0) + 1}`;
    for (const radio of this.root.querySelectorAll(".views input")) {
      radio.name = name;
      radio.addEventListener("change", () => this.viewer.showRain(radio.value === "rain"));
    }
    on(".after", "error", () => this.hideViewer());
    on(".after", "load", () => this.tellSizes());
  }

  change(state, share = this.share) {
    this.state = state;
    this.share = share;
    this.onChange(this);
  }

  show(part) {
    for (const name of ["busy", "failure", "done"]) this.find(`.${name}`).hidden = name !== part;
  }

  say(words) { this.find(".status").textContent = words; }

  // What the server is asked for; strength 1 in the image's own format is what is shown.
  getWishes(isShown = false) {
    const wishes = { ...this.fallback };
    if (this.isAlways) wishes.always = true;
    if (isShown) return wishes;
    const strength = this.find(".strength input").value / 100;
    if (strength < 1) wishes.strength = strength;
    return { ...wishes, ...this.settings.getFormat() };
  }

  start() {
    this.show("busy");
    this.say("Waiting…");
    this.cancelling = new AbortController();
    this.change("waiting", 0);
    return runInTurn(async () => {
      try {
        this.present(await this.send(true));
        this.change("done", 1);
      } catch (error) {
        this.fail(error);
      }
    });
  }

  fail(error) {
    if (error.type === "urn:crdnet:key-missing") this.settings.askForKey();
    this.show("failure");
    this.say("");
    this.find(".failure p").textContent = error.message;
    this.find(".again").hidden = !error.canRetry;
    this.change("failed", 1);
  }

  async send(isShown) {
    const signal = this.cancelling.signal;
    if (signal.aborted) throw new Failure("Cancelled.", { canRetry: true });
    const wishes = this.getWishes(isShown);
    const known = this.results.get(JSON.stringify(wishes));
    if (known) return known;
    const options = { key: this.settings.getKey(), signal, onProgress: (progress) => this.tellProgress(progress, isShown) };
    try {
      const result = await derainImage(this.file, wishes, options);
      this.results.set(JSON.stringify(wishes), result);
      return result;
    } catch (error) {
      if (error.type !== "urn:crdnet:format-not-written" || this.fallback.format) throw error;
      this.fallback = { format: "jpg" }; // phones save HEIC, which is read only
      return this.send(isShown);
    }
  }

  tellProgress({ stage, share }, isShown) {
    const bar = this.find("progress");
    const percent = Math.round(100 * share);
    const words = { loading: "Loading the network…", uploading: `Uploading, ${percent} %`, waiting: "The server works on other images first…", working: share ? `Taking the rain out, ${percent} %${this.estimateRest(share)}` : "Taking the rain out…", busy: "The server is busy; trying again soon…" };
    this.say(words[stage]);
    this.uploads ||= stage === "uploading"; // the app does not
    const before = this.uploads ? UPLOAD_SHARE : 0;
    const total = stage === "uploading" ? before * share : before + (1 - before) * share;
    if (["busy", "loading"].includes(stage) || (stage === "working" && !share)) bar.removeAttribute("value");
    else bar.value = total;
    if (isShown) this.change("busy", total);
  }

  // The time left, in words, as soon as it can be told.
  estimateRest(share) {
    if (share < this.lastShare || !this.workSince) this.workSince = performance.now();
    this.lastShare = share;
    const seconds = (performance.now() - this.workSince) / 1000;
    if (seconds < 2 || share < 0.1) return "";
    const rest = Math.ceil(seconds * (1 / share - 1));
    return rest < 90 ? `, ${rest} s left` : `, ${Math.round(rest / 60)} minutes left`;
  }

  present({ content, density, score, probabilities, isLeftAlone, notes, engine, seconds }) {
    URL.revokeObjectURL(this.urls[1]);
    this.urls[1] = URL.createObjectURL(content);
    const isClip = content.type.startsWith("video/");
    if (isClip) this.showClip(this.urls[1]);
    else this.find(".after").src = this.urls[1];
    this.say(isLeftAlone ? `The ${isClip ? "clip" : "image"} is dry, and was left as it is.` : `Done${seconds ? ` in ${seconds.toFixed(1)} s` : ""}${engine ? ` by ${engine}` : ""}.`);
    this.find(".always").hidden = !isLeftAlone;
    this.find(".density").textContent = DENSITIES[density];
    for (const each of this.root.querySelectorAll(".meter, .zones, h3")) each.hidden = score === null;
    const meter = this.find(".meter");
    meter.ariaValueNow = score || 0;
    meter.ariaValueText = DENSITIES[density];
    meter.style.setProperty("--score", `${100 * score}%`);
    this.find(".grades").replaceChildren(...probabilities.map((each) => this.makeGrade(...each)));
    this.find(".notes").hidden = !notes;
    this.find(".notes").textContent = notes ? `Note: ${notes}.` : "";
    this.tellSizes();
    this.show("done");
  }

  makeGrade(name, share) {
    const pair = document.createElement("div");
    pair.style.setProperty("--share", `${100 * share}%`);
    const texts = { dt: name, dd: `${Math.round(share * 100)} %` };
    for (const tag of ["dt", "dd"]) pair.append(Object.assign(document.createElement(tag), { textContent: texts[tag] }));
    return pair;
  }

  tellSizes() {
    const { naturalWidth: width, naturalHeight: height } = this.find(".after");
    const result = this.results.get(JSON.stringify(this.getWishes()));
    const sizes = [formatBytes(this.file.size), result ? formatBytes(result.content.size) : ""].filter(Boolean).join(" → ");
    this.find(".sizes").textContent = width ? `${width} × ${height} pixels, ${sizes}` : sizes;
  }

  hideViewer() {
    this.find(".viewer").hidden = this.find(".views").hidden = true;
    this.say("Done. This browser cannot show the format; the result can be downloaded.");
  }

  // A clip is played; the viewer, its views and the strength are for images.
  showClip(url) {
    for (const part of [".viewer", ".views", ".strength"]) this.find(part).hidden = true;
    this.find("video")?.remove();
    const clip = Object.assign(document.createElement("video"), { src: url, controls: true, loop: true, playsInline: true, ariaLabel: "The clip without its rain" });
    this.find(".viewer").before(clip);
  }

  // Return { name, content } of the image as it was asked for: the server's answer, byte for byte.
  async makeResult() {
    const { content } = await this.send(false);
    return { name: `${this.name.replace(/\.[^.]*$/, "")}_derained.${SUFFIXES[content.type] || "bin"}`, content };
  }

  async download() {
    const known = this.results.has(JSON.stringify(this.getWishes()));
    try {
      if (!known) {
        this.find(".busy").hidden = false; // above the image, which stays
        this.cancelling = new AbortController();
      }
      const { content, name } = known ? await this.makeResult() : await runInTurn(() => this.makeResult());
      saveFile(content, name);
      if (!known) this.say("Done.");
      this.tellSizes();
    } catch (error) {
      this.say(error.message);
    } finally {
      this.find(".busy").hidden = true;
    }
  }

  remove() {
    this.cancelling.abort();
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.root.remove();
  }
}
