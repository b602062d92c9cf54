// Paintings of all keyframes: their layers, loaded from the desk and saved to it after every stroke.

import { Layer } from "/page/layers.js";

const KINDS = ["painting", "matte"];
const RETRY_MS = 2000;
// Keyframes whose layers stay in memory; older ones are loaded again when they are looked at, without their undo.
const MOST_HELD = 8;

// One keyframe's layers, made when they are first asked for.
class Held {
  loading = false;
  results = 0;
  used = 0;
  layers = null;

  constructor(id, revision, loaded, width, height) {
    Object.assign(this, { id, revision, loaded, width, height });
  }

  layer(kind) {
    this.layers ??= {};
    return (this.layers[kind] ??= new Layer(this.width, this.height));
  }

  get painting() {
    return this.layer("painting");
  }

  get matte() {
    return this.layer("matte");
  }

  isSaved(kind) {
    return this.layers?.[kind]?.isSaved ?? true;
  }

  has(kind) {
    return Boolean(this.layers?.[kind]);
  }
}

export class Paintings {
  constructor(connection, onChange, onError) {
    this.connection = connection;
    this.onChange = onChange;
    this.onError = onError;
    this.width = 0;
    this.height = 0;
    // By frame: { id, revision, loaded, painting, matte }; id is null until the desk has made the keyframe.
    this.held = new Map();
    this.saving = new Map();
    this.uses = 0;
  }

  letGo() {
    const all = [...this.held.values()].filter((held) => held.layers).sort((a, b) => b.used - a.used);
    for (const held of all.slice(MOST_HELD)) {
      if (held.id === null || held.loading || !KINDS.every((kind) => held.isSaved(kind))) continue;
      held.layers = null;
      held.loaded = false;
    }
  }

  setSize(width, height) {
    this.width = width;
    this.height = height;
  }

  of(frame) {
    return this.held.get(frame);
  }

  // Whether a result lacks strokes that were painted here since.
  isAhead(frame, result) {
    const held = this.held.get(frame);
    return Boolean(held) && (Boolean(held.has("painting") && held.painting.brush) || !held.isSaved("painting") || (result?.revision ?? 0) < held.results);
  }

  // The desk was opened again: it counts from nothing, and knows what is on disk. What is not saved yet stays.
  restart() {
    for (const held of this.held.values()) Object.assign(held, { revision: -1, results: 0 });
  }

  get isSaved() {
    return !this.saving.size && [...this.held.values()].every((held) => KINDS.every((kind) => held.isSaved(kind)));
  }

  // When all that was painted is with the desk.
  async settled() {
    while (!this.isSaved) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  // The desk's keyframes changed: what another tab or a painting program made is loaded again when it is looked at.
  follow(keyframes) {
    const known = new Map(keyframes.map((keyframe) => [keyframe.frame, keyframe]));
    for (const [frame, held] of this.held) {
      const now = known.get(frame);
      if (!now && held.id !== null) this.held.delete(frame);
      else if (now && held.id === null) {
        // Asked for by the first stroke.
        held.id = now.id;
        held.revision = now.revision;
        if (!held.loaded) held.loaded = !now.has_painting;
        this.saveFrame(frame);
      } else if (now && now.id !== held.id) this.held.delete(frame);
      else if (now && now.revision > held.revision) {
        held.revision = now.revision;
        if (now.by !== this.connection.name) held.loaded = false;
      }
    }
    for (const keyframe of keyframes) {
      if (!this.held.has(keyframe.frame)) this.held.set(keyframe.frame, this.fresh(keyframe.id, keyframe.revision, !keyframe.has_painting && !keyframe.has_matte));
    }
  }

  fresh(id, revision, loaded) {
    return new Held(id, revision, loaded, this.width, this.height);
  }

  async load(frame) {
    const held = this.held.get(frame);
    if (held) {
      held.used = ++this.uses;
      this.letGo();
    }
    if (!held || held.loaded || held.loading || held.id === null) return;
    held.loading = true;
    const revision = held.revision;
    try {
      for (const kind of KINDS) {
        const answer = await fetch(`/${kind}/${held.id}?revision=${revision}`);
        const none = answer.status === 204;
        if (!answer.ok) throw new Error((await answer.json()).error);
        const picture = none ? null : await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
        // A stroke that began meanwhile is newer than what was fetched.
        if ((picture || held.has(kind)) && !held[kind].brush && held[kind].isSaved) held[kind].load(picture);
        picture?.close();
      }
      held.loaded = held.revision === revision;
    } catch (error) {
      held.loaded = true;
      this.onError(`the painting of frame ${frame} cannot be shown: ${error.message}`);
    } finally {
      held.loading = false;
    }
    this.onChange();
    if (!held.loaded) this.load(frame);
  }

  // The layer for a new stroke on a frame; a frame that has no keyframe becomes one. Null while it is being loaded.
  begin(frame, kind) {
    let held = this.held.get(frame);
    if (!held) {
      if (!this.width) return null;
      // Where the desk is closed it is asked once it is back.
      this.connection.ask({ do: "add", frame });
      held = this.fresh(null, 0, true);
      this.held.set(frame, held);
    }
    return held.loaded ? held[kind] : null;
  }

  saveAll() {
    for (const [frame, held] of this.held) {
      if (held.id === null) this.connection.ask({ do: "add", frame });
      else this.saveFrame(frame);
    }
  }

  saveFrame(frame) {
    for (const kind of KINDS) this.save(frame, kind);
  }

  // One at a time for each layer; what is painted meanwhile goes with the next.
  async save(frame, kind) {
    const held = this.held.get(frame);
    if (!held || held.id === null || held.isSaved(kind)) return;
    const key = `${kind} ${frame}`;
    if (this.saving.has(key)) return;
    this.saving.set(key, true);
    const layer = held[kind];
    try {
      while (!layer.isSaved && this.held.get(frame) === held) {
        const changes = layer.changes;
        const found = await this.connection.save(kind, held.id, await layer.blob());
        layer.saved = Math.max(layer.saved, changes);
        held.revision = Math.max(held.revision, found.revision);
        held.results = found.results;
      }
    } catch (error) {
      this.onError(`not saved yet: ${error.message}`);
      setTimeout(() => this.save(frame, kind), RETRY_MS);
    } finally {
      this.saving.delete(key);
    }
  }
}
