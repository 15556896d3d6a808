// What the game does: five photos, a guess at each, then the model's answer and the truth.
// Not here: the photos and the rules' numbers (game_page.py), the looks (game.css), the land (world_map.js, which stands
// before this script). The one idea: the seed at the end of the address decides which photos are played, nothing else.
"use strict";

const EARTH_RADIUS_KM = 6371;
const TURNS = [-2, -1, 0, 1, 2]; // the map goes on to the east and west; what is on it is there once in each copy of the world
const MAX_ZOOM = 12;
const CLOSEST_ANSWER_ZOOM = 7;
const STEP_PIXELS = 8; // of the cross-hair for an arrow key
const STEP_PIXELS_SHIFT = 48;
const MARGIN_PIXELS = 40; // the cross-hair stays so far from the map's edge
const GRID_DEGREES = 30;
const FIRST_VIEW = L.latLngBounds([-56, -168], [74, 168]);
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ZOOMS = { "+": 1, "=": 1, "-": -1, "_": -1 };

// ---- the sphere -----------------------------------------------------------------------------------------------------

const radians = (degrees) => (degrees * Math.PI) / 180;

// As cells/distance.py: the arc tangent of |a x b| over a.b, accurate from millimetres to the antipode.
function greatCircleKm([latitudeA, longitudeA], [latitudeB, longitudeB]) {
  const a = radians(latitudeA), b = radians(latitudeB), delta = radians(longitudeB - longitudeA);
  const across = Math.hypot(Math.cos(b) * Math.sin(delta), Math.cos(a) * Math.sin(b) - Math.sin(a) * Math.cos(b) * Math.cos(delta));
  return EARTH_RADIUS_KM * Math.atan2(across, Math.sin(a) * Math.sin(b) + Math.cos(a) * Math.cos(b) * Math.cos(delta));
}

// Points about a degree apart along the great circle; longitudes go on beyond 180 instead of jumping.
function greatCirclePath(from, to) {
  const [a, b] = [from, to].map(unitVector);
  const angle = greatCircleKm(from, to) / EARTH_RADIUS_KM;
  const steps = Math.max(1, Math.ceil(angle / radians(1)));
  if (Math.sin(angle) < 1e-9) return [from, [to[0], from[1] + wrapped(to[1] - from[1])]]; // one place, or its antipode
  const path = [from];
  for (let k = 1; k <= steps; k++) {
    const [weightA, weightB] = [Math.sin(angle * (1 - k / steps)), Math.sin((angle * k) / steps)].map((each) => each / Math.sin(angle));
    const [x, y, z] = a.map((each, axis) => weightA * each + weightB * b[axis]);
    const longitude = (Math.atan2(y, x) * 180) / Math.PI, before = path[k - 1][1];
    path.push([(Math.atan2(z, Math.hypot(x, y)) * 180) / Math.PI, before + wrapped(longitude - before)]);
  }
  return path;
}

const unitVector = ([latitude, longitude]) => [
  Math.cos(radians(latitude)) * Math.cos(radians(longitude)), Math.cos(radians(latitude)) * Math.sin(radians(longitude)), Math.sin(radians(latitude)),
];

// A longitude, or a difference of two, between -180 and 180.
const wrapped = (longitude) => longitude - 360 * Math.round(longitude / 360);

// ---- the rules ------------------------------------------------------------------------------------------------------

const pointsFor = (km, { most_points, scale_km }) => Math.round(most_points * Math.exp(-km / scale_km));

// Numbers from 0 to 1 that follow from a text: FNV-1a, then mulberry32.
function randomOf(seed) {
  let state = 2166136261;
  for (const character of seed) state = Math.imul(state ^ character.codePointAt(0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Which of so many photos a seed draws, each at most once.
function drawn(seed, count, numPhotos) {
  const random = randomOf(seed), numbers = Array.from({ length: numPhotos }, (_, number) => number);
  for (let k = 0; k < count; k++) {
    const other = k + Math.floor(random() * (numPhotos - k));
    [numbers[k], numbers[other]] = [numbers[other], numbers[k]];
  }
  return numbers.slice(0, count);
}

// A seed whose photos have not been seen, or of a hundred the one with the fewest seen.
function freshSeed(count, numPhotos, seen) {
  const seeds = Array.from({ length: 100 }, () => Math.random().toString(36).slice(2, 8));
  const known = (seed) => drawn(seed, count, numPhotos).filter((number) => seen.has(number)).length;
  return seeds.reduce((best, seed) => (known(seed) < known(best) ? seed : best));
}

// ---- words ----------------------------------------------------------------------------------------------------------

function kilometres(km) {
  if (km < 1) return `${Math.round(km * 1000)} m`;
  return km < 9.95 ? `${km.toFixed(1)} km` : `${whole(Math.round(km))} km`;
}

const sum = (values) => values.reduce((a, b) => a + b, 0);

function verdict(mine, models) {
  if (mine === models) return "A draw.";
  return mine > models ? "You were closer." : "The model was closer.";
}

// Elements: tag("td", { className: "won" }, "text", child)
function tag(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function symbol(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `mark ${name}`);
  svg.setAttribute("viewBox", "0 0 24 24"); // the symbols bring their own middle
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", `#${name}`);
  return svg;
}

// ---- the map --------------------------------------------------------------------------------------------------------

const LandLayer = CanvasLayer.extend({
  initialize(land) {
    CanvasLayer.prototype.initialize.call(this);
    this.land = land;
  },

  paint(pen) {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(`--${name}`);
    const first = Math.floor(pen.left / pen.scale), last = Math.floor((pen.left + pen.width) / pen.scale);
    for (let turn = first; turn <= last; turn++) {
      const own = new Pen(pen.context, pen.scale, { x: pen.left - turn * pen.scale, y: pen.top }, { x: pen.width, y: pen.height });
      const coast = landPath(own, this.land);
      pen.context.fillStyle = colour("land");
      pen.context.fill(coast, "evenodd");
      pen.context.strokeStyle = colour("coast");
      pen.context.lineWidth = 0.8;
      pen.context.stroke(coast);
      paintGrid(own, colour("grid"));
    }
  },
});

function paintGrid(pen, colour) {
  pen.context.beginPath();
  for (let longitude = -180; longitude < 180; longitude += GRID_DEGREES) {
    const x = mercatorX(longitude) * pen.scale - pen.left;
    pen.context.moveTo(x, 0);
    pen.context.lineTo(x, pen.height);
  }
  for (let latitude = -60; latitude < 90; latitude += GRID_DEGREES) {
    const y = mercatorY(latitude) * pen.scale - pen.top;
    pen.context.moveTo(-pen.left, y);
    pen.context.lineTo(pen.scale - pen.left, y);
  }
  pen.context.strokeStyle = colour;
  pen.context.lineWidth = 1;
  pen.context.stroke();
}

class WorldMap {
  constructor(land) {
    this.map = L.map("map", {
      zoomSnap: 0.25, minZoom: 0, maxZoom: MAX_ZOOM, worldCopyJump: true, keyboard: false, doubleClickZoom: false, zoomControl: false,
      maxBoundsViscosity: 1, maxBounds: [[-LARGEST_LATITUDE, -Infinity], [LARGEST_LATITUDE, Infinity]],
      zoomAnimation: false, // its end would take back a view that was set meanwhile: of the next photo, for a quick player
    });
    this.map.setView([20, 0], 1);
    this.map.attributionControl.setPrefix("Leaflet 1.9.4").addAttribution("Land: Natural Earth");
    L.control.zoom({ position: "topright" }).addTo(this.map);
    L.control.scale({ position: "topright", imperial: false }).addTo(this.map);
    this.land = new LandLayer(projected(land)).addTo(this.map);
    this.cross = L.layerGroup().addTo(this.map);
    this.answers = L.layerGroup().addTo(this.map);
    this.map.on("moveend", () => this.keepInWorld());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.land.repaint());
    new ResizeObserver(() => this.map.invalidateSize({ animate: false })).observe(this.map.getContainer());
  }

  keepInWorld() {
    const centre = this.map.getCenter();
    if (Math.abs(centre.lng) > 180) this.map.setView(centre.wrap(), this.map.getZoom(), { animate: false });
  }

  showWorld() {
    this.map.invalidateSize({ animate: false });
    this.map.fitBounds(FIRST_VIEW, { animate: false });
  }

  setCross(place) {
    this.cross.clearLayers();
    if (place) pin("you", place).forEach((each) => this.cross.addLayer(each));
  }

  // The ways from each truth to what was said, with their ends; all of it comes into view.
  showAnswers(results) {
    this.answers.clearLayers();
    const bounds = L.latLngBounds([]);
    for (const { photo, guess } of results) {
      for (const [name, place] of [["model", photo.answer], ["you", guess]]) {
        const path = greatCirclePath(photo.truth, place);
        path.forEach((each) => bounds.extend(each));
        this.add(...TURNS.map((turn) => L.polyline(path.map(turned(turn)), { className: `way ${name}`, interactive: false, smoothFactor: 0 })));
        this.add(...pin(name, path.at(-1)));
      }
      this.add(...pin("truth", photo.truth));
    }
    this.map.invalidateSize({ animate: false }); // what is said beside the map has changed its size
    this.map.fitBounds(bounds, { padding: [44, 44], maxZoom: CLOSEST_ANSWER_ZOOM });
  }

  add(...layers) {
    layers.forEach((layer) => this.answers.addLayer(layer));
  }

  clear() {
    this.answers.clearLayers();
    this.setCross(null);
  }

  // Where the cross-hair would be after a step of so many pixels; the map follows it.
  stepped(place, step) {
    const moved = this.map.containerPointToLatLng(this.map.latLngToContainerPoint(this.shown(place)).add(step));
    moved.lat = Math.max(-LARGEST_LATITUDE, Math.min(LARGEST_LATITUDE, moved.lat));
    this.map.panInside(moved, { padding: [MARGIN_PIXELS, MARGIN_PIXELS], animate: false });
    return placeOn(moved);
  }

  // The copy of a place that is nearest to the middle of the map.
  shown([latitude, longitude]) {
    const middle = this.map.getCenter().lng;
    return L.latLng(latitude, middle + wrapped(longitude - middle));
  }

  centre() {
    return placeOn(this.map.getCenter());
  }
}

const turned = (turn) => ([latitude, longitude]) => [latitude, longitude + 360 * turn];
const placeOn = ({ lat, lng }) => [Math.max(-90, Math.min(90, lat)), wrapped(lng)];

function pin(name, place) {
  const icon = () => L.divIcon({ className: `pin ${name}`, html: symbol(name), iconSize: [28, 28] });
  return TURNS.map((turn) => L.marker(turned(turn)(place), { icon: icon(), interactive: false, keyboard: false, zIndexOffset: name === "truth" ? 1000 : 0 }));
}

// ---- the game -------------------------------------------------------------------------------------------------------

class Game {
  constructor(data) {
    this.data = data;
    this.world = new WorldMap(data.land);
    this.seen = new Set();
    this.world.map.on("click", (event) => this.setCross(placeOn(event.latlng)));
    element("go").addEventListener("click", (event) => event.detail < 2 && this.goOn()); // not by the second click of two
    element("again").addEventListener("click", () => this.start(this.seed));
    element("picture").addEventListener("error", () => this.pictureIsMissing(true));
    element("picture").addEventListener("load", () => this.pictureIsMissing(false));
    addEventListener("keydown", (event) => this.onKey(event));
    addEventListener("hashchange", () => location.hash.slice(1) !== this.seed && this.startFromAddress());
    this.startFromAddress();
  }

  startFromAddress() {
    const seed = location.hash.slice(1);
    this.start(seed || freshSeed(this.data.rounds, this.data.photos.length, this.seen));
  }

  start(seed) {
    this.seed = seed;
    if (location.hash.slice(1) !== seed) history[this.photos ? "pushState" : "replaceState"](null, "", `#${seed}`);
    const numbers = drawn(seed, this.data.rounds, this.data.photos.length);
    numbers.forEach((number) => this.seen.add(number));
    this.photos = numbers.map((number) => this.data.photos[number]);
    this.results = [];
    this.ask();
  }

  ask() {
    this.enter("guessing");
    this.cross = null;
    const number = this.results.length + 1;
    element("picture").src = this.photo.file;
    element("picture").alt = `The photo of round ${number}; where it was taken is for you to find out`;
    this.say("Guess", tag("h2", {}, `Round ${number} of ${this.data.rounds}`), tag("p", { className: "hint" }, "Click or tap the map", tag("span", { className: "of-keys" }, ", or move the cross-hair with the arrow keys"), ". Then guess."));
    element("go").disabled = true;
    element("place").textContent = "";
    this.world.clear();
    this.world.showWorld();
  }

  get photo() {
    return this.photos[this.results.length];
  }

  setCross(place) {
    if (this.phase !== "guessing") return;
    this.cross = place;
    this.world.setCross(place);
    element("go").disabled = false;
    element("place").textContent = `Cross-hair at ${coordinate(...place, 1)}`;
  }

  goOn() {
    if (this.phase === "guessing" && this.cross) this.answer();
    else if (this.phase === "answered" && this.results.length < this.data.rounds) this.ask();
    else if (this.phase === "answered") this.end();
    else if (this.phase === "ended") this.start(freshSeed(this.data.rounds, this.data.photos.length, this.seen));
  }

  answer() {
    const photo = this.photo, guess = this.cross;
    const km = { you: greatCircleKm(guess, photo.truth), model: greatCircleKm(photo.answer, photo.truth) };
    const points = { you: pointsFor(km.you, this.data), model: pointsFor(km.model, this.data) };
    this.results.push({ photo, guess, km, points });
    this.enter("answered");
    this.say(
      this.results.length < this.data.rounds ? "Next photo" : "See the result",
      tag("h2", {}, verdict(points.you, points.model)),
      answerTable(km, points),
      tag("p", { className: "facts" }, symbol("truth"), ` Taken at ${coordinate(...photo.truth, 2)}`, tag("br"), `${photo.benchmark}, photo ${photo.id}${photo.author && ` by ${photo.author}`}; the model’s confidence in its cell: ${Math.round(100 * photo.probability)} %`),
    );
    this.world.setCross(null);
    this.world.showAnswers(this.results.slice(-1));
    if (this.results.length < this.data.rounds) new Image().src = this.photo.file; // it is there when it is asked for
  }

  end() {
    this.enter("ended");
    const [mine, models] = ["you", "model"].map((who) => this.total(who));
    const most = whole(this.data.rounds * this.data.most_points);
    const head = mine === models ? "A draw" : mine > models ? "You won" : "The model won";
    this.say("New game", tag("h2", {}, `${head}: ${whole(mine)} to ${whole(models)} of ${most} points`), resultTable(this.results, mine, models));
    this.world.showAnswers(this.results);
  }

  total(who) {
    return sum(this.results.map(({ points }) => points[who]));
  }

  enter(phase) {
    this.phase = phase;
    document.body.className = phase;
    element("round").textContent = `${Math.min(this.results.length + (phase === "guessing"), this.data.rounds)}/${this.data.rounds}`;
    element("your-score").textContent = whole(this.total("you"));
    element("model-score").textContent = whole(this.total("model"));
    element("again").hidden = phase !== "ended";
  }

  say(next, ...children) {
    element("go").textContent = next;
    element("said").replaceChildren(...children);
    element("panel").scrollTop = 0;
  }

  pictureIsMissing(yes) {
    element("picture").hidden = yes;
    element("missing").hidden = !yes;
    element("missing").textContent = yes ? `The picture ${this.photo?.file} does not lie beside this page: copy the whole folder.` : "";
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || element("about").open) return;
    if (event.key === "Enter" && !event.target.closest("button, a")) {
      if (!event.repeat) this.goOn();
    } else if (ZOOMS[event.key]) this.zoom(ZOOMS[event.key]);
    else if (ARROWS[event.key] && this.phase !== "ended") this.move(L.point(ARROWS[event.key]).multiplyBy(event.shiftKey ? STEP_PIXELS_SHIFT : STEP_PIXELS));
    else return;
    event.preventDefault();
  }

  zoom(by) {
    const { map } = this.world, to = map.getZoom() + by;
    if (this.cross && this.phase === "guessing") map.setZoomAround(this.world.shown(this.cross), to, { animate: false });
    else map.setZoom(to, { animate: false });
  }

  // While there is something to guess an arrow key moves the cross-hair, then the map.
  move(step) {
    if (this.phase === "guessing") this.setCross(this.world.stepped(this.cross ?? this.world.centre(), step));
    else this.world.map.panBy(step.multiplyBy(4), { animate: false });
  }
}

function answerTable(km, points) {
  const row = (who, name) => tag("tr", { className: points[who] === Math.max(points.you, points.model) ? "won" : "" },
    tag("td", {}, symbol(who), name), tag("td", { id: `${who}-km` }, kilometres(km[who])), tag("td", { id: `${who}-points` }, whole(points[who])));
  return tag("table", {}, tag("thead", {}, headings("", "from the truth", "points")), tag("tbody", {}, row("you", "You"), row("model", "Model")));
}

const headings = (...texts) => tag("tr", {}, ...texts.map((text) => tag("th", { scope: "col" }, text)));

function resultTable(results, mine, models) {
  const cell = (result, who, other) => tag("td", { className: result.points[who] > result.points[other] ? "won" : "" }, whole(result.points[who]), tag("br"), tag("small", {}, kilometres(result.km[who])));
  const rows = results.map((result, k) => tag("tr", {},
    tag("td", {}, tag("img", { src: result.photo.file, alt: `Photo ${k + 1}` })), tag("td", {}, coordinate(...result.photo.truth, 1)), cell(result, "you", "model"), cell(result, "model", "you")));
  const foot = tag("tr", {}, tag("td", {}, "Sum"), tag("td"), tag("td", {}, whole(mine)), tag("td", {}, whole(models)));
  return tag("table", { className: "rounds" }, tag("thead", {}, headings("Photo", "Taken at", "You", "Model")), tag("tbody", {}, ...rows), tag("tfoot", {}, foot));
}

const game = new Game(JSON.parse(element("data").textContent));
element("about-open").addEventListener("click", () => element("about").showModal());
element("about-close").addEventListener("click", () => element("about").close());
