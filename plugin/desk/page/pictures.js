// Pictures by their address, decoded and kept for those who come back to a frame.

const MOST_BYTES = 400e6;

export class Pictures {
  constructor() {
    this.kept = new Map();
    this.coming = new Map();
    this.bytes = 0;
  }

  // The picture if it is here; null where there is none, undefined while nobody knows.
  now(address) {
    const found = this.kept.get(address);
    if (found !== undefined) {
      this.kept.delete(address);
      this.kept.set(address, found);
    }
    return found;
  }

  load(address) {
    const found = this.now(address);
    if (found !== undefined) return Promise.resolve(found);
    let coming = this.coming.get(address);
    if (!coming) {
      coming = this.fetched(address).finally(() => this.coming.delete(address));
      this.coming.set(address, coming);
    }
    return coming;
  }

  async fetched(address) {
    let answer;
    try {
      answer = await fetch(address);
    } catch {
      return null; // The desk is closed; the next try finds out.
    }
    if (!answer.ok) return null;
    const picture = answer.status === 204 ? null : await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "premultiply" });
    this.keep(address, picture);
    return picture;
  }

  // Addresses of another desk may mean other pictures.
  clear() {
    for (const picture of this.kept.values()) picture?.close();
    this.kept.clear();
    this.bytes = 0;
  }

  keep(address, picture) {
    this.kept.set(address, picture);
    this.bytes += size(picture);
    for (const [oldest, old] of this.kept) {
      if (this.bytes <= MOST_BYTES || oldest === address) break;
      this.kept.delete(oldest);
      this.bytes -= size(old);
      old?.close();
    }
  }
}

function size(picture) {
  return picture ? picture.width * picture.height * 4 : 0;
}
