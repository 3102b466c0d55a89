//! The dashboard of a cluster: `meshctl dashboard` leads to it, a ticket signs in once, and a token of the cluster signs in who has the
//! right, and nobody else. What it tells is what `meshctl` tells.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{screen, wait};

use super::world::{SHOP, World, text};

/// For an answer, and for a right to be in force.
const PATIENCE: Duration = Duration::from_secs(30);
const RIGHT: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-dashboard}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: amime-dashboard-viewer}
subjects: [{kind: ServiceAccount, name: load, namespace: e2e-shop}]
";

/// Signs in both ways.
pub(super) fn dashboard(world: &mut World) -> Result<()> {
    let mut way = world.start_meshctl(&["dashboard", "--no-open", "-o", "json"])?;
    let mut line = String::new();
    BufReader::new(way.stdout()?).read_line(&mut line).context("read what meshctl dashboard prints")?;
    let told: Value = serde_json::from_str(&line).with_context(|| format!("no JSON: `{line}`"))?;
    let address = text(&told, "/address").to_owned();
    let ticket = text(&told, "/url").split_once("ticket=").context("a ticket")?.1;
    let page = ask(&address, "GET", "/", &[], "")?;
    ensure!(page.status == 200 && page.head.contains("content-security-policy"), "the page: {}", page.head);
    ensure!(ask(&address, "GET", "/api/sync", &[], "")?.status == 401, "nobody is signed in");

    let by_ticket = sign_in(&address, &json!({ "ticket": ticket }))?;
    ensure!(by_ticket.status == 200, "the ticket: {}", by_ticket.body);
    ensure!(sign_in(&address, &json!({ "ticket": ticket }))?.status == 403, "a ticket is good once");
    tells(world, &address, &by_ticket)?;

    let token = ["create", "token", "load", "-n", SHOP, "--audience", "amime-dashboard"];
    let token = world.kubectl.run(&token)?.trim().to_owned();
    let refused = sign_in(&address, &json!({ "token": token }))?;
    ensure!(refused.status == 403 && refused.body.contains("amime-dashboard-viewer"), "{}", refused.body);
    world.kubectl.apply(RIGHT)?;
    let outcome = wait::until(PATIENCE, "who has the right signs in", || {
        let signed = sign_in(&address, &json!({ "token": token }))?;
        ensure!(signed.status == 200 && signed.body.contains("e2e-shop:load"), "{}", signed.body);
        tells(world, &address, &signed)
    });
    world.kubectl.delete(RIGHT)?;
    outcome
}

/// The same services as `meshctl stat svc`.
fn tells(world: &World, address: &str, signed: &Reply) -> Result<()> {
    let body: Value = serde_json::from_str(&signed.body).context("the session")?;
    let key = text(&body, "/key").to_owned();
    let cookie =
        signed.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).context("a cookie")?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let path = format!("/api/stat?kind=svc&window=60&namespace={SHOP}");
    let reply = ask(address, "GET", &path, &[("cookie", &cookie), ("x-amime-key", &key)], "")?;
    ensure!(reply.status == 200, "{path}: {}", reply.body);
    let names = |answer: &Value| -> Vec<String> {
        let rows = answer.get("rows").and_then(Value::as_array).into_iter().flatten();
        rows.map(|row| text(row, "/name").to_owned()).collect()
    };
    let page = names(&serde_json::from_str(&reply.body).context("the page's answer")?);
    let command = names(&world.meshctl_json(&["stat", "svc", "-n", SHOP])?);
    ensure!(page == command && !page.is_empty(), "the page tells {page:?}, meshctl {command:?}");
    screen::detail(&format!("{} signs in, and sees {page:?}", text(&body, "/viewer")));
    Ok(())
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

fn sign_in(address: &str, body: &Value) -> Result<Reply> {
    let origin = format!("http://{address}");
    let headers = [("origin", origin.as_str()), ("content-type", "application/json")];
    ask(address, "POST", "/api/session", &headers, &body.to_string())
}

fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Reply> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE)).context("bound the wait")?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend([format!("content-length: {}\r\n\r\n{body}", body.len())]);
    stream.write_all(request.as_bytes()).context("ask")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("read the answer")?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: `{answer}`"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
    Ok(Reply { status, head: lower(head), body: body.to_owned() })
}

/// Names of fields in lower case; values as they are.
fn lower(head: &str) -> String {
    let line = |line: &str| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}\n", name.to_ascii_lowercase()),
        None => format!("{line}\n"),
    };
    head.lines().map(line).collect()
}
