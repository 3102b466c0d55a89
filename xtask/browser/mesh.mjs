// A mesh of its own for the test: the demo's shop with its visitor, in a folder that goes with it.

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";

const DEADLINE_MS = 60_000;

/** Starts the demo and waits until its shop is open. */
export async function start(meshctl) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "amime-browser-"));
  const name = "browser";
  const env = { ...process.env, HOME: home, MESH_HOME: path.join(home, "mesh"), NO_COLOR: "1" };
  delete env.XDG_STATE_HOME;
  const child = spawn(meshctl, ["--mesh", name, "demo"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { printed += data; });
  let ended = null;
  child.on("exit", (code) => { ended = code ?? -1; });
  const state = () => JSON.parse(fs.readFileSync(path.join(env.MESH_HOME, name, "mesh.json"), "utf8"));
  const stop = async () => {
    if (ended === null) {
      child.kill("SIGINT");
      await until(() => ended !== null, 15_000).catch(() => child.kill("SIGKILL"));
    }
    fs.rmSync(home, { recursive: true, force: true });
  };
  try {
    await until(() => printed.includes("The shop is open") || ended !== null, DEADLINE_MS);
    if (ended !== null) throw new Error(`the demo ended with ${ended}`);
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${printed}`);
  }
  return {
    stop,
    state,
    /** The URL that signs in. */
    url: () => JSON.parse(execFileSync(meshctl, ["--mesh", name, "dashboard", "-o", "json"], { env, encoding: "utf8", timeout: 20_000 })).url,
    /** A request as the visitor sends them. */
    visit: (target, headers) => visit(state(), target, headers),
    /** Stops the controller as a machine without time would, and lets it go on. */
    controller: (signal) => process.kill(state().children.find((one) => one.name === "mesh-controller").pid, signal),
    /** Puts an object into the folder of the mesh. */
    apply: (file, text) => fs.writeFileSync(path.join(state().objects, file), text),
  };
}

function visit(state, target, headers) {
  const { outbound_proxy } = state.members.find((one) => one.name === "visitor");
  const at = outbound_proxy.lastIndexOf(":");
  return new Promise((done, failed) => {
    const options = { host: outbound_proxy.slice(0, at), port: outbound_proxy.slice(at + 1), path: `http://web.shop${target}`, headers: { host: "web.shop", ...headers } };
    http.get(options, (response) => { response.resume(); response.on("end", () => done(response.statusCode)); }).on("error", failed);
  });
}

/** Waits for a state; says which one did not come. */
export async function until(condition, ms, what = condition.toString()) {
  const end = Date.now() + ms;
  for (;;) {
    if (await condition()) return;
    if (Date.now() > end) throw new Error(`after ${ms / 1000} s still not: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
