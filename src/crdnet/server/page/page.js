// The page: every photo is a card that sends itself to /v1/derain and shows what comes back.
"use strict";

const find = (selector, inside = document) => inside.querySelector(selector);
const SUFFIXES = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/tiff": "tiff", "image/avif": "avif" };
const WORDS = { none: "No rain", light: "Light rain", medium: "Medium rain", heavy: "Heavy rain", unknown: "This model does not sense how heavy the rain is" };

// One photo after the other: the server has other clients too.
let line = Promise.resolve();
const inTurn = (task) => (line = line.then(task, task));

class Failure extends Error {
  constructor(words, type) {
    super(words);
    this.type = type;
  }
}

// Send a photo; resolves to { content, headers } or fails with words that can be shown.
function ask(file, wishes, progress, starting) {
  const query = new URLSearchParams(wishes);
  const request = new XMLHttpRequest();
  starting(request);
  return new Promise((done, fail) => {
    request.open("POST", `v1/derain?${query}`);
    request.responseType = "blob";
    const key = find("#key").value.trim();
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => fail(new Failure("The server cannot be reached, or it ended the connection."));
    request.onabort = () => fail(new Failure("Cancelled."));
    request.onload = async () => {
      if (request.status === 200) {
        done({ content: request.response, headers: (name) => request.getResponseHeader(name) });
        return;
      }
      let problem = {};
      try {
        problem = JSON.parse(await request.response.text());
      } catch { /* a proxy's answer, not ours */ }
      if (request.status === 401) find("#access").open = true;
      fail(new Failure(problem.detail ? `${problem.title}: ${problem.detail}` : `The server answered ${request.status}.`, problem.type));
    };
    request.send(file);
  });
}

class Card {
  constructor(file) {
    this.file = file;
    this.wishes = {};
    this.root = find("#card").content.firstElementChild.cloneNode(true);
    this.part = (selector) => find(selector, this.root);
    this.part(".name").textContent = file.name || "pasted photo";
    this.urls = [URL.createObjectURL(file)];
    this.connect();
    this.part(".before").src = this.part(".waiting").src = this.urls[0];
    find("#results").prepend(this.root);
    this.start();
  }

  connect() {
    const on = (selector, event, action) => this.part(selector).addEventListener(event, action);
    on(".cancel", "click", () => (this.request ? this.request.abort() : (this.cancelled = true)));
    on(".again", "click", () => this.start());
    on(".remove", "click", () => this.remove());
    on(".always", "click", () => { this.wishes.always = true; this.start(); });
    on(".download", "click", () => this.download());
    on(".split", "input", (event) => this.frame("--split", `${event.target.value}%`));
    on(".strength input", "input", (event) => {
      this.part("output").textContent = `${event.target.value} %`;
      this.frame("--strength", event.target.value / 100);
    });
    const name = `view-${Card.count = (Card.count || 0) + 1}`;
    for (const radio of this.root.querySelectorAll(".views input")) {
      radio.name = name;
      radio.addEventListener("change", () => this.part(".frame").classList.toggle("rain", radio.value === "rain"));
    }
    on(".after", "error", () => this.blind());
    on(".waiting", "error", () => this.part(".waiting").remove()); // of a format that the browser cannot show
  }

  frame(property, value) { this.part(".frame").style.setProperty(property, value); }

  show(part) {
    for (const name of ["busy", "failure", "done"]) this.part(`.${name}`).hidden = name !== part;
  }

  say(words) { this.part(".status").textContent = words; }

  start() {
    this.show("busy");
    this.say("Waiting…");
    this.cancelled = false;
    return inTurn(async () => {
      try {
        if (this.cancelled) throw new Failure("Cancelled.");
        this.full = await this.send({});
        this.present();
      } catch (error) {
        this.show("failure");
        this.say("");
        this.part(".failure p").textContent = error.message;
      }
    });
  }

  async send(more) {
    const bar = this.part("progress");
    const progress = (share) => {
      bar.value = share;
      this.say(share < 1 ? `Uploading, ${Math.round(share * 100)} %` : "Taking the rain out…");
      if (share >= 1) bar.removeAttribute("value");
    };
    progress(0);
    const once = () => ask(this.file, { ...this.wishes, ...more }, progress, (request) => (this.request = request));
    try {
      return await once();
    } catch (error) {
      if (error.type !== "urn:crdnet:format-not-written") throw error;
      this.wishes.format = "png"; // what it is read from cannot be written
      return await once();
    } finally {
      this.request = null;
    }
  }

  present() {
    const { content, headers } = this.full;
    URL.revokeObjectURL(this.urls[1]);
    this.part(".after").src = this.urls[1] = URL.createObjectURL(content);
    const density = headers("X-Rain-Density") || "unknown";
    const dry = headers("X-Rain-Left-Alone") === "true";
    const [, taken] = /total;dur=([\d.]+)/.exec(headers("Server-Timing") || "") || [];
    this.say(dry ? "The photo is dry, and was left as it is." : `Done${taken ? ` in ${(taken / 1000).toFixed(1)} s` : ""}.`);
    this.part(".always").hidden = !dry;
    this.part(".density").textContent = WORDS[density];
    const score = headers("X-Rain-Score");
    for (const each of this.root.querySelectorAll(".meter, .zones, h3")) each.hidden = score === null;
    this.part(".meter").ariaValueNow = score || 0;
    this.part(".meter").ariaValueText = WORDS[density];
    this.part(".meter").style.setProperty("--score", `${100 * score}%`);
    this.part("dl").replaceChildren(...(headers("X-Rain-Probabilities") || "").split(", ").filter(Boolean).map((each) => {
      const [name, share] = each.split("=");
      const pair = document.createElement("div");
      const told = { dt: name, dd: `${Math.round(share * 100)} %` };
      pair.style.setProperty("--share", `${100 * share}%`);
      for (const tag of ["dt", "dd"]) pair.append(Object.assign(document.createElement(tag), { textContent: told[tag] }));
      return pair;
    }));
    const notes = headers("X-Notes");
    this.part(".notes").hidden = !notes;
    this.part(".notes").textContent = notes ? `Note: ${notes}.` : "";
    this.show("done");
  }

  blind() {
    this.part(".picture").hidden = this.part(".views").hidden = true;
    this.say("Done. This browser cannot show the format; the result can be downloaded.");
  }

  // What is saved is the server's own answer, byte for byte.
  async download() {
    const strength = this.part(".strength input").value / 100;
    let answer = this.full;
    if (strength < 1) {
      this.part(".busy").hidden = false; // above the picture, which stays
      try {
        answer = await inTurn(() => this.send({ strength }));
        this.say("Done.");
      } catch (error) {
        this.say(error.message);
        return;
      } finally {
        this.part(".busy").hidden = true;
      }
    }
    const stem = (this.file.name || "photo").replace(/\.[^.]*$/, "");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(answer.content);
    link.download = `${stem}_derained.${SUFFIXES[answer.content.type] || "bin"}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  remove() {
    if (this.request) this.request.abort();
    this.cancelled = true;
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.root.remove();
    find("#files").focus();
  }
}

function take(files) {
  for (const file of files) new Card(file);
}

for (const name of ["files", "camera"]) {
  find(`#${name}`).addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
}
find("#example").addEventListener("click", async () => {
  const answer = await fetch("assets/example.jpg");
  take([new File([await answer.blob()], "example.jpg", { type: "image/jpeg" })]);
});
const drop = find("#drop");
for (const event of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(event, (happening) => {
    happening.preventDefault();
    drop.classList.toggle("over", event === "dragenter" || event === "dragover");
    if (event === "drop") take(happening.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files));
