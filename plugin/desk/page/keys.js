// Keyboard, as compositors expect it.

export function listen(act) {
  const keys = {
    ArrowLeft: () => act.step(-1),
    ArrowRight: () => act.step(1),
    ArrowUp: () => act.keyframe(-1),
    ArrowDown: () => act.keyframe(1),
    Home: () => act.end(-1),
    End: () => act.end(1),
    " ": () => act.play(act.plays() ? 0 : 1),
    j: () => act.play(-1),
    k: () => act.play(0),
    l: () => act.play(1),
    "[": () => act.size(1 / 1.15),
    "]": () => act.size(1.15),
    "{": () => act.opacity(-10),
    "}": () => act.opacity(10),
    z: () => act.undo(),
    Z: () => act.redo(),
    y: () => act.redo(),
    b: () => act.tool("brush"),
    e: () => act.tool("eraser"),
    i: () => act.tool("picker"),
    m: () => act.tool("matte"),
    M: () => act.tool("unmatte"),
    1: () => act.base("plate"),
    2: () => act.base("result"),
    3: () => act.base("wipe"),
    p: () => act.toggle("painting"),
    o: () => act.toggle("onion"),
    c: () => act.toggle("carried"),
    f: () => act.fit(),
    "+": () => act.zoom(1.25),
    "=": () => act.zoom(1.25),
    "-": () => act.zoom(0.8),
  };
  addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== "range" && event.target.type !== "checkbox";
    const commanded = event.ctrlKey || event.metaKey;
    if (typing || event.altKey || (commanded && !"zZyY".includes(event.key))) return;
    const act_now = keys[event.key] || keys[event.key.toLowerCase()];
    if (!act_now) return;
    // A button that was clicked keeps the focus, and would be pressed again by the space bar.
    event.preventDefault();
    act_now();
  });
}
