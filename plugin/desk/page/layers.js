// A layer to paint on: strokes with pressure, undo and redo. Its alpha is what is painted.

const MOST_UNDO_BYTES = 200e6;
const SPACING = 0.12;

function canvas(width, height) {
  const made = document.createElement("canvas");
  made.width = width;
  made.height = height;
  return made;
}

export class Layer {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    // Done strokes, the stroke at work, and both together, which is shown.
    this.done = canvas(width, height);
    this.stroke = canvas(width, height);
    this.shown = canvas(width, height);
    this.contexts = [this.done, this.stroke, this.shown].map((each) => each.getContext("2d", { willReadFrequently: true }));
    this.undone = [];
    this.past = [];
    this.bytes = 0;
    this.brush = null;
    // The layer as the last result has it, from when something is taken away until a newer result comes.
    this.seen = null;
    // Counts changes; what is saved is behind until it is the same.
    this.changes = 0;
    this.saved = 0;
  }

  get isSaved() {
    return this.saved === this.changes;
  }

  // Replace everything by a picture from the desk, or by nothing.
  load(picture) {
    for (const context of this.contexts) context.clearRect(0, 0, this.width, this.height);
    if (picture) for (const context of [this.contexts[0], this.contexts[2]]) context.drawImage(picture, 0, 0);
    this.past = [];
    this.undone = [];
    this.bytes = 0;
    this.brush = null;
    this.seen = null;
    this.changes = this.saved = 0;
  }

  keepSeen() {
    if (this.seen) return;
    this.seen = canvas(this.width, this.height);
    this.seen.getContext("2d").drawImage(this.done, 0, 0);
  }

  begin(brush, x, y, pressure) {
    if (brush.erases) this.keepSeen();
    this.brush = { ...brush, tip: tipOf(brush), at: null, left: 0, box: null };
    this.contexts[1].clearRect(0, 0, this.width, this.height);
    this.move(x, y, pressure);
  }

  move(x, y, pressure) {
    const brush = this.brush;
    if (!brush) return;
    const from = brush.at || { x, y, pressure };
    const length = Math.hypot(x - from.x, y - from.y);
    const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
    let along = brush.at ? brush.left : 0;
    while (along <= length) {
      const share = length ? along / length : 0;
      const force = from.pressure + (pressure - from.pressure) * share;
      const size = Math.max(1, brush.size * force);
      this.stamp(from.x + (x - from.x) * share, from.y + (y - from.y) * share, size, box);
      along += Math.max(0.5, size * SPACING);
    }
    brush.left = along - length;
    brush.at = { x, y, pressure };
    if (box.right > box.left) {
      brush.box = brush.box ? joined(brush.box, box) : box;
      this.merge(this.clipped(box));
    }
  }

  stamp(x, y, size, box) {
    const half = size / 2;
    this.contexts[1].drawImage(this.brush.tip, x - half, y - half, size, size);
    box.left = Math.min(box.left, x - half - 1);
    box.top = Math.min(box.top, y - half - 1);
    box.right = Math.max(box.right, x + half + 1);
    box.bottom = Math.max(box.bottom, y + half + 1);
  }

  // Done strokes and the stroke at work, in a box of what is shown.
  merge(box) {
    const [, , shown] = this.contexts;
    const { left, top, width, height } = box;
    if (width <= 0 || height <= 0) return;
    shown.clearRect(left, top, width, height);
    shown.drawImage(this.done, left, top, width, height, left, top, width, height);
    if (!this.brush) return;
    shown.globalAlpha = this.brush.opacity;
    shown.globalCompositeOperation = this.brush.erases ? "destination-out" : "source-over";
    shown.drawImage(this.stroke, left, top, width, height, left, top, width, height);
    shown.globalAlpha = 1;
    shown.globalCompositeOperation = "source-over";
  }

  end() {
    const brush = this.brush;
    if (!brush) return false;
    this.brush = null;
    if (!brush.box) return false;
    const box = this.clipped(brush.box);
    this.contexts[1].clearRect(0, 0, this.width, this.height);
    if (box.width <= 0 || box.height <= 0) return false;
    const before = this.contexts[0].getImageData(box.left, box.top, box.width, box.height);
    const after = this.contexts[2].getImageData(box.left, box.top, box.width, box.height);
    this.contexts[0].putImageData(after, box.left, box.top);
    this.remember({ box, before, after });
    this.changes += 1;
    return true;
  }

  remember(step) {
    for (const gone of this.undone) this.bytes -= bytesOf(gone);
    this.undone = [];
    this.past.push(step);
    this.bytes += bytesOf(step);
    while (this.bytes > MOST_UNDO_BYTES && this.past.length > 1) this.bytes -= bytesOf(this.past.shift());
  }

  undo() {
    return this.step(this.past, this.undone, "before");
  }

  redo() {
    return this.step(this.undone, this.past, "after");
  }

  step(from, to, which) {
    const step = from.pop();
    if (!step || this.brush) return false;
    this.keepSeen();
    to.push(step);
    this.contexts[0].putImageData(step[which], step.box.left, step.box.top);
    this.merge(step.box);
    this.changes += 1;
    return true;
  }

  blob() {
    return new Promise((resolve) => this.done.toBlob(resolve, "image/png"));
  }

  clipped(box) {
    const left = Math.max(0, Math.floor(box.left));
    const top = Math.max(0, Math.floor(box.top));
    const width = Math.min(this.width, Math.ceil(box.right)) - left;
    return { left, top, width, height: Math.min(this.height, Math.ceil(box.bottom)) - top };
  }
}

function joined(a, b) {
  return { left: Math.min(a.left, b.left), top: Math.min(a.top, b.top), right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom) };
}

function bytesOf(step) {
  return step.before.data.length * 2;
}

// The brush's mark: a disk whose edge is as soft as asked.
function tipOf(brush) {
  const side = Math.max(2, Math.min(512, Math.ceil(brush.size)));
  const tip = canvas(side, side);
  const context = tip.getContext("2d");
  const half = side / 2;
  const inner = Math.max(0, 1 - brush.softness - 1.5 / side);
  const paint = context.createRadialGradient(half, half, 0, half, half, half);
  const [r, g, b] = brush.color;
  paint.addColorStop(0, `rgba(${r},${g},${b},1)`);
  paint.addColorStop(inner, `rgba(${r},${g},${b},1)`);
  paint.addColorStop(1, `rgba(${r},${g},${b},0)`);
  context.fillStyle = paint;
  context.fillRect(0, 0, side, side);
  return tip;
}
