// Signing in: with the ticket in the address that `meshctl dashboard` printed, or with a token of the cluster.

import { forget, signIn } from "../api.js";
import { el, render } from "../dom.js";

export const title = "Sign in";

/** `tools.entered()` goes on to where one wanted to be. */
export function start(root, route, tools) {
  const state = { busy: false, error: route.query.why ?? "" };
  const enter = async (proof) => {
    state.busy = true;
    state.error = "";
    draw();
    try {
      await signIn(proof);
      forget();
      tools.entered();
    } catch (error) {
      state.busy = false;
      state.error = error.message;
      draw();
    }
  };
  const submit = (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    if (token) enter({ token });
  };
  const draw = () => render(root, el("section", { class: "signin" },
    el("h1", { tabindex: "-1" }, "Sign in"),
    state.error ? el("p", { class: "notice bad", role: "alert" }, state.error) : null,
    state.busy ? el("p", { class: "notice", role: "status" }, "Signing in…") : null,
    el("h2", {}, "From your terminal"),
    el("p", {}, "This opens the dashboard in your browser, signed in:"),
    el("pre", {}, el("code", {}, "meshctl dashboard")),
    el("h2", {}, "With a token of the cluster"),
    el("p", {}, "Its account needs the ClusterRole ", el("code", {}, "amime-dashboard-viewer"), "."),
    el("pre", {}, el("code", {}, "kubectl create token NAME --audience amime-dashboard")),
    el("form", { on: { submit } },
      el("label", { for: "token" }, "Token"),
      el("input", { id: "token", name: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true }),
      el("button", { type: "submit", disabled: state.busy }, "Sign in")),
    el("p", { class: "faint" }, "Whoever is signed in may look at everything here, and change nothing.")));
  draw();
  if (route.query.ticket) {
    const ticket = route.query.ticket;
    // It is good once: it need not stay in the history.
    history.replaceState(null, "", "#/signin");
    enter({ ticket });
  }
  return () => {};
}
