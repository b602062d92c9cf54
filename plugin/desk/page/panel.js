// Panel: training, keyframes, advice, commit and messages, as text and buttons.

const STATES = {
  unpainted: "Paint a frame to begin.",
  starting: "Loading the trainer.",
  training: "Training.",
  paused: "Paused.",
  trained: "Trained: paint on, or go on.",
  failed: "The trainer stopped.",
};
const MOST_MESSAGES = 30;

const find = (id) => document.getElementById(id);

function element(kind, text = "", facts = {}) {
  const made = Object.assign(document.createElement(kind), facts);
  made.textContent = text;
  return made;
}

export class Panel {
  // `act` has a function for every button.
  constructor(act) {
    this.act = act;
    find("pause").addEventListener("click", () => {
      act.train(this.trains ? "pause" : "go_on");
      // A step may take a while to end.
      find("training-state").textContent = this.trains ? "Pausing after this step." : "Going on.";
      find("pause").disabled = true;
    });
    find("report").addEventListener("click", () => act.report());
    find("again").addEventListener("click", () => act.train("again"));
    find("add").addEventListener("click", () => act.add());
    find("export").addEventListener("click", () => act.commit(false));
    find("render").addEventListener("click", () => act.commit(true));
  }

  training(facts) {
    this.trains = facts.state === "training" || facts.state === "starting";
    find("training-state").textContent = STATES[facts.state] || facts.state;
    // Without a value it moves to and fro.
    if (facts.state === "starting") find("training-bar").removeAttribute("value");
    else find("training-bar").value = facts.fraction || 0;
    // All of them always: nothing below moves while somebody is about to click it.
    const rows = [
      ["loss", facts.loss?.toFixed(4)],
      ["steps", facts.step],
      ["steps a second", facts.steps_per_s?.toFixed(1)],
      ["time left", facts.left_s != null && this.trains ? `${Math.round(facts.left_s)} s` : null],
    ].map(([name, value]) => [name, value || "–"]);
    find("training-facts").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
    find("pause").textContent = this.trains ? "Pause" : "Go on";
    const begun = facts.state !== "unpainted";
    find("pause").disabled = find("again").disabled = !begun;
    find("export").disabled = find("render").disabled = !facts.step;
  }

  keyframes(keyframes, removed, frame) {
    const rows = keyframes.map((keyframe) => {
      const row = element("li", "", { className: keyframe.on ? "" : "off" });
      const go = element("button", keyframe.frame, { className: keyframe.frame === frame ? "go on" : "go", title: "go there" });
      go.addEventListener("click", () => this.act.go(keyframe.frame));
      const on = element("input", "", { type: "checkbox", checked: keyframe.on, title: "train from it" });
      on.addEventListener("change", () => this.act.turn(keyframe.id, on.checked));
      const painting = keyframe.own && keyframe.has_matte ? "" : keyframe.own ? "painted" : keyframe.name;
      const what = ((keyframe.painted ? painting : "unpainted") + (keyframe.has_matte ? " + matte" : "")).trim();
      const open = element("button", "Open", { title: "open in my painting program; what it saves is taken" });
      open.addEventListener("click", () => this.act.open(keyframe.id));
      const remove = element("button", "×", { title: "remove the keyframe; its files stay" });
      remove.addEventListener("click", () => this.act.remove(keyframe.id));
      row.append(go, on, element("span", what, { className: "what", title: keyframe.name || what }), open, remove);
      return row;
    });
    for (const { id, frame: number } of removed) {
      const row = element("li", "", { className: "removed" });
      const back = element("button", "Bring back", { title: "with its painting, as it was" });
      back.addEventListener("click", () => this.act.restore(id));
      row.append(element("span", `${number} was removed`, { className: "what" }), back);
      rows.push(row);
    }
    find("keyframes").replaceChildren(...rows);
    find("add").disabled = keyframes.some((keyframe) => keyframe.frame === frame);
  }

  advice(text, suggested) {
    find("advice").textContent = text;
    find("suggested").replaceChildren(
      ...suggested.map((one) => {
        const go = element("button", `${one.frame}  +${Math.round(100 * one.gain)} %`);
        go.addEventListener("click", () => this.act.go(one.frame));
        return go;
      }),
    );
  }

  tasks(tasks) {
    const rows = Object.entries(tasks).map(([name, task]) => {
      const row = element("div", task.text, { className: task.state });
      if (task.state === "running") {
        const cancel = element("button", "Cancel");
        cancel.addEventListener("click", () => this.act.cancel(name));
        row.append(Object.assign(document.createElement("progress"), { max: 1, value: task.fraction }), cancel);
      } else if (name === "prepare" && task.state !== "done") {
        const again = element("button", "Again", { title: "follow the keyframes; what was done stays" });
        again.addEventListener("click", () => this.act.follow());
        row.append(" ", again);
      }
      return row;
    });
    find("tasks").replaceChildren(...rows);
  }

  messages(messages) {
    find("messages").replaceChildren();
    for (const message of messages) this.message(message);
  }

  message({ level, text }) {
    const list = find("messages");
    list.prepend(element("li", text, { className: level }));
    while (list.children.length > MOST_MESSAGES) list.lastChild.remove();
  }
}
