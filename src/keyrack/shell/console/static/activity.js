// Times that are typed are those of the reader's own zone.
"use strict";
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  document.querySelectorAll("[data-zone]").forEach((field) => { field.value = zone; });
  document.querySelectorAll("[data-zone-name]").forEach((place) => { place.textContent = zone; });
}
