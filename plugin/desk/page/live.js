// Live: the browser's own camera, each picture sent to the desk and shown stylized. What is too much is dropped.

const LONGEST = 320;
// Two on their way: one is followed while the other one is stylized. On a machine that has other work, two take longer
// each and no less together.
const MOST_WAITING = 2;
const LATE_S = 0.4;
const WINDOW_MS = 3000;

const find = (id) => document.getElementById(id);

export class Live {
  constructor(onError) {
    this.onError = onError;
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    this.grab = null;
    this.stream = null;
    this.media = null;
    this.run = 0;
    find("live-start").addEventListener("click", () => (this.media ? this.stop() : this.start()));
    find("live-key").addEventListener("click", () => this.tell("key"));
    find("live-unkey").addEventListener("click", () => this.tell("unkey"));
    find("live-close").addEventListener("click", () => this.show(false));
    addEventListener("pagehide", () => this.stop());
    this.say("");
  }

  show(open) {
    find("live").hidden = !open;
    if (!open) this.stop();
  }

  async start() {
    if (this.starting) return;
    this.starting = true;
    try {
      this.say("asking for the camera");
      this.media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 360 } }, audio: false });
      this.video.srcObject = this.media;
      await this.video.play();
      const scale = Math.min(1, LONGEST / Math.max(this.video.videoWidth, this.video.videoHeight));
      this.width = Math.max(16, 2 * Math.round((this.video.videoWidth * scale) / 2));
      this.height = Math.max(16, 2 * Math.round((this.video.videoHeight * scale) / 2));
      this.grab = new OffscreenCanvas(this.width, this.height).getContext("2d", { willReadFrequently: true });
      Object.assign(find("live-picture"), { width: this.width, height: this.height });
      this.say("loading the look as it is trained so far");
      const begun = await this.ask("/live/start");
      if (begun.error) throw new Error(begun.error);
      this.stream = begun.stream;
      Object.assign(this, { waiting: 0, order: 0, last: 0, shown: 0, dropped: 0, recent: [], behind: 0, keyframe: "none", carried: 0 });
      this.next(++this.run);
    } catch (error) {
      this.stop();
      this.fail(error);
    } finally {
      this.starting = false;
      this.buttons();
    }
  }

  stop() {
    this.run++;
    for (const track of this.media?.getTracks() ?? []) track.stop();
    this.media = null;
    if (this.stream !== null) fetch(`/live/${this.stream}/stop`, { method: "POST", keepalive: true }).catch(() => {});
    this.stream = null;
    this.say("");
    this.buttons();
  }

  async tell(what) {
    if (this.stream === null) return;
    try {
      await this.ask(`/live/${this.stream}/${what}`);
    } catch (error) {
      this.fail(error);
    }
  }

  // Once for every picture of the camera.
  next(run) {
    if (run !== this.run) return;
    if (this.waiting < (this.behind > LATE_S ? 1 : MOST_WAITING)) this.send(run);
    else this.dropped++;
    this.video.requestVideoFrameCallback(() => this.next(run));
  }

  async send(run) {
    const taken = performance.now();
    const order = ++this.order;
    this.grab.drawImage(this.video, 0, 0, this.width, this.height);
    const { data } = this.grab.getImageData(0, 0, this.width, this.height);
    this.waiting++;
    try {
      const answer = await fetch(`/live/${this.stream}/picture?width=${this.width}&height=${this.height}`, { method: "POST", body: data });
      if (run !== this.run) return;
      if (answer.status === 204) throw new Error("another page began a camera, or it was stopped");
      if (!answer.ok) throw new Error((await answer.json()).error);
      const pixels = new Uint8ClampedArray(await answer.arrayBuffer());
      if (run !== this.run) return;
      // A later one was faster.
      if (order < this.last) this.dropped++;
      else this.draw(order, pixels, taken, answer.headers);
    } catch (error) {
      if (run !== this.run) return;
      this.stop();
      this.fail(error);
    } finally {
      this.waiting--;
    }
  }

  draw(order, pixels, taken, headers) {
    find("live-picture").getContext("2d").putImageData(new ImageData(pixels, this.width, this.height), 0, 0);
    const now = performance.now();
    this.last = order;
    this.shown++;
    this.recent = [...this.recent.filter((one) => now - one.at < WINDOW_MS), { at: now, behind: now - taken }];
    this.keyframe = headers.get("X-Keyframe");
    this.carried = Number(headers.get("X-Carried"));
    this.figures();
    this.buttons();
  }

  figures() {
    const { recent } = this;
    const span = Math.max(1, recent.at(-1).at - recent[0].at);
    const fps = recent.length > 1 ? (1000 * (recent.length - 1)) / span : 0;
    const sorted = recent.map((one) => one.behind).sort((a, b) => a - b);
    const behind = (this.behind = sorted[sorted.length >> 1] / 1000);
    const worst = sorted.at(-1) / 1000;
    const key = { none: "", coming: " · the keyframe comes", followed: ` · ${Math.round(100 * this.carried)} % carried` }[this.keyframe];
    this.say(`${fps.toFixed(1)} frames/s · ${behind.toFixed(2)} s behind · ${this.dropped} dropped${key}`);
    Object.assign(find("live").dataset, { fps: fps.toFixed(2), behind: behind.toFixed(3), worst: worst.toFixed(3), shown: this.shown, dropped: this.dropped, keyframe: this.keyframe, carried: this.carried });
  }

  async ask(address) {
    const answer = await fetch(address, { method: "POST" });
    if (!answer.ok) throw new Error((await answer.json()).error);
    return answer.status === 204 ? null : answer.json();
  }

  fail(error) {
    const why = { NotAllowedError: "the camera was not allowed", NotFoundError: "there is no camera" }[error.name] || error.message;
    this.say(why);
    this.onError(`live: ${why}`);
  }

  say(text) {
    find("live-figures").textContent = text;
  }

  buttons() {
    find("live-start").textContent = this.media ? "Stop" : "Start camera";
    find("live-key").disabled = this.stream === null;
    find("live-unkey").disabled = this.stream === null || this.keyframe === "none";
  }
}
