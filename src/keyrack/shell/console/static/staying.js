// What has to do with log-ins: their end, what was typed when they end, and links that have a secret behind their "#".
"use strict";
(() => {
  const page = document.documentElement, person = page.dataset.person, back = page.dataset.back;

  // The secret of a one-time link goes from behind the "#", which no server ever sees, into its form, and out of the
  // address at once.
  const link = document.querySelector("form[data-behind-hash]");
  function takeSecret() {
    const secret = location.hash.slice(1);
    if (secret) history.replaceState(null, "", location.pathname + location.search);
    if (secret) link.elements.token.value = secret;
    link.hidden = !link.elements.token.value;
    document.getElementById("lacking").hidden = !link.hidden;
    if (secret && "atOnce" in link.dataset) link.requestSubmit();
  }
  if (link) { takeSecret(); window.addEventListener("hashchange", takeSecret); }

  // A page that was the answer to a form has the address of the page with that form: so it can be loaded again.
  if (page.dataset.trouble && back && back !== location.pathname + location.search) history.replaceState(null, "", back);

  // What is wrong, or asked for, is where the eye and the next key go.
  if (page.dataset.trouble) {
    const wanted = document.querySelector("main [aria-invalid=true]") || document.querySelector("main #proof, main #confirmation");
    if (wanted) wanted.focus();
    else document.querySelector("main .note.bad, main .note.warn")?.scrollIntoView({block: "nearest"});
  }

  // What was typed is kept for the time of a log-in, for the same person on the same page, once. No secret is: neither
  // passwords nor hidden fields, nor what lies in [data-secret], nor a private key that was pasted where none belongs.
  const KEPT = "keyrack-typed", LONGEST = 3600000;
  const unkept = new Set(["hidden", "password", "file", "submit", "button", "image", "reset"]);
  const ticks = (field) => field.type === "checkbox" || field.type === "radio";
  const fieldsOf = (form) => [...form.elements].filter(
    (field) => field.name && !unkept.has(field.type) && !field.readOnly && !field.closest("[data-secret]"));
  const keyOf = (field) => ticks(field) ? `${field.name}=${field.value}` : field.name;
  const valueOf = (field) => ticks(field) ? field.checked
    : field.type === "select-multiple" ? [...field.selectedOptions].map((each) => each.value) : field.value;
  const changed = (field) => ticks(field) ? field.checked !== field.defaultChecked
    : "options" in field ? [...field.options].some((each) => each.selected !== each.defaultSelected)
    : field.value !== field.defaultValue;
  const formsOf = () => [...document.querySelectorAll("main form[method=post]")];
  function keep(forms, through, all) {
    const held = forms.map((form) => [
      form.getAttribute("action"),
      fieldsOf(form).filter((field) => (all || changed(field)) && !/PRIVATE KEY/.test(field.value)).map((field) => [keyOf(field), valueOf(field)]),
    ]).filter(([, fields]) => fields.length);
    if (person && held.length) {
      sessionStorage.setItem(KEPT, JSON.stringify({back, person, at: Date.now(), through, held}));
    }
  }
  function put(field, value) {
    if (ticks(field)) field.checked = value;
    else if (field.type === "select-multiple") [...field.options].forEach((each) => { each.selected = value.includes(each.value); });
    else field.value = value;
    field.dispatchEvent(new Event("input", {bubbles: true}));
    for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  }
  function restore(held) {
    let found = false;
    for (const [action, fields] of held) {
      const form = formsOf().find((each) => each.getAttribute("action") === action);
      if (!form) continue;
      for (const [key, value] of fields) {
        const meant = fieldsOf(form).filter((field) => keyOf(field) === key);
        if (meant.length === 1) { put(meant[0], value); found = true; }
      }
    }
    if (found) document.getElementById("restored").hidden = false;
  }
  const kept = JSON.parse(sessionStorage.getItem(KEPT) || "null");
  if (document.querySelector("[data-log-in]")) {
    if (kept) sessionStorage.setItem(KEPT, JSON.stringify({...kept, through: true}));
  } else if (kept) {
    sessionStorage.removeItem(KEPT);
    const mine = kept.person === person && kept.back === back && Date.now() - kept.at < LONGEST;
    if (mine && kept.through) restore(kept.held);
  }
  document.addEventListener("submit", (event) => {
    if (event.target.closest("main") && event.target.method === "post") keep([event.target], false, true);
    else sessionStorage.removeItem(KEPT);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[data-keep]")) keep(formsOf(), true, true);
  });

  // The strip in the head: where nobody answers it says so; where the log-in has ended the page goes there by itself.
  const answers = (does) => {
    const strip = document.getElementById("strip"), unanswered = document.getElementById("unanswered");
    if (strip) { strip.hidden = !does; unanswered.hidden = does; }
  };
  document.addEventListener("htmx:error", () => answers(false));
  document.addEventListener("htmx:after:swap", () => answers(true));
  document.addEventListener("htmx:response:error", (event) => {
    const status = event.detail.ctx.response.status;
    if (status === 401) keep(formsOf(), true, Boolean(page.dataset.trouble));
    else answers(status < 500);
  });

  // Who types is there; a server hears of it once a minute.
  let told = Date.now();
  document.addEventListener("input", (event) => {
    if (!person || !event.isTrusted || Date.now() - told < 60000) return;
    told = Date.now();
    fetch("/here", {headers: {"HX-Request": "true"}}).catch(() => {});
  });
})();
