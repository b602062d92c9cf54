// Viewer: pictures and layers of one frame on a canvas, with zoom, pan, a wipe, and what lies under the pointer.

const LEAST_ZOOM = 0.05;
const MOST_ZOOM = 32;
const ONION_SHARE = 0.4;
const MATTE_SHARE = 0.5;
const WIPE_GRIP = 8;
const DISPLAY_GAMMA = 2.2;

export class Viewer {
  // `source()` gives what to draw: { plate, result, carried, onion, taken, painting, matte, base, toggles, exposure, width, height }.
  constructor(element, source, hear) {
    this.canvas = element;
    this.context = element.getContext("2d");
    // One pixel that is read often, so that the whole canvas need not be.
    this.one = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    this.under = null;
    this.source = source;
    this.hear = hear;
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    this.wipe = 0.5;
    this.pointer = null;
    this.drag = null;
    this.dirty = false;
    new ResizeObserver(() => this.resize()).observe(element);
    element.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.onDown(event));
    element.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (event) => this.onUp(event));
    element.addEventListener("pointerleave", () => { this.pointer = null; this.hear.point(null); this.draw(); });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  resize() {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.fitted) this.fit();
    this.draw();
  }

  fit() {
    const { width, height } = this.source();
    if (!width) return;
    this.fitted = true;
    this.scale = Math.min(this.canvas.width / width, this.canvas.height / height);
    this.left = (this.canvas.width - width * this.scale) / 2;
    this.top = (this.canvas.height - height * this.scale) / 2;
    this.hear.zoomed(this.scale / devicePixelRatio);
    this.draw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const scale = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.hear.zoomed(scale / devicePixelRatio);
    this.draw();
  }

  // Once before the next picture of the screen, however often it is asked for.
  draw() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => { this.dirty = false; this.paint(); });
  }

  paint() {
    const { context, canvas } = this;
    const shown = this.source();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const { width, height } = shown;
    if (!width) return;
    context.setTransform(this.scale, 0, 0, this.scale, this.left, this.top);
    context.imageSmoothingEnabled = this.scale < 3;
    context.imageSmoothingQuality = "high";
    const draw = (picture, share = 1) => {
      if (!picture) return;
      context.globalAlpha = share;
      context.drawImage(picture, 0, 0, width, height);
      context.globalAlpha = 1;
    };
    const result = shown.result || shown.plate;
    if (shown.base === "wipe") {
      draw(shown.plate);
      context.save();
      context.beginPath();
      context.rect(0, 0, width * this.wipe, height);
      context.clip();
      draw(result);
      context.restore();
    } else {
      draw(shown.base === "result" ? result : shown.plate);
    }
    draw(this.plateWithin(shown));
    // Layers have the view's codes, in which light is about a power: near enough to see what they are beside the plate.
    context.filter = shown.exposure ? `brightness(${2 ** (shown.exposure / DISPLAY_GAMMA)})` : "none";
    if (shown.toggles.onion) draw(shown.onion, ONION_SHARE);
    if (shown.toggles.painting) draw(shown.painting);
    context.filter = "none";
    if (shown.showsMatte) draw(shown.matte, MATTE_SHARE);
    if (shown.toggles.carried) draw(shown.carried);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (shown.base === "wipe") {
      const x = this.left + width * this.wipe * this.scale;
      context.fillStyle = "#e0994a";
      context.fillRect(x - 1, this.top, 2, height * this.scale);
    }
    if (this.pointer && shown.brushSize) {
      context.strokeStyle = "#fff";
      context.globalCompositeOperation = "difference";
      context.beginPath();
      context.arc(this.pointer.x, this.pointer.y, Math.max(1.5, (shown.brushSize * this.scale) / 2), 0, 2 * Math.PI);
      context.stroke();
      context.globalCompositeOperation = "source-over";
    }
    this.hear.drawn();
  }

  // What was taken away from the painting is the plate, until there is a result without it.
  plateWithin({ taken, plate, width, height }) {
    if (!taken || !plate) return null;
    if (this.under?.canvas.width !== width || this.under.canvas.height !== height) this.under = new OffscreenCanvas(width, height).getContext("2d");
    const { under } = this;
    under.globalCompositeOperation = "copy";
    under.drawImage(taken, 0, 0);
    under.globalCompositeOperation = "source-in";
    under.drawImage(plate, 0, 0, width, height);
    return under.canvas;
  }

  // The color on the screen, whatever it is made of.
  pick(x, y) {
    this.one.drawImage(this.canvas, x, y, 1, 1, 0, 0, 1, 1);
    return [...this.one.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * devicePixelRatio;
    const y = (event.clientY - box.top) * devicePixelRatio;
    return { x, y, px: (x - this.left) / this.scale, py: (y - this.top) / this.scale };
  }

  onWheel(event) {
    event.preventDefault();
    const { x, y } = this.place(event);
    this.zoom(Math.exp(-event.deltaY * 0.0016), x, y);
  }

  onDown(event) {
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    const shown = this.source();
    const wipeAt = this.left + shown.width * this.wipe * this.scale;
    if (event.button === 1 || (event.button === 0 && event.ctrlKey)) {
      this.drag = { what: "pan", x: at.x, y: at.y };
    } else if (event.button === 0 && shown.base === "wipe" && Math.abs(at.x - wipeAt) < WIPE_GRIP * devicePixelRatio) {
      this.drag = { what: "wipe" };
    } else if (event.button === 0) {
      this.drag = { what: "tool" };
      // The pointer's own ring is no part of the color.
      this.hear.tool("begin", at.px, at.py, pressureOf(event), at, event);
    }
    event.preventDefault();
  }

  onMove(event) {
    const at = this.place(event);
    this.pointer = at;
    if (this.drag?.what === "pan") {
      this.left += at.x - this.drag.x;
      this.top += at.y - this.drag.y;
      this.drag.x = at.x;
      this.drag.y = at.y;
      this.fitted = false;
    } else if (this.drag?.what === "wipe") {
      this.wipe = Math.min(1, Math.max(0, (at.x - this.left) / (this.source().width * this.scale)));
    } else if (this.drag?.what === "tool") {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) {
        const place = this.place(each);
        this.hear.tool("move", place.px, place.py, pressureOf(each), place, each);
      }
    }
    this.hear.point(at);
    this.draw();
  }

  onUp(event) {
    const at = this.place(event);
    if (this.drag?.what === "tool") this.hear.tool("end", at.px, at.py, pressureOf(event), at, event);
    this.drag = null;
    this.draw();
  }
}

// A mouse presses fully.
function pressureOf(event) {
  return event.pointerType === "mouse" || !event.pressure ? 1 : event.pressure;
}
