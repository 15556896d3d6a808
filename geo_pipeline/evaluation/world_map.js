// What the pages with a map of the world share: outlines as packed numbers, and a canvas under Leaflet that draws them.
// Not here: what a page shows (cells.js, game.js). The one idea: every point is projected once, to a world one unit wide;
// drawing scales and shifts plain arrays.
"use strict";

const LEAST_STEP = 0.75; // pixels between points of an outline
const LARGEST_LATITUDE = 85.0511287798; // where the world of the Mercator projection ends

const element = (id) => document.getElementById(id);
const whole = (number) => number.toLocaleString("en");
const degrees = (value, digits, positive, negative) => `${Math.abs(value).toFixed(digits)}° ${value < 0 ? negative : positive}`;
const coordinate = (latitude, longitude, digits) => `${degrees(latitude, digits, "N", "S")}, ${degrees(longitude, digits, "E", "W")}`;

function unpacked(text, Kind) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let k = 0; k < characters.length; k++) bytes[k] = characters.charCodeAt(k);
  return new Kind(bytes.buffer);
}

const mercatorX = (longitude) => (longitude + 180) / 360;

function mercatorY(latitude) {
  const radians = (Math.max(-LARGEST_LATITUDE, Math.min(LARGEST_LATITUDE, latitude)) * Math.PI) / 180;
  return 0.5 - Math.log(Math.tan(Math.PI / 4 + radians / 2)) / (2 * Math.PI);
}

// Rings in a world one unit wide: points, the first point of each ring, and the box around each.
function projected({ units_per_degree, bits, points, sizes }) {
  const units = unpacked(points, bits === 16 ? Int16Array : Int32Array);
  const lengths = unpacked(sizes, Uint16Array);
  const count = lengths.length;
  const x = new Float64Array(units.length / 2);
  const y = new Float64Array(units.length / 2);
  const starts = new Uint32Array(count + 1);
  const box = { west: new Float64Array(count), east: new Float64Array(count), north: new Float64Array(count), south: new Float64Array(count) };
  for (let ring = 0; ring < count; ring++) {
    const end = (starts[ring + 1] = starts[ring] + lengths[ring]);
    let west = 2, east = -1, north = 2, south = -1;
    for (let k = starts[ring]; k < end; k++) {
      const px = (x[k] = mercatorX(units[2 * k] / units_per_degree));
      const py = (y[k] = mercatorY(units[2 * k + 1] / units_per_degree));
      if (px < west) west = px;
      if (px > east) east = px;
      if (py < north) north = py;
      if (py > south) south = py;
    }
    box.west[ring] = west; box.east[ring] = east; box.north[ring] = north; box.south[ring] = south;
  }
  return { count, x, y, starts, box };
}

const placeOf = (px, py) => L.CRS.EPSG3857.pointToLatLng(L.point(px * 256, py * 256), 0);

// A canvas under the lines and markers of a map; what is on it is painted by `paint(pen, zoom)` of whoever extends this.
const CanvasLayer = L.Renderer.extend({
  options: { pane: "canvas", padding: 0.25 },

  onAdd(map) {
    if (!map.getPane("canvas")) map.createPane("canvas");
    L.Renderer.prototype.onAdd.call(this, map);
  },

  repaint() {
    if (this._map) this._update();
  },

  getEvents() {
    return { ...L.Renderer.prototype.getEvents.call(this), move: this._onMove };
  },

  _initContainer() {
    this._container = document.createElement("canvas");
    this._context = this._container.getContext("2d");
  },

  _destroyContainer() {
    this._container.remove();
  },

  // While the map is dragged the canvas moves along; it is drawn anew only where its edge would come into view.
  _onMove() {
    const min = this._map.containerPointToLayerPoint([0, 0]);
    if (!this._bounds.contains(L.bounds(min, min.add(this._map.getSize())))) this._update();
  },

  _update() {
    if (this._map._animatingZoom && this._bounds) return;
    L.Renderer.prototype._update.call(this);
    const size = this._bounds.getSize(), corner = this._bounds.min, ratio = Math.min(devicePixelRatio || 1, 2);
    const canvas = this._container, context = this._context;
    L.DomUtil.setPosition(canvas, corner);
    canvas.width = Math.round(size.x * ratio);
    canvas.height = Math.round(size.y * ratio);
    canvas.style.width = `${size.x}px`;
    canvas.style.height = `${size.y}px`;
    const shift = this._map.getPixelOrigin().add(corner);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scale = this._map.options.crs.scale(this._zoom);
    this.paint(new Pen(context, scale, shift, size), this._zoom);
  },
});

// Draws rings of the world on a canvas of so many pixels.
class Pen {
  constructor(context, scale, shift, size) {
    Object.assign(this, { context, scale, left: shift.x, top: shift.y, width: size.x, height: size.y });
  }

  pixels({ box }, ring) {
    return Math.max(box.east[ring] - box.west[ring], box.south[ring] - box.north[ring]) * this.scale;
  }

  sees({ box }, ring) {
    return (
      box.east[ring] * this.scale > this.left - 8 && box.west[ring] * this.scale < this.left + this.width + 8 &&
      box.south[ring] * this.scale > this.top - 8 && box.north[ring] * this.scale < this.top + this.height + 8
    );
  }

  // A point that would fall on the pixel of the one before is left out: most points of a coast, on a map of the world.
  trace({ x, y, starts }, ring) {
    const { context, scale, left, top } = this, end = starts[ring + 1];
    let px = x[starts[ring]] * scale - left, py = y[starts[ring]] * scale - top;
    context.moveTo(px, py);
    for (let k = starts[ring] + 1; k < end; k++) {
      const nextX = x[k] * scale - left, nextY = y[k] * scale - top;
      if (Math.abs(nextX - px) + Math.abs(nextY - py) < LEAST_STEP) continue;
      context.lineTo((px = nextX), (py = nextY));
    }
    context.closePath();
  }

  square({ box }, ring, side) {
    const middle = [(box.west[ring] + box.east[ring]) / 2, (box.north[ring] + box.south[ring]) / 2];
    this.context.rect(middle[0] * this.scale - this.left - side / 2, middle[1] * this.scale - this.top - side / 2, side, side);
  }

  dot(px, py, radius) {
    this.context.moveTo(px * this.scale - this.left + radius, py * this.scale - this.top);
    this.context.arc(px * this.scale - this.left, py * this.scale - this.top, radius, 0, 2 * Math.PI);
  }
}

function landPath(pen, land) {
  const path = new Path2D(), onPath = Object.assign(Object.create(pen), { context: path });
  for (let ring = 0; ring < land.count; ring++) {
    if (pen.sees(land, ring) && pen.pixels(land, ring) > 1) onPath.trace(land, ring);
  }
  return path;
}
