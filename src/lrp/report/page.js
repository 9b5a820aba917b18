const MISSING = -32768;
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const palette = bytes(document.body.dataset.palette);
const middle = (palette.length / 3 - 1) / 2;
const picked = { sample: "0", target: "0", layer: "" };

/* Pickers: what does not belong to the sample, target and layer that were picked is hidden. */

function show() {
  for (const kind of Object.keys(picked)) {
    for (const part of all(`[data-${kind}]`)) part.hidden = part.dataset[kind] !== picked[kind];
  }
  for (const stage of all(".stage")) if (stage.offsetParent) draw(stage);
  document.querySelector(".opacity").hidden = !all(".stage").some((stage) => stage.offsetParent);
}

for (const select of all("[data-pick]")) {
  select.addEventListener("change", () => {
    picked[select.dataset.pick] = select.value;
    show();
  });
}

const slider = document.querySelector(".opacity input");
slider.addEventListener("input", () => {
  document.documentElement.style.setProperty("--opacity", slider.value / 100);
  document.querySelector(".opacity output").textContent = `${slider.value} %`;
});

/* Maps: drawn from the very numbers that are read off them. */

function numbers(data, step) {
  return { integers: new Int16Array(bytes(data).buffer), step: Number(step) };
}

function paint(stage) {
  const canvas = stage.querySelector("canvas");
  const { step, scale } = canvas.dataset;
  const image = new ImageData(canvas.width, canvas.height);
  const cells = canvas.width * canvas.height;
  stage.grid.integers.subarray(stage.slice * cells, (stage.slice + 1) * cells).forEach((integer, at) => {
    const share = Math.max(-1, Math.min(1, (integer * step) / scale || 0));
    const shade = 3 * (middle + Math.round(share * middle));
    const grey = (at + Math.floor(at / canvas.width)) % 2 ? 70 : 130;
    const color = integer === MISSING ? [grey, grey, grey] : palette.subarray(shade, shade + 3);
    image.data.set([...color, 255], 4 * at);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function draw(stage) {
  if (stage.grid) return;
  const { grid, step, inputs, inputsStep, slices } = stage.querySelector("canvas").dataset;
  stage.grid = numbers(grid, step);
  stage.inputs = inputs ? numbers(inputs, inputsStep) : null;
  stage.slice = Math.floor(slices / 2);
  paint(stage);
  stage.parentElement.querySelector(".readout output").textContent = "Point at the map, or use the arrow keys on it.";
  const picture = document.getElementById(stage.dataset.picture);
  if (picture) {
    const under = picture.cloneNode();
    under.removeAttribute("id");
    under.alt = "";
    stage.prepend(under);
    if (stage.closest(".stretched")) picture.closest("figure").hidden = true; // the trace stands in the map itself
  }
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  stage.append(cursor);
}

function signed(number) {
  return (number > 0 ? "+" : "") + Number(number.toPrecision(4));
}

function place(word, at, block) {
  return block > 1 ? `${word}s ${at * block}–${at * block + block - 1}` : `${word} ${at}`;
}

function read(stage, row, column) {
  const canvas = stage.querySelector("canvas");
  row = Math.max(0, Math.min(canvas.height - 1, row));
  column = Math.max(0, Math.min(canvas.width - 1, column));
  stage.at = [row, column];
  const cursor = stage.querySelector(".cursor");
  cursor.hidden = false;
  cursor.style.left = `${(100 * column) / canvas.width}%`;
  cursor.style.top = `${(100 * row) / canvas.height}%`;
  cursor.style.width = `${100 / canvas.width}%`;
  cursor.style.height = `${100 / canvas.height}%`;
  const at = (stage.slice * canvas.height + row) * canvas.width + column;
  const integer = stage.grid.integers[at];
  const blocks = stage.dataset.blocks.split(" ").map(Number);
  const words = [place(stage.dataset.row, row, blocks[1]), place(stage.dataset.column, column, blocks[2])];
  if (canvas.dataset.slices > 1) words.unshift(place("slice", stage.slice, blocks[0]));
  words.push(`relevance ${integer === MISSING ? "not finite" : signed(integer * stage.grid.step)}`);
  if (stage.inputs) words.push(`value ${Number((stage.inputs.integers[at] * stage.inputs.step).toPrecision(4))}`);
  stage.parentElement.querySelector(".readout output").textContent = words.join(", ");
}

for (const slice of all("[data-slice]")) {
  slice.addEventListener("input", () => {
    const stage = slice.closest("figure").querySelector(".stage");
    stage.slice = Number(slice.value);
    paint(stage);
    read(stage, ...(stage.at || [0, 0]));
  });
}

for (const stage of all(".stage")) {
  stage.addEventListener("pointermove", (event) => {
    const canvas = stage.querySelector("canvas");
    const box = canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
    read(stage, row, Math.floor(((event.clientX - box.left) / box.width) * canvas.width));
  });
  stage.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    const [row, column] = stage.at || [0, 0];
    read(stage, row + far * move[0], column + far * move[1]);
  });
  stage.addEventListener("focus", () => {
    if (!stage.at && stage.grid && stage.matches(":focus-visible")) read(stage, 0, 0);
  });
}

/* The plan can be searched. */

const search = document.querySelector("[data-search]");
search.addEventListener("input", () => {
  const rows = [...document.querySelector(".plan table").tBodies[0].rows];
  const wanted = search.value.toLowerCase();
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  const found = rows.filter((row) => !row.hidden).length;
  document.querySelector("[data-found]").textContent = wanted ? `${found} of ${rows.length} rows` : "";
});

search.hidden = false;
document.querySelector(".toolbar").hidden = false;
document.querySelector(".toolbar").addEventListener("submit", (event) => event.preventDefault());
show();
