// Scrub bar: thumbnails, keyframes, how much of each frame is carried, what is rendered, and where to paint next.

const STRIP = 6;
const MARKS = 14;
const LEAST_THUMBNAIL = 72;

export class Timeline {
  // `source()` gives { frames, frame, keyframes, carried, suggested, results, thumbnail(frame) }.
  constructor(element, source, onFrame) {
    this.canvas = element;
    this.context = element.getContext("2d");
    this.source = source;
    this.dirty = false;
    this.drag = false;
    new ResizeObserver(() => this.draw()).observe(element);
    const scrub = (event) => {
      const { frames } = this.source();
      const box = element.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      onFrame(frames[Math.min(frames.length - 1, Math.max(0, Math.floor(share * frames.length)))]);
    };
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.drag = true;
      scrub(event);
    });
    element.addEventListener("pointermove", (event) => { if (this.drag) scrub(event); });
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => { this.drag = false; });
  }

  draw() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => { this.dirty = false; this.paint(); });
  }

  paint() {
    const { canvas, context } = this;
    const ratio = devicePixelRatio;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const { frames, frame, keyframes, carried, suggested, results, thumbnail } = this.source();
    if (!frames.length) return;
    const each = width / frames.length;
    const bottom = height - 2 * STRIP - 2;
    this.thumbnails(frames, each, MARKS, bottom, thumbnail);
    for (const [index, number] of frames.entries()) {
      const x = index * each;
      if (carried.length) {
        const share = carried[index];
        context.fillStyle = `rgb(${Math.round(210 - 140 * share)},${Math.round(70 + 110 * share)},${Math.round(64 + 90 * share)})`;
        context.fillRect(x, bottom + 2, Math.ceil(each), STRIP);
      }
      const result = results[number];
      if (result) {
        context.fillStyle = result.proxy ? "#5d636b" : "#c9cdd2";
        context.fillRect(x, bottom + 2 + STRIP, Math.ceil(each), STRIP - 2);
      }
    }
    for (const one of suggested) this.mark(frames.indexOf(one.frame), each, "#8d949d", false);
    for (const keyframe of keyframes) this.mark(frames.indexOf(keyframe.frame), each, keyframe.on ? "#e0994a" : "#6b5433", keyframe.painted);
    const at = frames.indexOf(frame);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.strokeRect(at * each + 0.5, 0.75, Math.max(2, each - 1), height - 1.5);
  }

  thumbnails(frames, each, top, bottom, thumbnail) {
    const step = Math.max(1, Math.ceil(LEAST_THUMBNAIL / each));
    for (let index = 0; index < frames.length; index += step) {
      const picture = thumbnail(frames[index]);
      if (!picture) continue;
      const wide = Math.min(each * step, (frames.length - index) * each);
      const scale = Math.max(wide / picture.width, (bottom - top) / picture.height);
      const [w, h] = [wide / scale, (bottom - top) / scale];
      this.context.drawImage(picture, (picture.width - w) / 2, (picture.height - h) / 2, w, h, index * each, top, wide - 1, bottom - top);
    }
  }

  mark(index, each, color, filled) {
    if (index < 0) return;
    const { context } = this;
    const x = (index + 0.5) * each;
    context.beginPath();
    context.moveTo(x, 2);
    context.lineTo(x + 5, 7);
    context.lineTo(x, 12);
    context.lineTo(x - 5, 7);
    context.closePath();
    context.fillStyle = context.strokeStyle = color;
    context.lineWidth = 1.5;
    if (filled) context.fill();
    context.stroke();
  }
}
