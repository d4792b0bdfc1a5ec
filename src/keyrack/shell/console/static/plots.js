// Plots that go on by themselves: the page says where their numbers are, in which unit, and in which language.
"use strict";

(() => {
  const box = document.querySelector("[data-plots]");
  if (!box || typeof uPlot === "undefined") return;
  const EVERY = 10000;
  const HEIGHT = 200;
  const TOKENS = ["--one", "--two", "--three", "--four", "--five"];
  const said = document.documentElement.lang;
  const numbers = new Intl.NumberFormat(said, {maximumFractionDigits: 2});
  const short = new Intl.NumberFormat(said, {notation: "compact", maximumSignificantDigits: 3});
  const hours = new Intl.DateTimeFormat(said, {hour: "2-digit", minute: "2-digit"});
  const moments = new Intl.DateTimeFormat(said, {hour: "2-digit", minute: "2-digit", second: "2-digit"});
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();
  let span = "hour";
  let last = null;

  // A token of the style sheet, as a colour that a canvas understands: light or dark, as the page is now.
  const probe = document.createElement("span");
  probe.hidden = true;
  box.append(probe);
  function colour(token) {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  }

  function axis(more) {
    const line = colour("--line");
    return {stroke: colour("--soft"), grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}, ...more};
  }

  // A point without neighbours has no line to be seen by.
  function alone(chart, at) {
    const values = chart.data[at];
    return values.flatMap((each, i) => (each != null && values[i - 1] == null && values[i + 1] == null ? [i] : []));
  }

  function series(line, at) {
    return {
      label: line.name,
      stroke: colour(TOKENS[at % TOKENS.length]),
      width: 2,
      dash: at === 3 ? [6, 4] : undefined,  // not by its colour alone
      points: {show: true, size: 4, filter: alone},
      value: (_, number) => (number == null ? "" : numbers.format(number)),
    };
  }

  const decadesAlone = (_, ticks) => ticks.map((each) => (Math.abs(Math.log10(each) % 1) < 1e-9 ? each : null));
  const decades = (_, low, high) => (high > 0 ? [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))] : [0.1, 10]);

  function options(place, lines) {
    const log = place.dataset.scale === "log";
    const thin = {stroke: colour("--line"), width: 1};
    return {
      width: place.clientWidth,
      height: HEIGHT,
      cursor: {drag: {x: false, y: false}},
      scales: {
        // No wider than there is something to see, and five minutes at the least.
        x: {range: () => [Math.max(last.from, Math.min(last.at[0], last.until - 300)), last.until]},
        y: log ? {distr: 3, range: decades} : {range: (_, low, high) => [0, Math.max(high * 1.15, 4)]},
      },
      axes: [
        axis({values: (_, ticks) => ticks.map((each) => hours.format(each * 1000)), space: 60}),
        axis({
          values: (_, ticks) => ticks.map((each) => (each == null ? "" : short.format(each))),
          ...(log ? {filter: decadesAlone, grid: {...thin, filter: decadesAlone}, ticks: {...thin, filter: decadesAlone}} : {}),
          label: place.dataset.unit,
          labelSize: 20,
          size: 52,
        }),
      ],
      series: [
        {label: box.dataset.time, value: (_, at) => (at == null ? "" : moments.format(at * 1000))},
        ...lines.map(series),
      ],
    };
  }

  function draw(place) {
    const lines = last.plots[place.dataset.plot];
    const names = lines.map((each) => each.name).join("\n");
    let plot = drawn.get(place);
    if (plot && plot.names !== names) forget(place);
    if (!last.at.length) {
      place.textContent = box.dataset.none;
      return;
    }
    const data = [last.at, ...lines.map((each) => each.values)];
    plot = drawn.get(place);
    if (plot) {
      plot.chart.setData(data);
      return;
    }
    place.textContent = "";
    drawn.set(place, {names, chart: new uPlot(options(place, lines), data, place)});
  }

  function forget(place) {
    const plot = drawn.get(place);
    if (plot) plot.chart.destroy();
    drawn.delete(place);
  }

  const places = box.querySelectorAll("[data-plot]");
  const drawAll = () => { if (last) places.forEach(draw); };
  function redraw() {
    places.forEach(forget);
    drawAll();
  }

  async function refresh() {
    try {
      const answer = await fetch(`${box.dataset.plots}?span=${span}`, {headers: {accept: "application/json"}});
      if (answer.status === 401) { clearInterval(asking); return; }  // the page itself goes to the log-in
      if (!answer.ok) return;
      last = await answer.json();
      drawAll();
    } catch { /* the server is not there: what is drawn stays, and it is asked again */ }
  }

  document.querySelectorAll("[data-spans]").forEach((buttons) => {
    buttons.hidden = false;
    buttons.addEventListener("click", (event) => {
      const chosen = event.target.dataset.span;
      if (!chosen) return;
      span = chosen;
      buttons.querySelectorAll("[data-span]").forEach((each) => {
        each.setAttribute("aria-pressed", String(each.dataset.span === span));
      });
      refresh();
    });
  });
  new ResizeObserver(() => {
    drawn.forEach(({chart}, place) => {
      if (place.clientWidth) chart.setSize({width: place.clientWidth, height: HEIGHT});
    });
  }).observe(box);
  dark.addEventListener("change", redraw);
  box.hidden = false;
  const asking = setInterval(refresh, EVERY);
  refresh();
})();
