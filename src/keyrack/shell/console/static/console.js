// What pages do beside showing themselves. Without it all of them can be read, and every form be sent.
"use strict";

const language = document.documentElement.lang;
const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

// Times: in the reader's own zone.
const moments = new Intl.DateTimeFormat(language, {dateStyle: "medium", timeStyle: "medium"});
function localise(root) {
  each("time[data-local]", (time) => {
    time.textContent = moments.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }, root);
}

// A certificate that is dropped or picked is read here, into the field where it could be pasted; DER becomes PEM's letters.
const MOST = 100000;
const isDer = (bytes) => bytes[0] === 0x30 && bytes.subarray(0, 64).some((each) => each > 126 || each < 9);
const asLetters = (bytes) => btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join("")).replace(/.{64}/g, "$&\n");
async function readInto(zone, file) {
  if (!file) return;
  const target = document.getElementById(zone.dataset.dropInto);
  const tooLong = file.size > MOST;
  each("[data-too-long]", (told) => { told.hidden = !tooLong; }, zone);
  if (tooLong) return;
  const bytes = new Uint8Array(await file.arrayBuffer());
  target.value = isDer(bytes) ? asLetters(bytes) : new TextDecoder(bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : "utf-8").decode(bytes);
  target.dispatchEvent(new Event("input", {bubbles: true}));
}
const zoneOf = (event) => event.target.closest && event.target.closest("[data-drop-into]");
document.addEventListener("dragover", (event) => {
  const zone = zoneOf(event);
  if (zone) { event.preventDefault(); zone.classList.add("over"); }
});
document.addEventListener("dragleave", (event) => { const zone = zoneOf(event); if (zone) zone.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  const zone = zoneOf(event);
  if (!zone) return;
  event.preventDefault();
  zone.classList.remove("over");
  readInto(zone, event.dataTransfer.files[0]);
});
document.addEventListener("change", (event) => {
  const zone = zoneOf(event);
  if (zone && event.target.type === "file") readInto(zone, event.target.files[0]);
});

// What is too long for its field is told before it is sent: it stays there.
document.addEventListener("input", (event) => {
  const most = Number(event.target.dataset.most);
  if (most) event.target.setCustomValidity(event.target.value.length > most ? event.target.dataset.tooLong : "");
});

// Buttons that copy the text of what they name; one listener, since parts of a page come and go.
document.addEventListener("click", async (event) => {
  const button = event.target.closest && event.target.closest("[data-copy]");
  if (!button || button.dataset.said) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
  button.dataset.said = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = button.dataset.said; delete button.dataset.said; }, 2000);
});

// What only works with this file is shown by it.
function uncover(root) { each("[data-drop-into], [data-copy]", (part) => { part.hidden = false; }, root); }

// A form is sent once.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  if (event.target.method === "post") event.target.dataset.sent = "yes";
  // Its answer is a file, and the page stays: what to do next is told beside the form.
  const then = document.getElementById(event.target.dataset.then);
  if (then) then.hidden = false;
});
window.addEventListener("pageshow", () => each("form[data-sent]", (form) => delete form.dataset.sent));

// Choices that take effect at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
});

// What only stands in for scripts.
function spare(root) { each("[data-without-script]", (part) => { part.hidden = true; }, root); }

function dress(root) { localise(root); uncover(root); spare(root); }
dress(document);
document.addEventListener("htmx:after:swap", () => dress(document));
