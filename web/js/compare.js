/** The player of Sora Compare: two to four videos in step, behind a divider or side by side. */

import { app } from "../../../scripts/app.js";
import { addPanel, addressOf, button, follow, hidePreviews, make, say, slider } from "./shared.js";

/** @typedef {{name: string, fps: number, frames: number}} Clip as the node tells it */

const MODES = ["slider", "grid"];
const STEP = 0.02; // of the width; how far a key moves the divider

class Player {
  /** @type {HTMLVideoElement[]} */
  videos = [];
  /** @type {Clip[]} */
  clips = [];
  mode = "slider";
  other = 1; // which video is on the right of the divider
  divide = 0.5;

  constructor(node) {
    this.node = node;
    this.going = false;
    const press = (mode) => ({ click: () => this.arrange(mode) });
    this.modes = MODES.map((mode) => make("button", { type: "button", on: press(mode) }, say(mode)));
    this.versus = make("select", { title: say("versus"), "aria-label": say("versus"), hidden: true });
    this.versus.addEventListener("change", () => this.against(Number(this.versus.value)));
    this.told = make("span", { className: "sora-total" }, say("compare_empty"));
    const top = make("div", { className: "sora-bar" }, ...this.modes, this.versus, this.told);
    this.divider = make("div", {
      className: "sora-divider",
      tabIndex: 0,
      role: "slider",
      "aria-label": say("divider"),
      on: { pointerdown: (event) => this.drag(event), keydown: (event) => this.nudge(event) },
    });
    this.stage = make("div", { className: "sora-screen" });
    this.start = button("play", say("play"), () => this.toggle());
    this.scrub = slider(say("scrub"), (frame) => this.seek(frame));
    const back = button("step-backward", say("previous"), () => this.step(-1));
    const forward = button("step-forward", say("next"), () => this.step(1));
    const bottom = make("div", { className: "sora-bar" }, back, this.start, forward, this.scrub);
    const keys = { keydown: (event) => event.key === " " && event.target === event.currentTarget && this.toggle() };
    this.element = make("div", { className: "sora-player", on: keys }, top, this.stage, bottom);
    addPanel(node, "sora_compare", this.element, { height: 260, width: 360, grows: true });
    follow(node, "onExecuted", ({ images, sora_compare: clips }) => clips && this.open(images, clips));
    follow(node, "onRemoved", () => this.pause());
    this.arrange(this.mode);
  }

  /** The video whose clock counts: the one that lasts longest. */
  get leader() {
    const lasts = this.clips.map(({ frames, fps }) => frames / fps);
    return this.videos[lasts.indexOf(Math.max(...lasts))];
  }

  get fps() {
    return Math.max(...this.clips.map(({ fps }) => fps));
  }

  get frames() {
    return Math.max(...this.clips.map(({ frames, fps }) => Math.round((frames / fps) * this.fps)));
  }

  /** The number of the frame that is shown, from 0. */
  get frame() {
    return Math.min(this.frames - 1, Math.floor(this.leader.currentTime * this.fps + 1e-3));
  }

  open(files, clips) {
    this.pause();
    this.clips = clips;
    const looks = { muted: true, playsInline: true, preload: "auto" };
    this.videos = files.map((file) => make("video", { ...looks, src: addressOf(file) }));
    this.leader.addEventListener("pause", () => this.stopped());
    this.leader.addEventListener("ended", () => this.playing && this.play());
    this.leader.addEventListener("seeked", () => this.tell());
    this.leader.addEventListener("loadeddata", () => this.seek(0), { once: true });
    this.scrub.max = this.frames - 1;
    const others = clips.slice(1).map(({ name }, index) => make("option", { value: index + 1 }, say(`video_${name}`)));
    this.versus.replaceChildren(...others);
    this.versus.hidden = clips.length < 3;
    this.against(1);
  }

  against(other) {
    this.other = other;
    this.versus.value = other;
    this.arrange(this.mode);
  }

  /** Show the videos behind a divider or side by side. */
  arrange(mode) {
    this.mode = mode;
    this.modes.forEach((each, index) => each.setAttribute("aria-pressed", String(MODES[index] === mode)));
    const shown = this.videos.filter((_, index) => mode === "grid" || index === 0 || index === this.other);
    this.stage.className = `sora-screen sora-${mode}`;
    const playing = this.playing;
    this.stage.replaceChildren(...shown.map((video) => this.framed(video)));
    if (mode === "slider" && shown.length) this.stage.append(this.divider);
    this.split(this.divide);
    // A video that was taken out of the page has stopped.
    if (playing) this.play();
  }

  framed(video) {
    const { name } = this.clips[this.videos.indexOf(video)];
    return make("figure", {}, video, make("figcaption", {}, say(`video_${name}`)));
  }

  /** Put the divider at a share of the width. */
  split(share) {
    this.divide = Math.max(0, Math.min(1, share));
    this.stage.style.setProperty("--sora-divide", `${100 * this.divide}%`);
    this.divider.setAttribute("aria-valuenow", String(Math.round(100 * this.divide)));
  }

  drag(event) {
    event.preventDefault();
    this.divider.focus({ preventScroll: true });
    this.divider.setPointerCapture(event.pointerId);
    const follows = ({ clientX }) => {
      const { left, width } = this.stage.getBoundingClientRect();
      this.split((clientX - left) / width);
    };
    this.divider.addEventListener("pointermove", follows);
    const stop = () => this.divider.removeEventListener("pointermove", follows);
    this.divider.addEventListener("lostpointercapture", stop, { once: true });
  }

  nudge(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    this.split(this.divide + way * STEP);
  }

  /** What is wanted: at its end a video stands for a moment, and goes on. */
  get playing() {
    return this.going && this.videos.length > 0;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (!this.videos.length) return;
    this.going = true;
    if (this.leader.ended) this.seek(0);
    for (const video of this.videos) if (!video.ended) video.play().catch(() => this.stopped());
    this.tick();
  }

  /** The browser has stopped a video, as it does at the end and when it may not play. */
  stopped() {
    if (this.leader.paused && !this.leader.ended) this.going = false;
    this.tell();
  }

  pause() {
    this.going = false;
    for (const video of this.videos) video.pause();
    if (this.videos.length) this.seek(this.frame);
  }

  /** Keep all videos at the leader's time, to half a frame. */
  tick() {
    if (!this.playing) return this.tell();
    const { currentTime } = this.leader;
    this.videos.forEach((video, index) => {
      const { frames, fps } = this.clips[index];
      const time = Math.min(currentTime, (frames - 0.5) / fps);
      if (video !== this.leader && Math.abs(video.currentTime - time) > 0.5 / this.fps) video.currentTime = time;
    });
    this.tell();
    cancelAnimationFrame(this.next);
    this.next = requestAnimationFrame(() => this.tick());
  }

  step(by) {
    if (!this.videos.length) return;
    const frame = this.frame + by;
    this.going = false;
    for (const video of this.videos) video.pause();
    this.seek((frame + this.frames) % this.frames);
  }

  /** Show one frame in all videos: the middle of it, which rounding does not miss. */
  seek(frame) {
    const time = (frame + 0.5) / this.fps;
    this.videos.forEach((video, index) => {
      const { frames, fps } = this.clips[index];
      video.currentTime = Math.min(time, (frames - 0.5) / fps);
    });
    this.tell();
  }

  tell() {
    const { playing } = this;
    this.start.firstChild.className = `pi pi-${playing ? "pause" : "play"}`;
    this.start.title = say(playing ? "pause" : "play");
    this.start.setAttribute("aria-label", this.start.title);
    if (!this.videos.length) return;
    this.scrub.value = this.frame;
    this.told.textContent = say("frame", { frame: this.frame + 1, frames: this.frames });
  }
}

app.registerExtension({
  name: "Sora.Compare",
  nodeCreated(node) {
    if (node.comfyClass !== "SoraCompare") return;
    hidePreviews(node);
    new Player(node);
  },
});
