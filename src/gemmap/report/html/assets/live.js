/* Asks how the run goes every two seconds, and shows it. Text of the run is only ever text, never markup. */
(() => {
  const EVERY_MS = 2000;
  const token = new URLSearchParams(location.search).get("token") ?? "";
  const { folder, plots } = REPORT.live;
  const at = (id) => document.getElementById(id);
  const address = (page) => `${page}?token=${encodeURIComponent(token)}`;
  const redraws = new Map();
  let shown = 0, heard = null;

  function status(text) {
    at("status").textContent = text;
    at("status").dataset.status = text;
  }
  function say(text, link) {
    const box = at("said");
    if (box.dataset.text === text) return;
    box.dataset.text = text;
    box.replaceChildren(text);
    if (link) box.append(" ", link);
    box.hidden = !text;
    box.classList.toggle("good", Boolean(link));
  }

  function curves(found) {
    for (const [id, series] of Object.entries(found)) {
      const of = plots[id];
      const before = of.series.reduce((sum, one) => sum + one.x.length, 0);
      series.forEach((one, i) => Object.assign(of.series[i], one));
      const now = of.series.reduce((sum, one) => sum + one.x.length, 0);
      if (redraws.has(id)) {
        if (now !== before) redraws.get(id)();
      } else if (now) {
        redraws.set(id, PLOTS.fill(at(id), of));
      }
    }
  }

  function picture({ title, text, images, bar, barPercent }) {
    const figure = PLOTS.html("figure");
    const planes = PLOTS.html("div", { class: "planes" }, figure);
    images.forEach(([plane, src], i) => {
      const cell = PLOTS.html("span", {}, planes);
      PLOTS.html("img", { src, alt: `${title}, plane ${plane}` }, cell);
      PLOTS.html("b", {}, cell, plane);
      if (i === 0) PLOTS.html("span", { class: "scale-bar", style: `width:${barPercent}%` }, cell, bar);
    });
    const caption = PLOTS.html("figcaption", {}, figure);
    PLOTS.html("strong", {}, caption, title);
    caption.append(` ${text}`);
    return figure;
  }
  function pictures(found) {
    at("pictures").replaceChildren(...found.pictures.map(picture));
    at("no-slices").hidden = found.pictures.length > 0;
    shown = found.slices;
  }

  function show(state) {
    status(state.status);
    const finished = state.status === "finished";
    at("stage").textContent = finished ? "Finished" : state.stage || "Reading";
    at("bar").max = finished ? 1 : state.total || 1;
    at("bar").value = finished ? 1 : state.done;
    at("words").textContent = state.total && !finished ? state.words : "";
    at("elapsed").textContent = `${state.status === "running" ? "Running for" : "Ended after"} ${state.elapsed}`;
    const lines = at("lines"), end = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 30;
    const text = state.log.join("\n");
    if (lines.textContent !== text) {
      lines.textContent = text;
      if (end) lines.scrollTop = lines.scrollHeight;
    }
    curves(state.plots);
  }

  /* The server of a run that has ended lives just long enough to hand over the report. */
  function end(state) {
    if (state.status === "finished" && state.report) {
      if (!state.stays) {
        location.assign(address("report"));
        return;
      }
      const link = PLOTS.html("a", { href: address("report") }, null, "Open the report.");
      say(`The run is finished; its report is ${folder}/report.html.`, link);
    } else {
      say(state.message || "The run is finished; its report could not be written, run.log says why.");
    }
  }

  async function fetched(page, more = "") {
    let response;
    try {
      response = await fetch(address(page) + more);
    } catch {
      throw new Error("The run has ended, or the connection is cut.");
    }
    if (!response.ok) throw new Error((await response.text()).trim());
    return response.json();
  }
  async function ask() {
    let state, found;
    try {
      state = await fetched("state.json", document.hidden ? "" : "&looks=1");
      if (state.slices !== shown) found = await fetched("slices.json");
    } catch (error) {
      status("no answer");
      const last = heard ? ` This is what was heard last, at ${heard.toLocaleTimeString()}.` : "";
      say(`${error.message}${last} The report of a run that is finished is ${folder}/report.html.`);
      setTimeout(ask, EVERY_MS);
      return;
    }
    heard = new Date();
    show(state);
    if (found) pictures(found);
    if (state.status === "running") {
      say("");
      setTimeout(ask, EVERY_MS);
    } else {
      end(state);
    }
  }
  ask();
})();
