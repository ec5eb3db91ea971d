/** A small picture of each finished shot, taken from the video or the pictures that a node downstream shows. */

import { api } from "../../../scripts/api.js";
import { addressOf, make, nodeOf } from "./shared.js";
import { shotKey } from "./shots.js";

/** @typedef {{prompt: string, seconds: number, start: number}} MadeShot as a node tells it when it has run */

const WIDTH = 128; // of a thumbnail, in pixels

/** What each storyboard node laid out when it last ran. @type {WeakMap<object, MadeShot[]>} */
const laidOut = new WeakMap();

/** What nodes have shown in the run that goes on. @type {Map<object, object>} */
const shown = new Map();

/**
 * Call back with a picture of each shot, as a node shows the finished video.
 * @param {(node: object, pictures: Map<string, string>) => void} found storyboard node, addresses by `shotKey`
 */
export function watchShots(found) {
  api.addEventListener("execution_start", () => shown.clear());
  api.addEventListener("executed", ({ detail }) => {
    const node = nodeOf(detail.display_node ?? detail.node);
    const output = detail.output ?? {};
    if (node && output.sora_shots) laidOut.set(node, output.sora_shots);
    // What a node compares or draws over is not the finished video.
    if (node && output.images?.length && !output.sora_compare && !output.sora_patches) shown.set(node, output);
  });
  // At the end of a run: of what had not to run again, the server tells last.
  api.addEventListener("execution_success", async () => {
    const moves = ([, { animated }]) => Number(Boolean(animated?.[0]));
    // Videos have the last word.
    for (const [node, output] of [...shown].sort((one, other) => moves(one) - moves(other))) {
      for (const storyboard of upstream(node).filter((other) => laidOut.has(other))) {
        found(storyboard, await takePictures(output, laidOut.get(storyboard)));
      }
    }
  });
}

/** List a node and all that it depends on, what is in subgraphs too. */
function upstream(node, seen = new Set()) {
  if (!node || seen.has(node)) return [];
  seen.add(node);
  for (const inner of node.subgraph?.nodes ?? []) upstream(inner, seen);
  (node.inputs ?? []).forEach((_, index) => upstream(node.getInputNode(index), seen));
  return [...seen];
}

/** Take a picture from the middle of each shot. */
async function takePictures({ images, animated }, shots) {
  const pictures = new Map();
  const total = Math.max(...shots.map(({ start, seconds }) => start + seconds));
  const stillAt = (time) => images[Math.min(images.length - 1, Math.floor((time / total) * images.length))];
  const video = animated?.[0] ? await openVideo(addressOf(images[0])) : null;
  for (const shot of shots) {
    const middle = shot.start + shot.seconds / 2;
    if (!video) {
      pictures.set(shotKey(shot), addressOf(stillAt(middle)));
    } else if (middle < video.duration) {
      pictures.set(shotKey(shot), await pictureAt(video, middle));
    }
  }
  return pictures;
}

async function openVideo(src) {
  const video = make("video", { muted: true, preload: "auto", src });
  await new Promise((done, failed) => {
    video.onloadeddata = done;
    video.onerror = () => failed(video.error);
  }).catch(() => null);
  return video.readyState >= 2 ? video : null;
}

const NEAR = 0.25; // seconds between the time that was asked for and that of the frame that is shown
const PATIENCE = 500; // milliseconds for it to be shown: a page in the background shows none

async function pictureAt(video, time) {
  const seen = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
  // A busy browser has sought before it shows: what is drawn then is the frame before.
  const shown = new Promise((done) => {
    const look = (_, { mediaTime }) => (Math.abs(mediaTime - time) < NEAR ? done() : watch());
    const watch = () => video.requestVideoFrameCallback?.(look);
    watch();
    setTimeout(done, PATIENCE);
  });
  video.currentTime = time;
  await seen;
  await shown;
  const canvas = make("canvas", { width: WIDTH, height: Math.round((WIDTH * video.videoHeight) / video.videoWidth) });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.8);
}
