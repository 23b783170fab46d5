// Two images, one over the other, with a border between them; zoom and pan up to single pixels.

const MOST = 8; // CSS pixels of an image's pixel
const REACH = 24; // CSS pixels around the border where it can be dragged

export class Viewer {
  // root: the .viewer element of the template.
  constructor(root) {
    this.root = root;
    this.frame = root.querySelector(".frame");
    this.split = root.querySelector(".split");
    this.before = root.querySelector(".before");
    this.after = root.querySelector(".after");
    this.pointers = new Map();
    this.zoom = 1; // 1: the whole image fills the frame
    this.x = this.y = 0; // place of the image's corner in the frame
    for (const image of [this.before, this.after]) image.addEventListener("load", () => this.fit(image));
    this.split.addEventListener("input", () => this.placeBorder(Number(this.split.value)));
    this.before.addEventListener("error", () => this.frame.classList.add("alone"));
    for (const [name, action] of [["fit", () => this.zoomTo(1)], ["pixels", () => this.zoomTo(this.pixelZoom)], ["closer", () => this.zoomTo(this.zoom * 1.5)], ["farther", () => this.zoomTo(this.zoom / 1.5)]]) {
      root.querySelector(`.${name}`).addEventListener("click", action);
    }
    this.frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.frame.addEventListener("dblclick", (event) => this.zoomTo(this.zoom === 1 ? this.pixelZoom : 1, ...this.locate(event)));
    this.frame.addEventListener("keydown", (event) => this.press(event));
    this.frame.addEventListener("pointerdown", (event) => this.touch(event));
    this.frame.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.frame.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    new ResizeObserver(() => this.move(0, 0)).observe(this.frame);
    this.placeBorder(50);
  }

  // Zoom at which a pixel of the image is a pixel of the screen.
  get pixelZoom() {
    return this.width / (this.frame.clientWidth * devicePixelRatio || 1);
  }

  get width() { return this.after.naturalWidth || this.before.naturalWidth || 1; }

  fit(image) {
    this.root.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    this.zoomTo(1);
  }

  setStrength(strength) { this.frame.style.setProperty("--strength", strength); }

  showRain(isShown) { this.frame.classList.toggle("rain", isShown); }

  placeBorder(percent) {
    this.split.value = Math.min(Math.max(percent, 0), 100);
    this.frame.style.setProperty("--split", `${this.split.value}%`);
  }

  // Zoom so that a place of the frame, by default its middle, stays where it is.
  zoomTo(zoom, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const before = this.zoom;
    this.zoom = Math.min(Math.max(zoom, Math.min(1, this.pixelZoom)), Math.max(1, MOST * this.pixelZoom));
    const ratio = this.zoom / before;
    this.move(x - this.x - (x - this.x) * ratio, y - this.y - (y - this.y) * ratio);
  }

  move(right, down) {
    const { clientWidth: width, clientHeight: height } = this.frame;
    this.x = this.keepInside(this.x + right, width);
    this.y = this.keepInside(this.y + down, height);
    this.frame.classList.toggle("zoomed", this.zoom > 1);
    const percent = Math.round((100 * this.zoom) / this.pixelZoom);
    this.root.querySelector(".percent").textContent = Number.isFinite(percent) ? `${percent} %` : "";
    this.frame.classList.toggle("pixelated", this.zoom > 1.5 * this.pixelZoom);
    for (const [name, value] of [["--x", `${this.x}px`], ["--y", `${this.y}px`], ["--zoom", this.zoom]]) this.frame.style.setProperty(name, value);
  }

  // The image covers the frame, or stands in its middle where it is smaller.
  keepInside(place, side) {
    const room = side * (1 - this.zoom);
    return room >= 0 ? room / 2 : Math.min(Math.max(place, room), 0);
  }

  locate(event) {
    const box = this.frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // A wheel alone scrolls the page; pinching on a touchpad arrives as a wheel with the control key.
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomTo(this.zoom * Math.exp(-event.deltaY / 200), ...this.locate(event));
  }

  press(event) {
    const step = 60;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const zooms = { "+": this.zoom * 1.5, "-": this.zoom / 1.5, 0: 1, 1: this.pixelZoom };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && moves[event.key]) this.move(...moves[event.key]);
    else if (zooms[event.key]) this.zoomTo(zooms[event.key]);
    else return;
    event.preventDefault();
  }

  touch(event) {
    const [x] = this.locate(event);
    const border = (this.split.value / 100) * this.frame.clientWidth;
    this.pointers.set(event.pointerId, event);
    this.movesBorder = this.pointers.size === 1 && Math.abs(x - border) < REACH;
    if (this.zoom > 1) this.frame.setPointerCapture(event.pointerId);
  }

  drag(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    this.pointers.set(event.pointerId, event);
    const [x] = this.locate(event);
    if (this.pointers.size === 2) this.pinch(event, last);
    else if (this.zoom > 1 && this.movesBorder) this.placeBorder((100 * x) / this.frame.clientWidth);
    else if (this.zoom > 1) this.move(event.clientX - last.clientX, event.clientY - last.clientY);
  }

  pinch(event, last) {
    const [other] = [...this.pointers.values()].filter((each) => each.pointerId !== event.pointerId);
    const [x, y] = this.locate(event);
    const [otherX, otherY] = this.locate(other);
    const [lastX, lastY] = this.locate(last);
    const ratio = Math.hypot(x - otherX, y - otherY) / (Math.hypot(lastX - otherX, lastY - otherY) || 1);
    this.move((x - lastX) / 2, (y - lastY) / 2);
    this.zoomTo(this.zoom * ratio, (x + otherX) / 2, (y + otherY) / 2);
  }
}
