// Connection to the desk: a socket for state and requests, layers by PUT.

const RETRY_MS = 1000;

export class Connection {
  // What this tab is called, so that it knows its own changes again.
  name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  constructor(onMessage, onOpen) {
    this.onMessage = onMessage;
    this.onOpen = onOpen;
    this.socket = null;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/socket`);
    this.socket = socket;
    socket.addEventListener("open", () => this.onOpen(true));
    socket.addEventListener("message", (event) => this.onMessage(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      this.onOpen(false);
      setTimeout(() => this.connect(), RETRY_MS);
    });
  }

  ask(request) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(request));
    return true;
  }

  // Send a layer; its new revision, and the revision of results that have it.
  async save(kind, id, blob) {
    const answer = await fetch(`/${kind}/${id}?by=${this.name}`, { method: "PUT", body: blob });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error || `refused (${answer.status})`);
    return found;
  }
}
