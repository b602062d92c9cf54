"use strict";

// The player: plate, result, and a wipe between them. Everything that it shows lies in the page itself.
(() => {
  const reel = JSON.parse(document.getElementById("reel").textContent).frames;
  const player = document.querySelector(".player");
  const stage = player.querySelector(".stage");
  const canvas = player.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const handle = player.querySelector(".handle");
  const slider = player.querySelector("input[type=range]");
  const play = player.querySelector(".play");
  const said = player.querySelector("output");
  const speed = player.querySelector("select");
  const enlarge = player.querySelector(".enlarge");
  const [leftTag, rightTag] = player.querySelectorAll(".tag");
  const views = [...player.querySelectorAll(".views button")];

  let index = 0;
  let view = "wipe";
  let wipe = 0.5; // share of the width that shows the plate
  let timer = 0; // 0 while it stands

  // Decoded before they are asked for, so that no step flashes.
  const pictures = reel.map((one) => ({ plate: loaded(one.plate), result: loaded(one.result) }));

  function loaded(uri) {
    if (!uri) return null;
    const image = new Image();
    image.addEventListener("load", draw);
    image.src = uri;
    return image;
  }

  function ready(image) {
    return image !== null && image.complete && image.naturalWidth > 0;
  }

  // Draws one picture, or why there is none, between two shares of the width.
  function part(kind, from, to) {
    const left = Math.round(from * canvas.width);
    const width = Math.round(to * canvas.width) - left;
    if (width <= 0) return;
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, width, canvas.height);
    pen.clip();
    const image = pictures[index][kind];
    if (ready(image)) {
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    } else {
      pen.fillStyle = "#26262a";
      pen.fillRect(left, 0, width, canvas.height);
      if (image === null) {
        pen.fillStyle = "#d8d8d6";
        pen.textAlign = "center";
        pen.font = `${Math.round(canvas.height / 20)}px sans-serif`;
        const why = kind === "result" ? reel[index].why : "cannot be read";
        pen.fillText(`${kind}: ${why}`, left + width / 2, canvas.height / 2, width - 10);
      }
    }
    pen.restore();
  }

  function draw() {
    const any = [pictures[index].plate, pictures[index].result].find(ready) ||
      pictures.flatMap((one) => [one.plate, one.result]).find(ready);
    if (!any) return;
    // Never small, so that words in it are sharp.
    const width = Math.max(any.naturalWidth, 960);
    const height = Math.round((any.naturalHeight * width) / any.naturalWidth);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const split = { plate: 1, result: 0, wipe }[view];
    part("plate", 0, split);
    part("result", split, 1);
    place();
  }

  // The picture's place within the stage: the canvas may be letterboxed when it is enlarged.
  function box() {
    const outer = canvas.getBoundingClientRect();
    const scale = Math.min(outer.width / canvas.width, outer.height / canvas.height);
    const width = canvas.width * scale;
    return { left: outer.left + (outer.width - width) / 2, width };
  }

  function place() {
    const { left, width } = box();
    const inset = left - stage.getBoundingClientRect().left;
    handle.style.left = `${inset + wipe * width}px`;
    leftTag.style.left = `${inset + 10}px`;
    rightTag.style.right = `${stage.clientWidth - inset - width + 10}px`;
  }

  function show(next) {
    index = Math.min(Math.max(next, 0), reel.length - 1);
    slider.value = index;
    const one = reel[index];
    const words = `Frame ${one.frame}${one.painted ? ", painted" : ""}`;
    said.textContent = one.state === "missing" || one.state === "damaged" ? `${words}, ${one.state}` : words;
    slider.setAttribute("aria-valuetext", said.textContent);
    canvas.setAttribute("aria-label", `${said.textContent}: ${view === "wipe" ? "plate and result" : view}`);
    draw();
  }

  function choose(name) {
    view = name;
    for (const button of views) button.setAttribute("aria-pressed", String(button.dataset.view === name));
    stage.classList.toggle("wipe", name === "wipe");
    handle.hidden = name !== "wipe";
    leftTag.hidden = name === "result";
    rightTag.hidden = name === "plate";
    show(index);
  }

  function wipeTo(share) {
    wipe = Math.min(Math.max(share, 0), 1);
    handle.setAttribute("aria-valuenow", String(Math.round(100 * wipe)));
    draw();
  }

  // Frames that were left out take their time all the same, up to a quarter of a second.
  function tick() {
    const next = (index + 1) % reel.length;
    show(next);
    const gap = next + 1 < reel.length ? reel[next + 1].frame - reel[next].frame : 1;
    timer = setTimeout(tick, Math.min((1000 * Math.max(gap, 1)) / Number(speed.value), 250));
  }

  function pause() {
    clearTimeout(timer);
    timer = 0;
    play.textContent = "Play";
  }

  function toggle() {
    if (timer) {
      pause();
    } else if (reel.length > 1) {
      play.textContent = "Pause";
      tick();
    }
  }

  function step(by) {
    pause();
    show((index + by + reel.length) % reel.length);
  }

  function setLarge(large) {
    player.classList.toggle("large", large);
    enlarge.firstChild.textContent = large ? "Back " : "Enlarge ";
    draw();
  }

  // A press on the picture wipes, or enlarges it where there is nothing to wipe.
  let pressed = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (view !== "wipe") {
      setLarge(!player.classList.contains("large"));
      return;
    }
    pressed = true;
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => pressed && follow(event));
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (pressed = false));

  function follow(event) {
    const { left, width } = box();
    wipeTo((event.clientX - left) / width);
  }

  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!by) return;
    wipeTo(wipe + by);
    event.preventDefault();
    event.stopPropagation();
  });

  const keys = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Home: () => step(-index),
    End: () => step(reel.length - 1 - index),
    " ": toggle,
    1: () => choose("plate"),
    2: () => choose("result"),
    3: () => choose("wipe"),
    f: () => setLarge(!player.classList.contains("large")),
    Escape: () => setLarge(false),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    // A select and a focused button keep their own keys.
    if (event.target.closest("select") || (event.key === " " && event.target.closest("button"))) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    if (["Home", "End"].includes(event.key) && event.target !== slider && !player.classList.contains("large")) return;
    act();
    event.preventDefault();
  });

  slider.addEventListener("input", () => {
    pause();
    show(Number(slider.value));
  });
  play.addEventListener("click", toggle);
  enlarge.addEventListener("click", () => setLarge(!player.classList.contains("large")));
  for (const button of views) button.addEventListener("click", () => choose(button.dataset.view));
  window.addEventListener("resize", draw);

  // Any other picture of the page opens large, over the page: the player's larger one, where it has the frame.
  const dialog = document.querySelector("dialog");
  const large = document.createElement("img");
  dialog.prepend(large);
  for (const image of document.querySelectorAll("figure img")) {
    const frame = image.closest("figure").dataset.frame;
    const open = () => {
      pause();
      const one = image.dataset.kind && reel.find((other) => String(other.frame) === frame);
      large.src = (one && one[image.dataset.kind]) || image.src;
      large.alt = image.alt;
      dialog.querySelector("span").textContent = image.alt;
      dialog.showModal();
    };
    image.tabIndex = 0;
    image.addEventListener("click", open);
    image.addEventListener("keydown", (event) => event.key === "Enter" && open());
  }
  dialog.addEventListener("click", () => dialog.close());

  document.body.classList.add("scripted");
  if (!reel.length) return;
  player.hidden = false;
  slider.max = reel.length - 1;
  const marks = player.querySelector(".marks");
  reel.forEach((one, at) => {
    if (!one.painted) return;
    const mark = document.createElement("i");
    mark.style.left = `${(100 * at) / Math.max(reel.length - 1, 1)}%`;
    marks.append(mark);
  });
  player.querySelector(".time").hidden = reel.length < 2;
  wipeTo(0.5);
  choose("wipe");
})();
