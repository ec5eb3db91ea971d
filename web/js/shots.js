/** Shots as the nodes read them: one a line, `SECONDS: prompt`, or `SECONDS keep: prompt` for one that is kept. */

/** @typedef {{prompt: string, seconds: number, keep: boolean, line?: string}} Shot line: as it was written */

const LINE = /^\s*([+-]?\d+(?:\.\d+)?)\s*(?:s|sec|seconds|秒)?\s*(keep|保留)?\s*[:：|](.*)$/;
const USUAL = 2; // seconds of a line without any

/**
 * Read the shots of a text.
 * @param {string} text
 * @returns {Shot[]}
 */
export function readShots(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  return lines.map((line) => {
    const [, seconds, keep, prompt] = LINE.exec(line) ?? [line, USUAL, undefined, line];
    return { prompt: prompt.trim(), seconds: Number(seconds), keep: Boolean(keep), line };
  });
}

/**
 * Write shots as a text. Lines that nobody changed stay as they were written.
 * @param {Shot[]} shots
 */
export function writeShots(shots) {
  const lines = shots.map(({ prompt, seconds, keep, line }) => line ?? `${seconds}s${keep ? " keep" : ""}: ${prompt}`);
  return lines.join("\n");
}

/** Name what a shot shows: two of one name look the same. */
export function shotKey({ prompt, seconds }) {
  return `${seconds}|${prompt}`;
}

/** Add up how long shots last, in seconds. */
export function totalSeconds(shots) {
  return shots.reduce((sum, { seconds }) => sum + Math.max(0, seconds), 0);
}
