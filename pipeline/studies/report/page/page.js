"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const STUDY_OF_VIEW = { overview: "overview", videos: "frames", pictures: "baselines", neurons: "neurons", shapnets: "shapnets" };
  const TITLES = { overview: "Overview", videos: "Videos", pictures: "Pictures", neurons: "Neurons", shapnets: "ShapNets" };
  const VERDICTS = { yes: "yes", "in part": "part", no: "no" };
  const views = Object.keys(STUDY_OF_VIEW).filter((view) => data[STUDY_OF_VIEW[view]]);

  // Elements. Texts are set as text, never as HTML.
  function el(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) made.append(child);
    return made;
  }
  const path = (file) => file.split("/").map(encodeURIComponent).join("/");
  const short = (value, digits = 3) => {
    if (value === null || value === undefined) return "–";
    const text = Number(value.toPrecision(digits)).toString();
    return text.replace("-", "\u2212");
  };
  const signed = (value) => (value > 0 ? "+" : "") + short(value);

  // The state of the page is in its address, so that a view can be sent to somebody.
  let state = {};
  function readState() {
    state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    if (!views.includes(state.view)) state.view = "overview";
  }
  function go(changes, keep = true) {
    state = { ...(keep ? state : {}), ...changes };
    for (const key of Object.keys(state)) if (state[key] === null) delete state[key];
    history.pushState(null, "", "#" + new URLSearchParams(state));
    render();
  }
  // The control that was used keeps the focus when the view is drawn again.
  function render() {
    const focused = document.activeElement && document.activeElement.id;
    tabs();
    main.replaceChildren();
    DRAW[state.view](data[STUDY_OF_VIEW[state.view]]);
    document.title = `${TITLES[state.view]} – Shapley values: results`;
    if (focused) document.getElementById(focused)?.focus();
  }
  function tabs() {
    document.getElementById("tabs").replaceChildren(...views.map((view) => el("button", {
      id: `tab-${view}`, "aria-current": view === state.view ? "page" : null, on: { click: () => go({ view }, false) },
    }, TITLES[view])));
  }
  // A labelled choice; `options` are [value, text].
  function choice(key, label, options, value) {
    const select = el("select", { id: `choose-${key}`, on: { change: (event) => go({ [key]: event.target.value }) } },
      options.map(([each, text]) => el("option", { value: each, selected: String(each) === String(value) }, text)));
    return el("label", {}, label, select);
  }
  const chosen = (key, options, otherwise) => {
    const found = options.find(([value]) => String(value) === state[key]);
    return found ? found[0] : otherwise ?? options[0]?.[0];
  };

  // Charts by Vega-Lite, in the colours of the page.
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function chart(parent, spec) {
    const box = el("div", { class: "chart" });
    parent.append(box);
    const text = { labelColor: ink("--ink"), titleColor: ink("--ink"), gridColor: ink("--line"), domainColor: ink("--line"), tickColor: ink("--line") };
    const config = { background: "transparent", axis: text, legend: text, title: { color: ink("--ink") }, view: { stroke: null } };
    window.vegaEmbed(box, { $schema: "https://vega.github.io/schema/vega-lite/v6.json", config, ...spec },
      { actions: false, renderer: "svg" });
    return box;
  }
  const extent = (matrices) => Math.max(1e-12, ...matrices.flat(2).filter((v) => v !== null).map(Math.abs));
  function heat(parent, matrix, { largest, label, names = null, title = null, size = 168, oneSided = false }) {
    const values = [], named = (k) => (names ? names[k] : k);
    matrix.forEach((row, i) => row.forEach((value, j) => { if (value !== null) values.push({ i: named(i), j: named(j), value }); }));
    const step = Math.max(3, Math.floor(size / matrix.length));
    const inOrder = (count) => Array.from({ length: count }, (_, k) => named(k));
    const axis = title ? { title, labelAngle: 0 } : null;
    const scale = oneSided ? { scheme: "cividis", domain: [0, largest] } : { scheme: "purpleorange", domain: [-largest, 0, largest] };
    return chart(parent, {
      description: label, ...(title ? {} : { padding: 0 }), width: step * matrix[0].length, height: step * matrix.length, data: { values },
      mark: { type: "rect", tooltip: true, aria: false },
      encoding: {
        x: { field: "j", type: "ordinal", sort: inOrder(matrix[0].length), axis }, y: { field: "i", type: "ordinal", sort: inOrder(matrix.length), axis },
        color: { field: "value", type: "quantitative", scale, legend: null },
      },
    });
  }

  // Overview
  function overview(found) {
    main.append(el("h2", {}, "What was computed"));
    main.append(table(["game", "players", "outputs", "instances", "evaluated", "reused", "seconds", "on", "weights", "receipt written"],
      found.games.map((g) => [el("span", { title: `${g.player}; ${g.value}` }, `${g.study}/${g.game}`), g.players, g.outputs, g.instances.toLocaleString("en"),
        g.evaluated.toLocaleString("en"), g.reused.toLocaleString("en"), g.seconds, g.device, el("code", {}, g.weights), g.when]), "games"));
    main.append(el("h2", {}, "Claims of the papers"));
    const studies = [["", "all studies"], ...found.studies.map((s) => [s, s])];
    const verdicts = [["", "all verdicts"], ["yes", "yes"], ["in part", "in part"], ["no", "no"]];
    const study = chosen("study", studies), shows = chosen("shows", verdicts);
    main.append(el("div", { class: "controls" }, choice("study", "Study", studies, study), choice("shows", "Verdict", verdicts, shows)));
    const rows = found.claims.filter((c) => (!study || c.study === study) && (!shows || c.shows === shows));
    main.append(el("p", { class: "note", role: "status", id: "count" }, `${rows.length} of ${found.claims.length} claims`));
    const links = (c) => [c.figure && el("a", { href: path(c.figure) }, "figure"), " ", c.table && el("a", { href: path(c.table) }, "table")];
    main.append(table(["study", "in the paper", "of", "claim", "measured here", "holds", ""],
      rows.map((c) => [c.study, c.source, c.of, c.claim, c.measured, el("span", { class: VERDICTS[c.shows] }, c.shows), links(c)]), "claims"));
    main.append(el("h2", {}, "Figures"));
    for (const [name, figures] of Object.entries(found.figures)) {
      main.append(el("h3", {}, name), el("ul", {}, figures.map((f) => el("li", {}, el("a", { href: path(f.file) }, f.name)))));
    }
  }
  function table(heads, rows, id) {
    const is_number = (value) => typeof value === "number" || /^[+\u2212]?[\d.,]+(e\u2212?\d+)?$/.test(value);
    const cell = (value) => el("td", { class: is_number(value) ? "number" : null }, Array.isArray(value) ? value : [typeof value === "number" ? value.toLocaleString("en") : value]);
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `table of ${id}` }, el("table", { id },
      el("thead", {}, el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell))))));
  }

  // Videos
  function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed.levels), (c) => c.charCodeAt(0));
    const levels = new Uint16Array(bytes.buffer), range = packed.high - packed.low;
    return (row) => packed.low + (levels[row] / 65535) * range;
  }
  let listed = [];
  function videos(found) {
    const present = [...new Set(found.videos.map((v) => v.true))];
    const classes = [["", "all classes"], ...present.map((c) => [c, found.classes[c]])];
    const of = chosen("class", classes);
    listed = found.videos.filter((v) => of === "" || v.true === of);
    const ids = listed.map((v) => [v.id, `${v.id}: ${found.classes[v.true]}`]);
    const id = chosen("video", ids), video = listed.find((v) => v.id === id);
    const models = Object.keys(video.models).map((m) => [m, found.models[m]]);
    const model = chosen("model", models), of_model = video.models[model];
    const counts = [...Object.keys(of_model.lengths).map(Number).sort((a, b) => a - b), found.n].map((n) => [n, n]);
    const n = chosen("frames", counts, found.n), whole = n === found.n;
    const available = [["esv", found.methods.esv], ...(whole ? Object.keys(of_model.methods).map((m) => [m, found.methods[m]]) : [])];
    const method = chosen("method", available);
    const others = (whole ? of_model.classes : [video.true]).map((c) => [c, found.classes[c]]);
    const other = chosen("other", [["", "none"], ...others]);
    const step = (by) => go({ video: listed[(listed.indexOf(video) + by + listed.length) % listed.length].id, kept: null });
    main.append(el("div", { class: "controls" },
      choice("class", found.explained === "true class" ? "True class" : "Predicted class", classes, of), choice("video", `Video (${listed.length} of ${found.of})`, ids, id),
      el("button", { id: "previous", on: { click: () => step(-1) } }, "← previous"), el("button", { id: "next", on: { click: () => step(1) } }, "next →")));
    main.append(el("div", { class: "controls" },
      choice("model", "Model", models, model), choice("method", "Method", available, method), choice("frames", "Frames", counts, n),
      choice("other", "Another class", [["", "none"], ...others], other)));
    const true_name = found.classes[video.true], predicted_name = found.classes[of_model.predicted];
    const explained = found.explained === "true class" ? `true class: ${true_name}; predicted: ${predicted_name}` : `predicted class: ${predicted_name}`;
    main.append(el("h2", { id: "title" }, `Video ${video.id}, ${explained}`));

    const shorter = whole ? null : of_model.lengths[n];
    const numbers = whole ? video.frames : shorter.frames;
    const rows = bar_rows(found, video, of_model, method, shorter, other);
    const kept = state.kept === undefined ? new Set(numbers.keys()) : new Set(state.kept.split(".").filter(Boolean).map(Number).filter((k) => k < n));
    const low = Math.min(0, ...rows.flatMap((r) => r.values)), high = Math.max(1e-12, ...rows.flatMap((r) => r.values));
    main.append(el("p", { class: "note" }, `Bars: ${found.methods[method]}, in ${found.unit}; all on one scale. Orange raises the score, blue lowers it. Select frames to see what the model says to these alone.`
      + (video.action ? " A green outline marks the action." : "")));
    main.append(el("ul", { class: "frames", "aria-label": "frames" }, numbers.map((number, k) => el("li", {}, frame(found, video, number, k, kept, rows, low, high)))));
    coalition(found, video, of_model, shorter, kept, numbers);
    if (whole && n > 1) {
      main.append(el("h2", {}, "Pairs of frames"));
      main.append(el("p", { class: "note" }, `What two frames are worth together beyond what each is worth alone (SII, ${found.explained}, ${found.unit}). Purple: less, orange: more.`));
      const pairs = of_model.pairs.map((row, i) => row.map((value, j) => (i === j ? null : value)));
      const largest = extent([pairs]);
      heat(main, pairs, { largest, title: "frame", names: numbers, size: 280, label: `Interactions of pairs of frames of video ${video.id}` });
      main.append(el("p", { class: "note" }, `Scale: ±${short(largest)}.`));
    }
  }
  function bar_rows(found, video, of_model, method, shorter, other) {
    const name = (c, what) => ({ name: what, title: found.classes[c] });
    if (shorter) return [{ ...name(video.true, found.explained.replace(" class", "")), values: shorter.esv }];
    if (method !== "esv") {
      const values = of_model.methods[method];
      const rows = [{ ...name(video.true, "true"), values: values.true }];
      if (values.predicted && of_model.predicted !== video.true) rows.push({ ...name(of_model.predicted, "predicted"), values: values.predicted });
      return rows;
    }
    const of_class = (c) => of_model.esv.map((row) => row[of_model.classes.indexOf(c)]);
    const rows = [{ ...name(video.true, found.explained.replace(" class", "")), values: of_class(video.true) }];
    if (of_model.predicted !== video.true) rows.push({ ...name(of_model.predicted, "predicted"), values: of_class(of_model.predicted) });
    if (other !== "") rows.push({ ...name(other, "other"), values: of_class(other) });
    return rows;
  }
  function frame(found, video, number, k, kept, rows, low, high) {
    const picture = video.pictures?.[number];
    const inside = video.action && number >= video.action[0] && number <= video.action[1];
    const toggle = () => {
      const next = new Set(kept);
      if (!next.delete(k)) next.add(k);
      go({ kept: [...next].sort((a, b) => a - b).join(".") });
    };
    const alt = `frame ${number} of video ${video.id}${inside ? ", inside the action" : ""}`;
    return el("button", { class: inside ? "frame inside" : "frame", id: `frame-${k}`, "aria-pressed": String(kept.has(k)), on: { click: toggle } },
      picture ? el("img", { src: picture, alt }) : el("span", { class: "blank", role: "img", "aria-label": alt }),
      el("span", { class: "value" }, `frame ${number}`),
      rows.map((row) => bar(row, row.values[k], low, high)));
  }
  function bar(row, value, low, high) {
    const range = high - low, zero = (100 * high) / range, size = (100 * Math.abs(value)) / range;
    const style = `top:${value >= 0 ? zero - size : zero}%;height:${size}%`;
    return [el("span", { class: "bars", "aria-hidden": "true", style: "display:block" },
      el("span", { class: "zero", style: `top:${zero}%` }), el("span", { class: `bar ${value >= 0 ? "raises" : "lowers"}`, style })),
      el("span", { class: "value", "data-value": value, "data-row": row.name }, signed(value)), el("span", { class: "row-name", title: row.title }, row.name)];
  }
  function coalition(found, video, of_model, shorter, kept, numbers) {
    const mask = [...kept].reduce((sum, k) => sum + 2 ** k, 0);
    const everyone = [...numbers.keys()];
    main.append(el("h2", {}, "These frames alone"));
    main.append(el("div", { class: "controls" },
      el("button", { id: "all-frames", on: { click: () => go({ kept: everyone.join(".") }) } }, "all frames"),
      el("button", { id: "no-frames", on: { click: () => go({ kept: "" }) } }, "no frames")));
    const names = everyone.filter((k) => kept.has(k)).map((k) => numbers[k]).join(", ") || "none";
    const packed = shorter ? shorter.table : of_model.table;
    if (!packed) {
      main.append(el("p", { class: "note" }, "The table of this video is too large to be embedded; the store has it."));
      return;
    }
    const classes = shorter ? [video.true] : of_model.classes, at = unpack(packed);
    const scores = classes.map((c, place) => ({ c, score: at(mask * classes.length + place) })).sort((a, b) => b.score - a.score);
    const top = scores.slice(0, 5);
    for (const c of [video.true, of_model.predicted]) {
      const found_class = scores.find((s) => s.c === c);
      if (found_class && !top.includes(found_class)) top.push(found_class);
    }
    const step = (packed.high - packed.low) / 65535;
    const told = (score) => (Math.abs(score) < step / 2 ? "0" : short(score));
    const largest = Math.max(...top.map((s) => Math.abs(s.score)), found.unit === "probability" ? 1 : 0) || 1;
    main.append(el("p", { id: "coalition", role: "status" }, `Frames ${names} (coalition ${mask}): ${found.classes[top[0].c]}, ${told(top[0].score)}`));
    main.append(el("div", { id: "scores" }, top.map(({ c, score }) => el("div", { class: c === video.true ? "score true" : "score", "data-class": c, "data-score": score },
      el("span", {}, found.classes[c]), el("span", { class: "track", "aria-hidden": "true", style: "display:block" }, el("span", { class: "fill", style: `display:block;width:${Math.max(0, (100 * score) / largest)}%` })),
      el("span", { class: "value" }, told(score))))));
    main.append(el("p", { class: "note" }, `Green: the ${found.explained}. Scores are read from the stored table, kept here in 65,536 steps of ${short(step, 2)} for display; the store is exact.`));
  }

  // Pictures
  function pictures(found) {
    const models = Object.keys(found.models).map((m) => [m, m]);
    const model = chosen("model", models), of_model = found.models[model];
    const ids = of_model.pictures.map((p, k) => [k, `${p.id}: ${p.label}`]);
    const place = chosen("picture", ids), picture = of_model.pictures[place];
    const step = (by) => go({ picture: (place + by + ids.length) % ids.length });
    main.append(el("div", { class: "controls" }, choice("model", "Score of", models, model), choice("picture", `Picture (${ids.length} of ${of_model.of})`, ids, place),
      el("button", { id: "previous", on: { click: () => step(-1) } }, "← previous"), el("button", { id: "next", on: { click: () => step(1) } }, "next →")));
    const explained = model === "distance" ? `distance to a picture of ${picture.target}` : `score of class ${picture.target}`;
    main.append(el("h2", { id: "title" }, `Picture ${picture.id}, class ${picture.label}: ${explained} (${of_model.unit})`));
    const cards = el("div", { class: "cards" });
    main.append(cards);
    for (const [name, source] of [["picture", picture.picture], ["second picture", picture.second]]) {
      if (source) cards.append(el("figure", { class: "card" }, el("img", { src: source, alt: `${name}, class ${name === "picture" ? picture.label : picture.target}`, class: "pixels large" }), el("figcaption", {}, name)));
    }
    const shown = Object.entries(found.methods).filter(([m]) => picture.values[m]?.matrix);
    for (const [method, name] of shown) {
      const card = el("figure", { class: "card", "data-method": method });
      cards.append(card);
      const matrix = picture.values[method].matrix, largest = extent([matrix]);
      heat(card, matrix, { largest, label: `${name}: attributions of picture ${picture.id}` });
      card.append(el("figcaption", {}, `${name}, scale ±${short(largest)}`));
    }
    main.append(el("p", { class: "note" }, "Orange raises the score, purple lowers it. Each attribution has its own scale; methods of areas are constant within an area."));
    main.append(el("h2", {}, "Values of areas"));
    const n = picture.values.exact.areas.length;
    main.append(table(["area", ...shown.map(([, name]) => name)], Array.from({ length: n }, (_, k) => [k, ...shown.map(([m]) => short(picture.values[m].areas[k]))]), "areas"));
  }

  // Neurons
  function neurons(found) {
    const metrics = found.metrics.map((m) => [m, m]), metric = chosen("metric", metrics);
    main.append(el("div", { class: "controls" }, choice("metric", "Value for", metrics, metric)));
    main.append(el("h2", { id: "title" }, `Filters by their Shapley value for ${metric}`));
    const pictures_of = Object.fromEntries((found.portraits || []).map((p) => [p.filter, p]));
    const images = (p, which) => p ? p[which].slice(0, 3).map((src, k) => el("img", { src, alt: `image ${k + 1} of those that activate ${p.filter} ${which}`, class: "pixels", style: "width:48px" })) : "";
    main.append(table(["rank", "filter", "value", "standard error", "most activating images", "least", "dreams"], found.ranked[metric].map((row) => [
      row.rank, row.filter, short(row.value), short(row.error, 2), images(pictures_of[row.filter], "most"), images(pictures_of[row.filter], "least"), images(pictures_of[row.filter], "dreams")]), "filters"));
    main.append(el("p", { class: "note" }, `${found.filters} filters; the first and last are listed. Images exist for the filters that were drawn.`));
    const of = [...new Set(found.curves.map((c) => c.of))].map((o) => [o, o]), removed_for = chosen("removed", of);
    const measured = [...new Set(found.curves.filter((c) => c.of === removed_for).map((c) => c.metric))].map((m) => [m, m]), measure = chosen("measure", measured);
    main.append(el("h2", {}, "Filters removed one after another"));
    main.append(el("div", { class: "controls" }, choice("removed", "Removed for", of, removed_for), choice("measure", "Measured", measured, measure)));
    const values = found.curves.filter((c) => c.of === removed_for && c.metric === measure);
    chart(main, { description: `${measure} against the number of removed filters`, width: Math.min(520, innerWidth - 120), height: 260, data: { values },
      mark: { type: "line", point: true }, encoding: { x: { field: "removed", type: "quantitative", title: "filters removed" }, y: { field: "value", type: "quantitative", title: measure },
        color: { field: "method", type: "nominal", scale: { range: ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F7F"] }, legend: { orient: "bottom", columns: 2 } }, strokeDash: { field: "method" } } });
  }

  // Shapley networks
  function shapnets(found) {
    const ids = found.images.map((i, k) => [k, `${k + 1}: ${i.label}`]), place = chosen("image", ids), image = found.images[place];
    const networks = found.networks.map((n) => [n, n]), network = chosen("network", networks), of_network = image.networks[network];
    main.append(el("div", { class: "controls" }, choice("image", "Image", ids, place), choice("network", "Network", networks, network)));
    main.append(el("h2", { id: "title" }, `Image ${place + 1}, class ${image.label}, network ${network}`));
    main.append(el("img", { src: image.picture, alt: `the image, class ${image.label}`, class: "pixels large" }));
    for (const [key, title, names, oneSided] of [["classes", "Explanations of the classes", found.classes, false], ["stages", "Layer by layer: sums over channels, without sign", of_network.stages.map((_, k) => `layer ${k + 1}`), true]]) {
      main.append(el("h2", {}, title));
      const cards = el("div", { class: "cards" }), all = of_network[key];
      main.append(cards);
      const common = extent(all);
      all.forEach((matrix, k) => {
        const card = el("figure", { class: "card" });
        cards.append(card);
        heat(card, matrix, { largest: oneSided ? extent([matrix]) : common, size: 104, oneSided, label: `${title}: ${names[k]}` });
        card.append(el("figcaption", {}, names[k] + (oneSided ? `, up to ${short(extent([matrix]))}` : "")));
      });
      if (!oneSided) main.append(el("p", { class: "note" }, `All on one scale, ±${short(common)}. Orange raises the score, purple lowers it.`));
    }
  }

  const DRAW = { overview, videos, pictures, neurons, shapnets };
  addEventListener("popstate", () => { readState(); render(); });
  addEventListener("hashchange", () => { readState(); render(); });
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.("select, input, .scroll")) return;
    const button = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
    if (button) document.getElementById(button)?.click();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  readState();
  render();
})();
