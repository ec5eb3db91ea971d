/** The grid of Sora Patchify, drawn over the frames that it cuts: which patch is which token, and which are kept. */

import { app } from "../../../scripts/app.js";
import { addPanel, addressOf, follow, hidePreviews, make, say, slider } from "./shared.js";

/**
 * @typedef {object} Facts as the node tells them
 * @property {[number, number, number]} grid times, rows, columns of the first clip
 * @property {number} frames of one time; the first time has one
 * @property {string} kept a 0 or 1 a token
 * @property {number} tokens of all clips
 * @property {import("./shared.js").SavedFile[]} [images] a frame a time
 */

const CELL = 24; // pixels of a patch on the drawing
const KEPT = "70, 140, 255"; // red, green, blue
const SHOWN = "sora_grid"; // property of a node whose grid is switched off

class PatchGrid {
  /** @type {Facts | null} */
  facts = null;
  time = 0;
  cursor = -1; // patch within a time

  constructor(node) {
    this.node = node;
    this.toggle = make("input", { type: "checkbox", on: { change: () => this.switch() } });
    this.text = make("span", { className: "sora-total", "aria-live": "polite" }, say("patches_empty"));
    const bar = make("div", { className: "sora-bar" }, make("label", {}, this.toggle, ` ${say("grid")}`), this.text);
    this.frame = make("img", { alt: "", draggable: false });
    this.canvas = make("canvas", { tabIndex: 0, role: "img" });
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.at(-1));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.stage = make("div", { className: "sora-stage" }, this.frame, this.canvas);
    this.slider = slider(say("scrub"), (time) => this.facts && this.go(time));
    const panel = make("div", { className: "sora-patches" }, bar, this.stage, this.slider);
    addPanel(node, "sora_patches", panel, { height: 220, width: 320, grows: true });
    follow(node, "onExecuted", ({ sora_patches: made }) => made && this.show(made[0]));
    follow(node, "onConfigure", () => this.draw());
    this.draw();
  }

  get shown() {
    return this.node.properties[SHOWN] !== false;
  }

  switch() {
    this.node.properties[SHOWN] = this.toggle.checked;
    this.draw();
  }

  /** @param {Facts} facts */
  show(facts) {
    this.facts = facts;
    this.slider.max = facts.grid[0] - 1;
    this.go(Math.min(this.time, facts.grid[0] - 1));
  }

  go(time) {
    this.time = time;
    this.slider.value = time;
    const image = this.facts.images?.[time];
    this.frame.hidden = !image;
    if (image) this.frame.src = addressOf(image);
    this.draw();
  }

  /** Point at a patch of the time that is shown; -1 at none. */
  at(cursor) {
    this.cursor = cursor;
    this.draw();
  }

  point({ offsetX, offsetY }) {
    if (!this.facts) return;
    const [, rows, columns] = this.facts.grid;
    const column = Math.floor((offsetX / this.canvas.clientWidth) * columns);
    const row = Math.floor((offsetY / this.canvas.clientHeight) * rows);
    if (row >= 0 && row < rows && column >= 0 && column < columns) this.at(row * columns + column);
  }

  key(event) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || !this.facts) return;
    event.preventDefault();
    const [, rows, columns] = this.facts.grid;
    const cursor = Math.max(0, this.cursor);
    const row = Math.max(0, Math.min(rows - 1, Math.floor(cursor / columns) + step[0]));
    const column = Math.max(0, Math.min(columns - 1, (cursor % columns) + step[1]));
    this.at(row * columns + column);
  }

  draw() {
    this.toggle.checked = this.shown;
    if (!this.facts) return;
    const [times, rows, columns] = this.facts.grid;
    const first = this.time * rows * columns;
    const pointed = this.cursor >= 0;
    this.text.textContent = pointed ? this.describe(first, columns) : this.summary(times, rows * columns, first);
    this.canvas.setAttribute("aria-label", this.text.textContent);
    this.canvas.width = columns * CELL;
    this.canvas.height = rows * CELL;
    this.stage.style.aspectRatio = `${columns} / ${rows}`;
    if (!this.shown) return;
    const pen = this.canvas.getContext("2d");
    for (let patch = 0; patch < rows * columns; patch++) {
      const [x, y] = [(patch % columns) * CELL, Math.floor(patch / columns) * CELL];
      if (this.facts.kept[first + patch] === "1") drawKept(pen, x, y);
      pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
      pen.strokeRect(x + 0.5, y + 0.5, CELL - 1, CELL - 1);
    }
    this.number(pen, first, rows, columns);
    if (pointed) {
      pen.strokeStyle = "#fff";
      pen.lineWidth = 3;
      const [x, y] = [(this.cursor % columns) * CELL, Math.floor(this.cursor / columns) * CELL];
      pen.strokeRect(x + 1, y + 1, CELL - 2, CELL - 2);
    }
  }

  /** Write the number of its first token in front of each row. */
  number(pen, first, rows, columns) {
    pen.font = "9px sans-serif";
    pen.textBaseline = "middle";
    for (let row = 0; row < rows; row++) {
      pen.lineWidth = 3;
      pen.strokeStyle = "rgba(0, 0, 0, 0.8)";
      pen.strokeText(first + row * columns, 3, (row + 0.5) * CELL);
      pen.fillStyle = "#fff";
      pen.fillText(first + row * columns, 3, (row + 0.5) * CELL);
    }
  }

  summary(times, count, first) {
    const kept = [...this.facts.kept.slice(first, first + count)].filter((mark) => mark === "1").length;
    return say("patches_of", { time: this.time + 1, times, count, kept });
  }

  describe(first, columns) {
    const token = first + this.cursor;
    const state = say(this.facts.kept[token] === "1" ? "kept" : "made");
    const [row, column] = [Math.floor(this.cursor / columns) + 1, (this.cursor % columns) + 1];
    return say("patch", { token, time: this.time + 1, row, column, state });
  }
}

/** Tint and hatch a patch that is kept: not by colour alone. */
function drawKept(pen, x, y) {
  pen.fillStyle = `rgba(${KEPT}, 0.4)`;
  pen.fillRect(x, y, CELL, CELL);
  pen.strokeStyle = `rgba(${KEPT}, 0.9)`;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let offset = 0; offset < CELL; offset += CELL / 3) {
    pen.moveTo(x + offset, y + CELL);
    pen.lineTo(x + CELL, y + offset);
  }
  pen.stroke();
}

app.registerExtension({
  name: "Sora.Patches",
  nodeCreated(node) {
    if (node.comfyClass !== "SoraPatchify") return;
    hidePreviews(node);
    new PatchGrid(node);
  },
});
