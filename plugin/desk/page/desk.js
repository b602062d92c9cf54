// The desk: what the server says and what a person does, joined. The server holds the state; this page shows it.

import { Connection } from "/page/connection.js";
import { listen } from "/page/keys.js";
import { Live } from "/page/live.js";
import { Paintings } from "/page/paintings.js";
import { Panel } from "/page/panel.js";
import { Pictures } from "/page/pictures.js";
import { Timeline } from "/page/timeline.js";
import { Viewer } from "/page/viewer.js";

const PLAY_MS = 1000 / 24;
const VALUES_EVERY_MS = 80;
const ATTEND_EVERY_MS = 700;
const MATTE_COLOR = [235, 72, 46];

// In place of a result.
const NO_RESULT = {
  unpainted: "the plate: nothing is painted yet",
  starting: "the plate: the trainer is being loaded",
  failed: "the plate: the trainer stopped",
};

const find = (id) => document.getElementById(id);
const pictures = new Pictures();

let desk = { frames: [], keyframes: [], removed: [], results: {}, tasks: {}, carried: [], suggested: [], training: {}, messages: [], width: 0, height: 0 };
let frame = null;
let base = "plate";
let toggles = { painting: true, onion: false, carried: false };
let tool = "brush";
let exposure = 0;
let playing = 0;
let strokes = null;
let point = null;

const connection = new Connection(onMessage, onOpen);
const paintings = new Paintings(connection, () => viewer.draw(), (text) => panel.message({ level: "error", text }));
const viewer = new Viewer(find("picture"), shown, { tool: useTool, point: showValues, zoomed: showZoom, drawn: markDrawn });
const timeline = new Timeline(find("timeline"), () => ({ ...desk, frame, thumbnail }), go);
const panel = new Panel({
  train: (what) => connection.ask({ do: "train", what }),
  add: () => connection.ask({ do: "add", frame }),
  go,
  turn: (id, on) => connection.ask({ do: "switch", id, on }),
  open: async (id) => { await paintings.settled(); connection.ask({ do: "open", id }); },
  remove: (id) => connection.ask({ do: "remove", id }),
  restore: (id) => connection.ask({ do: "restore", id }),
  follow: () => connection.ask({ do: "follow" }),
  report: () => connection.ask({ do: "report" }),
  commit: async (render) => { await paintings.settled(); connection.ask({ do: "commit", render }); },
  cancel: (task) => connection.ask({ do: "cancel", task }),
});

const live = new Live((text) => panel.message({ level: "error", text }));
find("open-live").addEventListener("click", () => live.show(find("live").hidden));

// What comes from the desk

function onOpen(open) {
  find("connection").textContent = open ? "" : "the desk is closed: open it again; what you paint meanwhile is kept in this tab";
  if (open) paintings.saveAll();
}

function onMessage(message) {
  if (message.type === "state") onState(message);
  else if (message.type === "training") panel.training((desk.training = message));
  else if (message.type === "result") onResult(message);
  else if (message.type === "task") {
    desk.tasks[message.name] = message;
    panel.tasks(desk.tasks);
  } else if (message.type === "message") panel.message(message);
}

function onState(state) {
  const first = frame === null;
  if (!first && desk.run !== state.run) {
    // Opened again: its numbers mean other pictures now.
    pictures.clear();
    platesByFrame = new Map();
    lastResult = null;
    paintings.restart();
    connection.ask({ do: "look_at", frame });
  }
  desk = state;
  find("report").disabled = !desk.report;
  find("name").textContent = desk.name;
  document.title = `${desk.name} · Paintover`;
  paintings.setSize(desk.width, desk.height);
  if (first) {
    frame = desk.view;
    panel.messages(desk.messages);
    viewer.fit();
    connection.ask({ do: "look_at", frame });
  }
  paintings.follow(desk.keyframes);
  panel.training(desk.training);
  panel.tasks(desk.tasks);
  panel.advice(desk.advice, desk.suggested);
  refresh();
}

function onResult({ frame: number, ...facts }) {
  desk.results[number] = facts;
  timeline.draw();
  if (number !== frame) return;
  fetchFrame();
  if (point) showValues(point);
}

// The frame in view

function addressOf(kind, number = frame) {
  const query = exposure ? `exposure=${exposure}` : "";
  if (kind === "plate") return `/plate/${number}?${query}`;
  const result = desk.results[number];
  if (!result) return null;
  return `/${kind}/${number}?stamp=${result.stamp}${kind === "result" && query ? `&${query}` : ""}`;
}

let lastResult = null;

function shown() {
  const plate = pictures.now(addressOf("plate")) || lastPlate(frame) || (exposure ? null : pictures.now(`/thumbnail/${frame}`)) || [...platesByFrame.values()][0];
  const address = addressOf("result");
  const result = address ? pictures.now(address) : null;
  if (result) lastResult = { frame, picture: result, stamp: desk.results[frame].stamp };
  // Until the newer one is here the older one stays: nothing flickers.
  const kept = lastResult?.frame === frame ? lastResult.picture : null;
  const held = paintings.of(frame);
  const ahead = paintings.isAhead(frame, desk.results[frame]);
  if (!ahead && held?.has("painting")) held.painting.seen = null;
  if (held?.has("matte")) held.matte.seen = null;
  const carried = toggles.carried && desk.results[frame] ? overlay(pictures.now(addressOf("carried")), frame) : null;
  return {
    width: desk.width, height: desk.height, base, toggles, exposure, plate, carried,
    result: result || kept,
    // Over a result only strokes that it does not have yet.
    taken: base !== "plate" && ahead && held?.has("painting") ? held.painting.seen : null,
    painting: base === "plate" || ahead ? shownLayer(held, "painting") : null,
    matte: shownLayer(held, "matte"),
    showsMatte: tool === "matte" || tool === "unmatte",
    onion: toggles.onion ? onion() : null,
    brushSize: tool === "picker" ? 0 : Number(find("size").value),
  };
}

function shownLayer(held, kind) {
  return held?.has(kind) ? held[kind].shown : null;
}

let platesByFrame = new Map();

// At another exposure the plate of before stays until the new one is here; and so that nothing flashes, that of the frame
// before does.
function lastPlate(number) {
  return platesByFrame.get(number) || null;
}

let fetching = null;
let fetchAgain = false;

// One picture at a time, and then those of the frame that is in view by then: whoever scrubs waits for one, not for all
// that were passed by.
function fetchFrame() {
  fetchAgain = true;
  fetching ??= fetchOn();
  return fetching;
}

async function fetchOn() {
  try {
    while (fetchAgain) {
      fetchAgain = false;
      await fetchPictures();
    }
  } finally {
    fetching = null;
  }
}

async function fetchPictures() {
  const number = frame;
  const wanted = [addressOf("plate", number), addressOf("result", number)];
  if (toggles.carried) wanted.push(addressOf("carried", number));
  for (const address of wanted) {
    if (!address) continue;
    const picture = await pictures.load(address);
    if (address === wanted[0] && picture) platesByFrame = new Map([[number, picture]]);
    if (number !== frame) return;
    viewer.draw();
  }
}

function go(number) {
  if (number === frame || number === undefined) return;
  frame = number;
  // What plays is only looked at: whoever stops wants the frame.
  if (!playing) connection.ask({ do: "look_at", frame });
  refresh();
}

function refresh() {
  find("frame").textContent = frame;
  if (playing) find("readout").textContent = "";
  else if (point) showValues(point);
  panel.keyframes(desk.keyframes, desk.removed, frame);
  paintings.load(frame);
  if (toggles.onion) {
    const other = nearest();
    if (other) paintings.load(other.frame);
  }
  fetchFrame();
  timeline.draw();
  viewer.draw();
}

function nearest() {
  const others = desk.keyframes.filter((keyframe) => keyframe.frame !== frame && keyframe.painted);
  return others.sort((a, b) => Math.abs(a.frame - frame) - Math.abs(b.frame - frame))[0];
}

function onion() {
  const other = nearest();
  return other ? shownLayer(paintings.of(other.frame), "painting") : null;
}

let overlayOf = { picture: null, made: null };

// Red where nothing is carried, from a gray picture of the share.
function overlay(picture) {
  if (!picture || picture === overlayOf.picture) return picture && overlayOf.made;
  const made = new OffscreenCanvas(picture.width, picture.height);
  const context = made.getContext("2d");
  context.drawImage(picture, 0, 0);
  const data = context.getImageData(0, 0, made.width, made.height);
  for (let index = 0; index < data.data.length; index += 4) {
    data.data[index + 3] = 0.65 * (255 - data.data[index]);
    data.data.set(MATTE_COLOR, index);
  }
  context.putImageData(data, 0, 0);
  overlayOf = { picture, made };
  return made;
}

let thumbnailsWanted = [];
let thumbnailsBusy = false;

function thumbnail(number) {
  const address = `/thumbnail/${number}`;
  const found = pictures.now(address);
  if (found === undefined && !thumbnailsWanted.includes(address)) {
    thumbnailsWanted.push(address);
    loadThumbnails();
  }
  return found;
}

// One after the other: they must not delay the frame in view.
async function loadThumbnails() {
  if (thumbnailsBusy) return;
  thumbnailsBusy = true;
  while (thumbnailsWanted.length) {
    await pictures.load(thumbnailsWanted[0]);
    thumbnailsWanted.shift();
    timeline.draw();
  }
  thumbnailsBusy = false;
}

// Tools

function brush() {
  const color = find("color").value;
  const matte = tool === "matte" || tool === "unmatte";
  const rgb = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return {
    color: matte ? MATTE_COLOR : rgb,
    size: Number(find("size").value),
    opacity: Number(find("opacity").value) / 100,
    softness: Number(find("softness").value) / 100,
    erases: tool === "eraser" || tool === "unmatte",
  };
}

function useTool(what, x, y, pressure, at, event) {
  if (tool === "picker" || event.altKey) {
    if (what === "end") return;
    const [r, g, b] = viewer.pick(at.x, at.y);
    find("color").value = `#${[r, g, b].map((code) => code.toString(16).padStart(2, "0")).join("")}`;
    return;
  }
  const kind = tool === "matte" || tool === "unmatte" ? "matte" : "painting";
  if (what === "begin") {
    play(0);
    toggles.painting ||= kind === "painting";
    strokes = paintings.begin(frame, kind);
    attend();
    strokes?.begin(brush(), x, y, pressure);
    showButtons();
  } else if (what === "move") {
    strokes?.move(x, y, pressure);
    attend();
  } else {
    if (strokes?.end()) paintings.save(frame, kind);
    strokes = null;
  }
  viewer.draw();
}

let attendedAt = -ATTEND_EVERY_MS;

// The trainer waits while a stroke is painted: its result comes the sooner.
function attend() {
  if (performance.now() - attendedAt < ATTEND_EVERY_MS) return;
  attendedAt = performance.now();
  connection.ask({ do: "attend" });
}

function layerInUse() {
  const held = paintings.of(frame);
  return tool === "matte" || tool === "unmatte" ? [held?.matte, "matte"] : [held?.painting, "painting"];
}

function change(what) {
  const [layer, kind] = layerInUse();
  if (layer?.[what]()) paintings.save(frame, kind);
  viewer.draw();
}

let valuesAt = 0;

function showValues(at) {
  point = at;
  if (!at) {
    find("readout").textContent = "";
    return;
  }
  const wait = valuesAt + VALUES_EVERY_MS - performance.now();
  if (wait > 0) return;
  valuesAt = performance.now();
  setTimeout(readValues, VALUES_EVERY_MS);
}

async function readValues() {
  if (!point || !desk.width || playing || strokes) return;
  const [x, y] = [Math.floor(point.px), Math.floor(point.py)];
  if (x < 0 || y < 0 || x >= desk.width || y >= desk.height) {
    find("readout").textContent = "";
    return;
  }
  let found;
  try {
    found = await (await fetch(`/values/${frame}?x=${x}&y=${y}`)).json();
  } catch {
    return;
  }
  const told = (name) => (found[name] ? `  ${name} ${found[name].map((value) => value.toFixed(4)).join(" ")}` : "");
  if (point) find("readout").textContent = `${x}, ${y}${told("plate")}${told("result")}  ${desk.working}`;
}

function showZoom(scale) {
  find("zoom").textContent = `${Math.round(100 * scale)} %`;
}

// What is on the screen now, for whoever measures.
function markDrawn() {
  const address = addressOf("result");
  const result = desk.results[frame];
  const here = address && pictures.now(address);
  const isHere = Boolean(pictures.now(addressOf("plate")));
  const without = base === "plate" || here || lastResult?.frame === frame ? "" : NO_RESULT[desk.training.state] || "the plate: this frame is being rendered";
  find("badge").textContent = isHere || frame === null ? without : `loading frame ${frame}`;
  Object.assign(find("viewer").dataset, { frame: frame ?? "", plate: isHere ? frame : "", stamp: here ? result.stamp : "", proxy: here ? result.proxy : "", revision: here ? result.revision : "" });
}

// Playing

function play(direction) {
  const began = playing;
  playing = direction;
  if (began && !direction) connection.ask({ do: "look_at", frame });
  if (direction && !began) playOn(performance.now());
}

async function playOn(due) {
  if (!playing) return;
  step(playing, true);
  await fetchFrame();
  const next = Math.max(performance.now(), due + PLAY_MS);
  setTimeout(() => playOn(next), next - performance.now());
}

function step(count, around = false) {
  const { frames } = desk;
  const at = frames.indexOf(frame) + count;
  go(frames[around ? (at + frames.length) % frames.length : Math.min(frames.length - 1, Math.max(0, at))]);
}

// Buttons and keys

function showButtons() {
  for (const button of document.querySelectorAll("[data-tool]")) button.classList.toggle("on", button.dataset.tool === tool);
  for (const button of document.querySelectorAll("[data-base]")) button.classList.toggle("on", button.dataset.base === base);
  for (const button of document.querySelectorAll("[data-toggle]")) button.classList.toggle("on", toggles[button.dataset.toggle]);
  for (const [name, shown] of [["size", "size-shown"], ["opacity", "opacity-shown"], ["exposure", "stops"]]) find(shown).textContent = find(name).value;
}

function after(act) {
  return (...words) => {
    act(...words);
    showButtons();
    viewer.draw();
  };
}

const set = (id, value) => { const input = find(id); input.value = Math.min(input.max, Math.max(input.min, value)); };
const setTool = after((name) => { tool = name; });
const setBase = after((name) => { base = name; });
const toggle = after((name) => { toggles[name] = !toggles[name]; refresh(); });

for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
for (const button of document.querySelectorAll("[data-base]")) button.addEventListener("click", () => setBase(button.dataset.base));
for (const button of document.querySelectorAll("[data-toggle]")) button.addEventListener("click", () => toggle(button.dataset.toggle));
for (const id of ["size", "opacity", "softness"]) find(id).addEventListener("input", after(() => {}));
find("exposure").addEventListener("input", after(() => { exposure = Number(find("exposure").value); fetchFrame(); }));
find("fit").addEventListener("click", () => viewer.fit());
find("undo").addEventListener("click", () => change("undo"));
find("redo").addEventListener("click", () => change("redo"));
find("backward").addEventListener("click", () => play(-1));
find("stop").addEventListener("click", () => play(0));
find("forward").addEventListener("click", () => play(1));
addEventListener("beforeunload", (event) => { if (!paintings.isSaved) event.preventDefault(); });

listen({
  step: (count) => { play(0); step(count); },
  keyframe: (count) => {
    const before = count < 0;
    const numbers = desk.keyframes.map((each) => each.frame).filter((number) => (before ? number < frame : number > frame));
    if (numbers.length) go(before ? Math.max(...numbers) : Math.min(...numbers));
  },
  end: (count) => go(count < 0 ? desk.frames[0] : desk.frames.at(-1)),
  play,
  plays: () => playing !== 0,
  size: after((factor) => set("size", Math.max(1, Math.round(find("size").value * factor + (factor > 1 ? 0.5 : -0.5))))),
  opacity: after((more) => set("opacity", Number(find("opacity").value) + more)),
  undo: () => change("undo"),
  redo: () => change("redo"),
  tool: setTool,
  base: setBase,
  toggle,
  fit: () => viewer.fit(),
  zoom: (factor) => viewer.zoom(factor),
});
showButtons();
