/** The timeline of Sora Storyboard and Sora Long Video: their `shots`, as blocks in place of lines. */

import { app } from "../../../scripts/app.js";
import { addPanel, button, follow, iconOf, make, say } from "./shared.js";
import { readShots, shotKey, totalSeconds, writeShots } from "./shots.js";
import { watchShots } from "./thumbnails.js";

/** @typedef {import("./shots.js").Shot} Shot */

const NODES = ["SoraStoryboard", "SoraLongVideo"];
const STEP = 0.25; // seconds; what a length is rounded to
const ROOM = 1.2; // of the track to all shots: what is left is for a longer one
const STILL = 4; // pixels that a pointer may move before it drags

/** Timelines by their node. @type {WeakMap<object, Timeline>} */
const timelines = new WeakMap();

class Timeline {
  /** @type {Map<string, string>} */
  pictures = new Map();
  chosen = 0;
  /** @type {Shot[]} while a gesture goes on, what it would make */
  draft = null;

  constructor(node, widget) {
    Object.assign(this, { node, widget });
    this.total = make("span", { className: "sora-total", "aria-live": "polite" });
    this.lock = button("lock-open", say("lock"), () => this.change((shot) => ({ ...shot, keep: !shot.keep })));
    this.cut = button("trash", say("remove"), () => this.remove());
    this.more = button("plus", say("add"), () => this.add());
    const bar = make("div", { className: "sora-bar" }, this.total, this.more, this.lock, this.cut);
    this.track = make("div", { className: "sora-track", role: "listbox", "aria-label": say("timeline") });
    this.track.addEventListener("pointerdown", (event) => this.grab(event));
    this.prompt = make("input", { className: "sora-prompt", placeholder: say("prompt"), "aria-label": say("prompt") });
    this.prompt.addEventListener("input", () => this.rename());
    this.element = make("div", {}, bar, this.track, this.prompt);
    this.element.addEventListener("keydown", (event) => this.key(event));
    addPanel(node, "sora_timeline", this.element, { height: 124 });
    for (const hook of ["onConfigure", "onConnectionsChange"]) follow(node, hook, () => setTimeout(() => this.draw()));
    follow(widget, "callback", () => this.draw());
    this.draw();
  }

  /** Whether another node says what the shots are. */
  get linked() {
    const input = this.node.inputs?.findIndex(({ widget }) => widget?.name === this.widget.name) ?? -1;
    return input >= 0 && this.node.isInputConnected(input);
  }

  get shots() {
    return this.draft ?? readShots(String(this.widget.value ?? ""));
  }

  /** Make these the shots of the node: an ordinary value of its widget. */
  write(shots, chosen = this.chosen) {
    const text = writeShots(shots);
    this.draft = null;
    this.chosen = Math.max(0, Math.min(chosen, shots.length - 1));
    if (text !== this.widget.value) {
      this.widget.value = text;
      this.widget.callback?.(text);
      app.graph?.setDirtyCanvas(true, true);
    }
    this.draw();
  }

  /** Change the chosen shot. What is kept does not change, but for the lock itself. */
  change(make, index = this.chosen) {
    const shots = this.shots;
    if (!shots[index]) return;
    shots[index] = { ...make(shots[index]), line: undefined };
    this.write(shots, index);
  }

  rename() {
    const prompt = this.prompt.value.replace(/\s+/g, " ");
    // A line without a prompt is none that the node could read.
    if (prompt.trim() && !this.shots[this.chosen]?.keep) this.change((shot) => ({ ...shot, prompt: prompt.trim() }));
  }

  lengthen(seconds, index = this.chosen) {
    const longer = (shot) => ({ ...shot, seconds: Math.max(STEP, shot.seconds + seconds) });
    if (!this.shots[index]?.keep) this.change(longer, index);
  }

  move(by) {
    this.write(moved(this.shots, this.chosen, this.chosen + by), this.chosen + by);
  }

  add() {
    const shots = this.shots;
    const { prompt = say("prompt"), seconds = 2 } = shots[this.chosen] ?? {};
    shots.splice(this.chosen + 1, 0, { prompt, seconds, keep: false });
    this.write(shots, this.chosen + 1);
    this.prompt.focus();
    this.prompt.select();
  }

  remove() {
    const shots = this.shots;
    if (shots.length < 2 || shots[this.chosen].keep) return;
    shots.splice(this.chosen, 1);
    this.write(shots);
  }

  choose(index) {
    this.chosen = Math.max(0, Math.min(index, this.shots.length - 1));
    this.draw();
    this.focus();
  }

  focus() {
    this.track.children[this.chosen]?.focus({ preventScroll: true });
  }

  key(event) {
    if (event.target === this.prompt && ["Enter", "Escape"].includes(event.key)) this.focus();
    if (!this.track.contains(event.target)) return;
    const act = {
      ArrowLeft: () => this.arrow(-1, event),
      ArrowRight: () => this.arrow(1, event),
      Home: () => this.choose(0),
      End: () => this.choose(this.shots.length - 1),
      Enter: () => this.prompt.focus(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      KeyL: () => this.lock.click(),
    }[event.code];
    if (!act) return;
    event.preventDefault();
    act();
  }

  arrow(way, { altKey, shiftKey }) {
    if (altKey) this.move(way);
    else if (shiftKey) this.lengthen(way * STEP);
    else this.choose(this.chosen + way);
  }

  /** Begin a gesture: what is grabbed at its end gets another length, what is grabbed elsewhere another place. */
  grab(event) {
    const index = [...this.track.children].findIndex((block) => block.contains(event.target));
    if (event.button !== 0 || this.linked || index < 0) return;
    event.preventDefault();
    this.choose(index);
    const before = this.shots;
    const resizes = event.target.classList.contains("sora-handle");
    if (resizes && before[index].keep) return;
    const second = this.track.getBoundingClientRect().width / this.room(before);
    const drag = (now) => {
      const by = now.clientX - event.clientX;
      if (!this.draft && Math.abs(by) < STILL) return;
      const place = resizes ? index : placeAt(before, index, by / second);
      this.draft = resizes ? resized(before, index, by / second) : moved(before, index, place);
      this.chosen = place;
      this.draw(this.room(before));
    };
    const end = new AbortController();
    const finish = (cancelled) => {
      end.abort();
      this.write(cancelled ? before : this.shots, cancelled ? index : this.chosen);
    };
    this.track.setPointerCapture(event.pointerId);
    const { signal } = end;
    this.track.addEventListener("pointermove", drag, { signal });
    this.track.addEventListener("pointerup", () => finish(false), { signal });
    this.track.addEventListener("pointercancel", () => finish(true), { signal });
    window.addEventListener("keydown", ({ key }) => key === "Escape" && finish(true), { signal, capture: true });
  }

  /** How many seconds the whole track is. */
  room(shots) {
    return Math.max(STEP, totalSeconds(shots)) * ROOM;
  }

  draw(room = this.room(this.shots)) {
    const { shots, linked } = this;
    this.element.classList.toggle("sora-linked", linked);
    const fit = { count: shots.length, seconds: tidy(totalSeconds(shots)) };
    this.total.textContent = linked ? say("linked") : say("fit", fit);
    this.chosen = Math.min(this.chosen, Math.max(0, shots.length - 1));
    const shot = shots[this.chosen];
    this.lock.firstChild.className = `pi pi-lock${shot?.keep ? "" : "-open"}`;
    this.lock.setAttribute("aria-pressed", String(Boolean(shot?.keep)));
    this.cut.disabled = shots.length < 2 || Boolean(shot?.keep);
    this.prompt.disabled = linked || !shot || shot.keep;
    if (document.activeElement !== this.prompt) this.prompt.value = linked ? "" : (shot?.prompt ?? "");
    // Drawn anew, it would lose the keys, and the next one would be the node's.
    const keys = this.track.contains(document.activeElement);
    this.track.replaceChildren(...(linked ? [] : shots.map((each, index) => this.block(each, index, room))));
    if (keys) this.focus();
  }

  block(shot, index, room) {
    const seconds = tidy(shot.seconds);
    const title = `${say("shot", { number: index + 1, prompt: shot.prompt, seconds })} ${say("keys")}`;
    const tabIndex = index === this.chosen ? 0 : -1;
    const made = make(
      "div",
      { className: "sora-shot", role: "option", title, "aria-label": title, tabIndex },
      make("span", { className: "sora-length" }, ...(shot.keep ? [iconOf("lock"), " "] : []), `${seconds} s`),
      make("span", { className: "sora-words" }, shot.prompt),
      make("span", { className: "sora-handle" }),
    );
    made.setAttribute("aria-selected", String(index === this.chosen));
    made.classList.toggle("sora-kept", shot.keep);
    made.style.width = `${(100 * Math.max(0, shot.seconds)) / room}%`;
    const picture = this.pictures.get(shotKey(shot));
    if (picture) made.style.setProperty("--sora-picture", `url("${picture}")`);
    return made;
  }
}

/** Write seconds without a tail of zeros. */
function tidy(seconds) {
  return String(Math.round(seconds * 100) / 100);
}

/** Put the shot `from` to the place `to`. */
function moved(shots, from, to) {
  const made = shots.filter((_, index) => index !== from);
  made.splice(Math.max(0, Math.min(to, made.length)), 0, shots[from]);
  return made;
}

/** Make the shot `index` longer by so many seconds. */
function resized(shots, index, by) {
  const seconds = Math.max(STEP, Math.round((shots[index].seconds + by) / STEP) * STEP);
  return shots.map((shot, i) => (i === index ? { ...shot, seconds, line: undefined } : shot));
}

/** Tell where a shot is that was dragged by so many seconds: behind those whose middle its own has passed. */
function placeAt(shots, index, by) {
  const middles = shots.map((shot, i) => totalSeconds(shots.slice(0, i)) + shot.seconds / 2);
  const middle = middles[index] + by;
  return middles.filter((other, i) => i !== index && other < middle).length;
}

app.registerExtension({
  name: "Sora.Storyboard",
  setup() {
    watchShots((node, pictures) => {
      const timeline = timelines.get(node);
      for (const [shot, picture] of pictures) timeline?.pictures.set(shot, picture);
      timeline?.draw();
    });
  },
  nodeCreated(node) {
    const widget = NODES.includes(node.comfyClass) && node.widgets?.find(({ name }) => name === "shots");
    if (widget) timelines.set(node, new Timeline(node, widget));
  },
});
