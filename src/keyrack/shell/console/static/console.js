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

// A certificate that is dropped or picked is read here, into the field where it could be pasted.
function readInto(target, file) {
  if (!file || file.size > 200000) return;
  file.text().then((text) => {
    target.value = text;
    target.dispatchEvent(new Event("input", {bubbles: true}));
  });
}
function drops(root) {
  each("[data-drop-into]", (zone) => {
    const target = document.getElementById(zone.dataset.dropInto);
    zone.hidden = false;
    zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      readInto(target, event.dataTransfer.files[0]);
    });
    each("input[type=file]", (input) => input.addEventListener("change", () => readInto(target, input.files[0])), zone);
  }, root);
}

// Buttons that copy the text of what they name.
function copies(root) {
  each("[data-copy]", (button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
      const said = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = said; }, 2000);
    });
  }, root);
}

// A form is sent once.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  if (event.target.method === "post") event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => each("form[data-sent]", (form) => delete form.dataset.sent));

// Choices that take effect at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
});

function dress(root) { localise(root); drops(root); copies(root); }
dress(document);
document.addEventListener("htmx:after:swap", () => dress(document));
