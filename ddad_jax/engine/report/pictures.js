// The browser of test pictures: what went in, what is predicted at each visited time, where the two differ.

const SIGNS = { found: "✓ found", passed: "✓ passed", missed: "▲ missed", "false alarm": "▲ false alarm" };
const ORDERS = { worst: "nearest to a wrong verdict first", high: "highest score first", low: "lowest score first", name: "by name" };

/** Why a picture has the verdict it has, in a sentence. */
function because(one, threshold, pixelThreshold) {
  const above = one.score > threshold, by = Math.abs(one.score - threshold);
  const called = above ? "above" : one.score === threshold ? "at" : "below";
  const regions = `${one.regions || "no"} region${one.regions === 1 ? "" : "s"}`;
  const largest = one.regions ? `; the largest takes ${short(100 * one.largest)} % of the picture` : "";
  return `Its score ${short(one.score)} is ${called} the threshold ${short(threshold)}${Number.isFinite(by) ? ` (by ${short(by)})` : ""}, so it is called ` +
    `${above ? "anomalous" : "normal"}; in truth it is ${one.label ? `defective: ${one.kind}` : "good"}. ` +
    `Above the pixel threshold ${short(pixelThreshold)}: ${regions}${largest}.`;
}

/** Levels 0..255 of an embedded map, in colours, on a canvas; faint ones are clear where it is to lie over a picture. */
async function paint(canvas, uri, colours, clear) {
  canvas.dataset.uri = uri;
  const levels = new Image();
  levels.src = uri;
  await levels.decode();
  if (canvas.dataset.uri !== uri) return; // another picture was asked for meanwhile
  canvas.width = levels.naturalWidth;
  canvas.height = levels.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(levels, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const level = pixels.data[at];
    pixels.data.set(colours[level], at);
    if (clear) pixels.data[at + 3] = Math.min(255, 1.6 * level);
  }
  context.putImageData(pixels, 0, 0);
}

function showPictures(place, shown) {
  const colours = palette(shown.colours);
  const kinds = [...new Set(shown.pictures.map((one) => one.kind))].sort();
  let chosen = { kind: "", outcome: "", sort: "worst" }, list = [], at = 0, time = Infinity, view = { zoom: 1, x: 50, y: 50 };

  const strip = make("div", { class: "strip", role: "listbox", "aria-label": "Test pictures", "aria-orientation": "horizontal" });
  const count = make("span", { class: "soft", role: "status" });
  const title = make("h3", { id: "picture-name" });
  const verdict = make("p", { id: "picture-verdict" });
  const slider = make("input", { type: "range", min: 0, step: 1, id: "picture-time" });
  const when = make("output", { for: "picture-time", id: "picture-when" });
  const layers = {};

  /** A panel of layers that lie on each other; all of them zoom together. */
  function panel(name, ...parts) {
    const caption = make("figcaption", {}, name);
    const stage = make("div", { class: "layers" }, ...parts);
    stage.addEventListener("click", (event) => {
      const box = stage.getBoundingClientRect();
      const to = (share, old) => Math.min(100, Math.max(0, old + ((share - 0.5) * 100) / view.zoom));
      moved({ x: to((event.clientX - box.left) / box.width, view.x), y: to((event.clientY - box.top) / box.height, view.y) });
    });
    return make("figure", { class: "panel" }, stage, caption);
  }

  function outlines() {
    const found = draw("path", { class: "contour found" }), truth = draw("path", { class: "contour truth" });
    const picture = draw("svg", { class: "outlines", "aria-hidden": "true", preserveAspectRatio: "none" }, found, truth);
    return { picture, found, truth };
  }

  for (const name of ["image", "redrawn", "mask"]) layers[name] = make("img", { alt: "" });
  for (const name of ["over", "pixel", "feature", "map"]) layers[name] = make("canvas", { role: "img" });
  const contour = outlines();
  const scale = (name) => `${short(shown.scales[name][0])} to ${short(shown.scales[name][1])}`;
  const unknown = make("p", { class: "soft unknown" }, "not known");
  const redrawn = shown.pictures.some((one) => one.redrawn); // not every method redraws
  const maps = [["pixel", "pixel distance D_p"], ["feature", "feature distance D_f"], ["map", "anomaly map"]]
    .filter(([name]) => name in shown.scales);
  const panels = make("div", { class: "panels" },
    panel("input, with the map over it", layers.image, layers.over, contour.picture),
    ...(redrawn ? [panel("reconstruction", layers.redrawn)] : []),
    panel("true mask", layers.mask, unknown),
    ...maps.map(([name, title]) => panel(`${title}, ${scale(name)}`, layers[name])));

  function moved(to) {
    view = { ...view, ...to };
    for (const [name, value] of [["--zoom", view.zoom], ["--x", `${view.x}%`], ["--y", `${view.y}%`]]) {
      panels.style.setProperty(name, value);
    }
  }

  function listed() {
    const fits = (one) => (!chosen.kind || one.kind === chosen.kind) && (!chosen.outcome || one.outcome === chosen.outcome);
    const before = list[at];
    const margin = (one) => (one.score - shown.threshold) * (one.label ? 1 : -1);
    const sorts = { worst: (a, b) => margin(a) - margin(b), high: (a, b) => b.score - a.score, low: (a, b) => a.score - b.score, name: (a, b) => order(a.name, b.name, 1) };
    list = shown.pictures.filter(fits).sort(sorts[chosen.sort]);
    at = Math.max(0, list.indexOf(before));
    strip.replaceChildren(...list.map((one, i) => {
      const picture = make("img", { src: one.image, alt: "" });
      const label = `${one.name}, ${one.outcome}, score ${short(one.score)}`;
      const wrong = one.outcome === "missed" || one.outcome === "false alarm";
      const settings = { type: "button", role: "option", "aria-label": label, title: label, class: wrong ? "wrong" : null };
      const button = make("button", settings, picture, make("span", {}, short(one.score)));
      button.addEventListener("click", () => go(i));
      return button;
    }));
    count.textContent = `${list.length} of ${shown.pictures.length} pictures`;
    panels.hidden = !list.length;
    go(at, false);
  }

  function go(to, focus = false) {
    if (!list.length) {
      title.textContent = "No picture is of this kind and outcome.";
      verdict.textContent = "";
      return;
    }
    at = Math.min(Math.max(to, 0), list.length - 1);
    const one = list[at], buttons = strip.children;
    for (const button of buttons) button.setAttribute("aria-selected", String(button === buttons[at]));
    tabStop(buttons, buttons[at]);
    if (focus) buttons[at].focus({ preventScroll: true });
    strip.scrollLeft = buttons[at].offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + buttons[at].offsetWidth / 2;
    title.textContent = one.name;
    const wrong = one.outcome === "missed" || one.outcome === "false alarm";
    verdict.replaceChildren(make("strong", { class: wrong ? "wrong" : "right" }, SIGNS[one.outcome]), ". ",
      because(one, shown.threshold, shown.pixelThreshold));
    layers.image.src = one.image;
    layers.image.alt = `${one.name} as the network sees it`;
    layers.mask.hidden = !one.mask;
    unknown.hidden = Boolean(one.mask);
    if (one.mask) layers.mask.src = one.mask;
    layers.mask.alt = "true mask";
    for (const [name, uri] of [["over", one.map], ...maps.map(([name]) => [name, one[name]])]) {
      paint(layers[name], uri, colours, name === "over");
      layers[name].setAttribute("aria-label", `${name === "over" ? "map" : name} of ${one.name}`);
    }
    const [height, width] = one.size;
    contour.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    contour.found.setAttribute("d", one.found);
    contour.truth.setAttribute("d", one.truth);
    panels.style.setProperty("--shape", `${width} / ${height}`);
    slider.max = one.steps.length;
    slider.disabled = !one.steps.length;
    seen(Math.min(time, one.steps.length), time);
  }

  /** The prediction of a step, or behind the last one the reconstruction that distances are taken of. */
  function seen(step, wish = step) {
    const one = list[at], n = one.steps.length;
    time = wish;
    slider.value = step;
    const said = step < n
      ? `predicted at t = ${one.steps[step].t}, step ${step + 1} of ${n}`
      : n ? "the end, compared with the input" : "the end; what came before was not kept";
    slider.setAttribute("aria-valuetext", said);
    when.textContent = said;
    if (!redrawn) return;
    layers.redrawn.src = step < n ? one.steps[step].image : one.redrawn;
    layers.redrawn.alt = `reconstruction: ${said}`;
  }

  const range = (label, settings, changed) => {
    const input = make("input", { type: "range", ...settings });
    input.addEventListener("input", () => changed(Number(input.value)));
    return make("label", {}, `${label} `, input);
  };
  const tick = (label, on, changed) => {
    const box = make("input", { type: "checkbox" });
    box.checked = on;
    box.addEventListener("change", () => changed(box.checked));
    return make("label", {}, box, ` ${label}`);
  };
  const pick = (name) => (value) => {
    chosen = { ...chosen, [name]: value };
    listed();
  };
  slider.addEventListener("input", () => seen(Number(slider.value)));
  const all = [["", "all"]];
  const bar = make("div", { class: "bar" },
    choice("kind", [...all, ...kinds.map((kind) => [kind, kind])], "", pick("kind")),
    choice("outcome", [...all, ...Object.keys(SIGNS).map((name) => [name, name])], "", pick("outcome")),
    choice("order", Object.entries(ORDERS), "worst", pick("sort")), count);
  const looks = make("div", { class: "bar" },
    ...(redrawn ? [make("label", { class: "time" }, "time ", slider, " ", when)] : []),
    range("map over input", { min: 0, max: 1, step: 0.05, value: 0.6, id: "picture-opacity" }, (value) => { layers.over.style.opacity = value; }),
    range("zoom", { min: 1, max: 8, step: 1, value: 1, id: "picture-zoom" }, (value) => moved({ zoom: value })),
    tick("contour of the map", true, (on) => { contour.found.style.display = on ? "" : "none"; }),
    tick("true outline", true, (on) => { contour.truth.style.display = on ? "" : "none"; }));
  layers.over.style.opacity = 0.6;

  place.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.altKey || event.ctrlKey || event.metaKey) return;
    const ends = { Home: 0, End: list.length - 1 };
    if (event.key in ends && strip.contains(document.activeElement)) {
      event.preventDefault();
      go(ends[event.key], true);
    }
    const along = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!along || !list.length) return;
    event.preventDefault();
    const step = 12 / view.zoom, bound = (value) => Math.min(100, Math.max(0, value));
    if (event.shiftKey) moved({ x: bound(view.x + step * along[0]), y: bound(view.y + step * along[1]) });
    else if (along[0]) go(at + along[0], strip.contains(document.activeElement));
    else seen(Math.min(Math.max(Number(slider.value) + along[1], 0), list[at].steps.length));
  });
  const help = make("p", { class: "soft" }, `Arrow keys: left and right for pictures${redrawn ? ", up and down for times" : ""}, with Shift to ` +
    "move what is zoomed. A click on a picture moves its middle there in all of them.");
  place.replaceChildren(bar, strip, make("div", { class: "viewer", tabindex: 0, role: "group", "aria-labelledby": "picture-name" },
    title, verdict, looks, panels), help);
  moved({});
  listed();
}
