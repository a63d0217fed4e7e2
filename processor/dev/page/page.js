// Puts the page together.

import "/sandbox/app.js";
import { look as lookAtFaults } from "/sandbox/faults.js";
import "/sandbox/feed.js";
import { begin } from "/sandbox/live.js";
import { look as lookAtPhone } from "/sandbox/phone.js";

const health = document.getElementById("health");

begin(["published", "push", "settled", "phone", "faults"], (connected) => {
  health.textContent = connected ? "Connected" : "Not connected: is “make run” up?";
  health.dataset.kind = connected ? "good" : "bad";
  if (connected) Promise.all([lookAtPhone(), lookAtFaults()]);
});
