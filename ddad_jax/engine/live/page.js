"use strict";
// Asks for the inspection's state once a second and writes it down; all texts are set as text, never as HTML.
const $ = (id) => document.getElementById(id);
const DASH = "–";
const EVERY_MS = 1000;
let paused = false;
let pinned = null; // the number of a frame that somebody picked
let state = null;
let heard = 0;

const number = (value, digits) =>
  typeof value === "number" ? value.toPrecision(digits) : value === null || value === undefined ? DASH : String(value);
const ms = (value) => (typeof value === "number" ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : DASH);
const rate = (value) => (typeof value === "number" ? value.toFixed(1) : DASH);
const say = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const word = (row) => (row.verdict === "anomaly" ? "▲ Anomaly" : "✓ Normal");
const registered = (row) => (row.registered === null ? DASH : row.registered ? "yes" : "no");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function picture(image, kind, row, alt) {
  const url = `/${kind}/${row.number}.jpg`;
  if (image.getAttribute("src") !== url) {
    image.width = row.width;
    image.height = row.height;
    image.src = url;
  }
  image.alt = alt;
}

function details(row) {
  const sign = row.verdict === "anomaly" ? "above" : "not above";
  const parts = [
    `score ${number(row.score, 4)}, ${sign} the threshold ${number(row.threshold, 4)}`,
    `${row.regions} ${row.regions === 1 ? "region" : "regions"}`,
    `${ms(row.latency_ms)} from arrival to verdict`,
    row.at,
  ];
  if (row.registered === false) parts.push("not registered: judged as it lay");
  return parts.join(" · ");
}

function showFrame(row) {
  say("verdict", `${word(row)}: frame ${row.frame}${pinned === row.number ? " (picked)" : ""}`);
  $("verdict").className = `verdict ${row.verdict === "anomaly" ? "anomaly" : "normal"}`;
  say("details", details(row));
  $("pictures").hidden = false;
  picture($("frame"), "frame", row, `Frame ${row.frame}, ${row.verdict}, ${row.regions} regions outlined`);
  picture($("heat"), "heat", row, `Anomaly map of frame ${row.frame}`);
}

function showCounts(counts, waiting) {
  const latency = counts.latency_ms;
  const tiles = [
    ["Frames judged", counts.judged],
    ["Anomalies", counts.anomalous, counts.anomalous > 0],
    ["Waiting", waiting],
    ["Dropped", counts.dropped, counts.dropped > 0],
    ["Bad frames", counts.bad, counts.bad > 0],
    ["Source lost", counts.losses, counts.losses > 0],
    ["Not registered", counts.unregistered, counts.unregistered > 0],
    ["Frames a second", rate(counts.frames_per_s_now)],
    ["Latency, median", ms(latency.p50)],
    ["Latency, 95 %", ms(latency.p95)],
    ["Latency, longest", ms(latency.max)],
  ];
  $("counts").replaceChildren(...tiles.map(([name, value, trouble]) => {
    const tile = element("div", undefined, trouble ? "trouble" : "");
    tile.append(element("dt", name), element("dd", String(value)));
    return tile;
  }));
}

function tableRow(row) {
  const made = element("tr");
  const cell = element("td");
  const button = element("button");
  const image = element("img");
  button.type = "button";
  button.dataset.number = row.number;
  button.setAttribute("aria-label", `Show frame ${row.frame}`);
  button.addEventListener("click", () => { pinned = row.number; showFrame(row); $("follow").hidden = false; });
  image.alt = "";
  image.src = `/frame/${row.number}.jpg`;
  button.append(image);
  cell.append(button);
  const verdict = element("td");
  verdict.append(element("span", word(row), `verdict ${row.verdict === "anomaly" ? "anomaly" : "normal"}`));
  made.append(cell, element("td", String(row.frame)), verdict, element("td", number(row.score, 4), "num"),
    element("td", String(row.regions), "num"), element("td", ms(row.latency_ms), "num"), element("td", registered(row)));
  return made;
}

function showTable(rows) {
  // Rows that stay are kept, so that a button does not lose the focus at every look.
  const body = $("frames");
  const old = new Map(Array.from(body.rows).map((row) => [row.querySelector("button").dataset.number, row]));
  const wanted = rows.map((row) => old.get(String(row.number)) || tableRow(row));
  for (const row of Array.from(body.rows)) if (!wanted.includes(row)) row.remove();
  wanted.forEach((row, at) => { if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] || null); });
}

function event(row) {
  const { event: name, at, ...rest } = row;
  const said = Object.entries(rest).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return `${at} ${name}${said.length ? `: ${said.join(", ")}` : ""}`;
}

function show() {
  say("source", state.source);
  say("model", state.model);
  showCounts(state.counts, state.waiting);
  const picked = state.frames.find((row) => row.number === pinned);
  if (picked) showFrame(picked);
  else if (pinned === null && state.frames.length) showFrame(state.frames[0]);
  $("follow").hidden = pinned === null;
  showTable(state.frames);
  $("anomaly").hidden = !state.anomaly;
  if (state.anomaly) {
    say("anomaly-details", `Frame ${state.anomaly.frame}: ${details(state.anomaly)}`);
    picture($("anomaly-frame"), "frame", state.anomaly, `Frame ${state.anomaly.frame}, the last anomaly`);
    picture($("anomaly-heat"), "heat", state.anomaly, `Anomaly map of frame ${state.anomaly.frame}`);
  }
  if (state.events.length) $("events").replaceChildren(...state.events.map((row) => element("li", event(row))));
}

function link(text, gone) {
  say("link", text);
  $("link").classList.toggle("gone", gone);
}

async function look() {
  if (!paused) {
    try {
      const answer = await fetch("/state.json", { cache: "no-store" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const told = await answer.json();
      if (!paused) {
        state = told;
        heard = Date.now();
        link("● running", false);
        show();
      }
    } catch (error) {
      if (!(error instanceof TypeError) && !String(error.message).startsWith("status")) console.error(error);
      const since = heard ? `, silent for ${Math.round((Date.now() - heard) / 1000)} s` : "";
      link(`■ the inspection has ended or cannot be reached${since}`, true);
    }
  }
  setTimeout(look, EVERY_MS);
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  link(paused ? "‖ page paused, the inspection goes on" : "● running", false);
});
$("follow").addEventListener("click", () => { pinned = null; if (state) show(); });
look();
