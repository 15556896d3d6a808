// What the map of cells does: draws the cells of the chosen partitioning and tells of the one that is pointed at.
// Not here: the data (cell_page.py), the looks (cells.css), the drawing of rings (world_map.js, which stands before this
// script). The one idea: a path for each colour, so thousands of cells take milliseconds.
"use strict";

const COLOUR_STEPS = 24;
const FILL_OPACITY = 0.8;
const LEAST_PIXELS = 1.5; // a cell smaller than this is drawn as a square of this size
const LEAST_PIXELS_CLOSE = 6; // where only cells of a few metres can be that small
const CLOSE_ZOOM = 14;
const EDGED_PIXELS = 8; // smaller cells have no edge line: it would hide their colour, and lines are what takes longest
const TINY_PIXELS = 8; // a smaller cell is marked by a circle when it is pointed at
const MEAN_PIXELS = 36; // larger cells show the mean point of their photos, on a map of this zoom
const MEAN_ZOOM = 4;
const MAX_ZOOM = 20;
const FIRST_VIEW = L.latLngBounds([-58, -180], [76, 180]); // Antarctica would take half of the map

// ---- data -----------------------------------------------------------------------------------------------------------

class Partitioning {
  constructor(packed, scale) {
    this.name = packed.name;
    this.numCells = packed.num_cells;
    this.numPhotos = packed.num_photos;
    this.tokens = packed.tokens.split(" ");
    this.levels = unpacked(packed.levels, Uint8Array);
    this.labels = unpacked(packed.labels, Int32Array);
    this.photos = unpacked(packed.photos, Uint32Array);
    this.means = Float64Array.from(unpacked(packed.means, Int32Array), (units) => units / packed.mean_units_per_degree);
    this.owners = unpacked(packed.owners, Uint32Array);
    this.rings = projected(packed.shapes);
    this.rings_by_step = Array.from({ length: COLOUR_STEPS }, () => []);
    for (let ring = 0; ring < this.rings.count; ring++) {
      this.rings_by_step[scale.step(this.photos[this.owners[ring]])].push(ring);
    }
  }

  // The ring at a place of the world, or the nearest one that is too small to be hit within `reach`; else -1.
  ringAt(px, py, reach) {
    const { count, box } = this.rings;
    let nearest = -1, least = reach;
    for (let ring = 0; ring < count; ring++) {
      if (px < box.west[ring] - reach || px > box.east[ring] + reach || py < box.north[ring] - reach || py > box.south[ring] + reach) continue;
      if (contains(this.rings, ring, px, py)) return ring;
      if (box.east[ring] - box.west[ring] > reach) continue;
      const distance = Math.hypot(px - box.west[ring], py - box.north[ring]);
      if (distance < least) [nearest, least] = [ring, distance];
    }
    return nearest;
  }
}

function contains({ x, y, starts }, ring, px, py) {
  let inside = false;
  const end = starts[ring + 1];
  for (let k = starts[ring], before = end - 1; k < end; before = k++) {
    if (y[k] > py !== y[before] > py && px < x[k] + ((x[before] - x[k]) * (py - y[k])) / (y[before] - y[k])) inside = !inside;
  }
  return inside;
}

// ---- colours --------------------------------------------------------------------------------------------------------

class Scale {
  constructor(fewest, most) {
    this.low = Math.log(Math.max(fewest, 1));
    this.span = Math.max(Math.log(Math.max(most, 1)) - this.low, 1e-9);
  }

  share(photos) {
    return Math.max(0, Math.min(1, (Math.log(Math.max(photos, 1)) - this.low) / this.span));
  }

  step(photos) {
    return Math.min(COLOUR_STEPS - 1, Math.floor(this.share(photos) * COLOUR_STEPS));
  }
}

function colourSteps(stops) {
  const channels = stops.map((stop) => [1, 3, 5].map((k) => parseInt(stop.slice(k, k + 2), 16)));
  return Array.from({ length: COLOUR_STEPS }, (_, step) => {
    const place = (step / (COLOUR_STEPS - 1)) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    const mixed = channels[k].map((from, c) => Math.round(from + (channels[k + 1][c] - from) * (place - k)));
    return `rgb(${mixed.join(" ")} / ${FILL_OPACITY})`;
  });
}

function palette(colours) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const style = getComputedStyle(document.documentElement);
  const named = Object.fromEntries(["land", "coast", "edge", "ink", "surface"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
  return { ...named, steps: colourSteps(colours[dark ? "dark" : "light"]) };
}

function drawLegend(fewest, most, scale, steps) {
  const legend = element("legend"), ticks = legend.querySelector(".ticks"), width = legend.clientWidth;
  legend.querySelector(".ramp").style.backgroundImage = `linear-gradient(90deg, ${steps.join(", ")})`;
  legend.setAttribute("aria-label", `Colours: ${whole(fewest)} to ${whole(most)} photos in a cell, logarithmic`);
  const shown = fewest === most ? [fewest] : [fewest, most];
  for (const factor of [1, 2, 5]) {
    for (let tick = factor; tick < most; tick *= 10) {
      const room = (other) => Math.abs(scale.share(tick) - scale.share(other)) * width > 40;
      if (tick > fewest && shown.every(room)) shown.push(tick);
    }
  }
  shown.sort((a, b) => a - b);
  ticks.replaceChildren(...shown.map((tick) => {
    const mark = document.createElement("span");
    mark.textContent = whole(tick);
    mark.style.left = `${100 * scale.share(tick)}%`;
    return mark;
  }));
}

// ---- drawing --------------------------------------------------------------------------------------------------------

const CellLayer = CanvasLayer.extend({
  initialize(land, colours) {
    CanvasLayer.prototype.initialize.call(this);
    this.land = land;
    this.colours = colours;
  },

  show(partitioning) {
    this.partitioning = partitioning;
    this.repaint();
  },

  paint(pen, zoom) {
    draw(pen, this.land, this.partitioning, this.colours, zoom);
  },
});

function draw(pen, land, partitioning, colours, zoom) {
  const coast = landPath(pen, land);
  pen.context.fillStyle = colours.land;
  pen.context.fill(coast, "evenodd");
  fillCells(pen, partitioning, colours.steps, zoom < CLOSE_ZOOM ? LEAST_PIXELS : LEAST_PIXELS_CLOSE);
  lineCells(pen, partitioning.rings, colours.edge);
  pen.context.strokeStyle = colours.coast;
  pen.context.lineWidth = 0.8;
  pen.context.stroke(coast);
  if (zoom >= MEAN_ZOOM) markMeans(pen, partitioning, colours);
}

function fillCells(pen, { rings, rings_by_step }, steps, least) {
  rings_by_step.forEach((members, step) => {
    pen.context.beginPath();
    for (const ring of members) {
      if (!pen.sees(rings, ring)) continue;
      if (pen.pixels(rings, ring) < least) pen.square(rings, ring, least);
      else pen.trace(rings, ring);
    }
    pen.context.fillStyle = steps[step];
    pen.context.fill();
  });
}

function lineCells(pen, rings, colour) {
  pen.context.beginPath();
  for (let ring = 0; ring < rings.count; ring++) {
    if (pen.sees(rings, ring) && pen.pixels(rings, ring) > EDGED_PIXELS) pen.trace(rings, ring);
  }
  pen.context.strokeStyle = colour;
  pen.context.lineWidth = 0.6;
  pen.context.stroke();
}

function markMeans(pen, { rings, owners, means }, colours) {
  pen.context.beginPath();
  for (let ring = 0; ring < rings.count; ring++) {
    if (!pen.sees(rings, ring) || pen.pixels(rings, ring) < MEAN_PIXELS) continue;
    const cell = owners[ring];
    pen.dot(mercatorX(means[2 * cell]), mercatorY(means[2 * cell + 1]), 2.5);
  }
  pen.context.fillStyle = colours.ink;
  pen.context.strokeStyle = colours.surface;
  pen.context.lineWidth = 2;
  pen.context.stroke();
  pen.context.fill();
}

// ---- the page -------------------------------------------------------------------------------------------------------

function start(data) {
  const scale = new Scale(data.fewest, data.most);
  const read = new Map(); // by index; a partitioning is unpacked when it is first chosen
  const partitioning = (index) => {
    if (!read.has(index)) read.set(index, new Partitioning(data.partitionings[index], scale));
    return read.get(index);
  };
  const map = makeMap();
  const layer = new CellLayer(projected(data.land), palette(data.colours));
  const mark = L.layerGroup().addTo(map);
  let current, shown, byKeyboard = false;

  // a browser shows focus after a tap as well, where nothing had it before; the cross is for the keyboard alone
  function useKeyboard(yes) {
    byKeyboard = yes;
    map.getContainer().classList.toggle("by-keyboard", yes);
  }

  function choose(index) {
    current = partitioning(index);
    const headline = `${whole(current.numCells)} cells, ${whole(current.numPhotos)} photos`;
    element("headline").textContent = headline;
    document.title = `${current.name}: ${headline}`;
    tell(-1);
    layer.show(current);
  }

  function tell(ring) {
    if (ring === shown) return;
    shown = ring;
    mark.clearLayers();
    element("facts").hidden = ring < 0;
    element("hint").hidden = ring >= 0;
    if (ring < 0) return;
    describe(current, current.owners[ring]);
    outline(current, ring, map.options.crs.scale(map.getZoom())).addTo(mark);
  }

  function point(place) {
    const reach = 6 / map.options.crs.scale(map.getZoom());
    tell(current.ringAt(mercatorX(place.lng), mercatorY(place.lat), reach));
  }

  function pointAtMiddle() {
    if (byKeyboard && document.activeElement === map.getContainer()) point(map.getCenter());
  }

  function dress() {
    layer.colours = palette(data.colours);
    drawLegend(data.fewest, data.most, scale, layer.colours.steps);
    layer.show(current);
  }

  element("choice").addEventListener("change", (event) => choose(Number(event.target.value)));
  map.on("mousemove click", (event) => point(event.latlng));
  map.on("mouseout", () => tell(-1));
  addEventListener("keydown", () => useKeyboard(true), true);
  addEventListener("pointerdown", () => useKeyboard(false), true);
  map.on("moveend", pointAtMiddle);
  map.on("moveend", () => history.replaceState(null, "", addressOf(map)));
  addEventListener("hashchange", () => viewOfAddress(map));
  map.getContainer().addEventListener("focus", pointAtMiddle);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  addEventListener("resize", dress);

  choose(Number(element("choice").value));
  layer.addTo(map);
  if (!viewOfAddress(map)) map.fitBounds(boundsOf(current.rings).pad(0.02), { animate: false });
  dress();
}

function makeMap() {
  const map = L.map("map", { zoomSnap: 0.25, minZoom: 0, maxZoom: MAX_ZOOM, maxBoundsViscosity: 1, maxBounds: [[-LARGEST_LATITUDE, -180], [LARGEST_LATITUDE, 180]] });
  map.attributionControl.setPrefix("Leaflet 1.9.4").addAttribution("Land: Natural Earth 1:50m");
  L.control.scale({ position: "topright", imperial: false }).addTo(map);
  map.setView([20, 0], 1);
  return map;
}

// What is in view, as the end of the page's address: zoom, latitude, longitude. It can be kept and passed on.
const addressOf = (map) => `#${map.getZoom().toFixed(2)}/${map.getCenter().lat.toFixed(5)}/${map.getCenter().lng.toFixed(5)}`;

function viewOfAddress(map) {
  const numbers = location.hash.slice(1).split("/").map(Number);
  const isView = numbers.length === 3 && numbers.every(Number.isFinite);
  if (isView) map.setView(numbers.slice(1), numbers[0], { animate: false });
  return isView;
}

// Where the cells are, without the far north and south that a world map would waste its room on.
function boundsOf({ box }) {
  const least = (values) => values.reduce((a, b) => Math.min(a, b)), most = (values) => values.reduce((a, b) => Math.max(a, b));
  const found = L.latLngBounds(placeOf(least(box.west), most(box.south)), placeOf(most(box.east), least(box.north)));
  if (!found.overlaps(FIRST_VIEW)) return found;
  const south = Math.max(found.getSouth(), FIRST_VIEW.getSouth()), north = Math.min(found.getNorth(), FIRST_VIEW.getNorth());
  return L.latLngBounds([south, found.getWest()], [north, found.getEast()]);
}

function describe(partitioning, cell) {
  const [longitude, latitude] = partitioning.means.subarray(2 * cell, 2 * cell + 2);
  element("token").textContent = partitioning.tokens[cell];
  element("level").textContent = partitioning.levels[cell];
  element("photos").textContent = whole(partitioning.photos[cell]);
  element("mean").textContent = coordinate(latitude, longitude, 5);
  element("label").textContent = partitioning.labels[cell];
}

// The lines around a cell, and a circle where it is too small to be seen.
function outline({ rings, owners }, ring, scale) {
  const style = { interactive: false, fill: false, weight: 2.5, className: "outline" };
  const mine = [];
  for (let k = 0; k < rings.count; k++) if (owners[k] === owners[ring]) mine.push(k);
  const points = (one) => Array.from(rings.x.subarray(rings.starts[one], rings.starts[one + 1]), (px, k) => placeOf(px, rings.y[rings.starts[one] + k]));
  const lines = mine.map(points);
  const isTiny = (rings.box.east[ring] - rings.box.west[ring]) * scale < TINY_PIXELS;
  return isTiny ? L.circleMarker(lines[0][0], { ...style, radius: TINY_PIXELS }) : L.polygon(lines, { ...style, smoothFactor: 0 });
}

start(JSON.parse(element("data").textContent));
