//! What `meshctl demo` says once the shop is open. Pure.

use std::path::Path;
use std::time::Duration;

use crate::local::control_plane::ControlPlane;
use crate::local::paths;
use crate::local::state::MeshState;
use crate::output::{Paint, Tone};
use crate::shop::install;

/// Where everything is and what to try.
pub(crate) fn summary(plane: &ControlPlane, first_request: Duration, paint: Paint) -> String {
    let logs = plane.paths().logs();
    let mesh = plane.state();
    let mut us = paths::how_to_call_us();
    if mesh.name != DEFAULT_MESH {
        us = format!("{us} --mesh {}", mesh.name);
    }
    render(&mesh, &us, (&install::route_file(plane), &logs), first_request, paint)
}

/// The mesh that is meant when none is named.
const DEFAULT_MESH: &str = "default";

// The first line is indented, so it cannot follow a line continuation, which would eat the spaces.
const PICTURE: &str = "  visitor ─► web ─┬─► catalog
                  ├─► reviews ─┬─► reviews-v1  90 %
                  │            └─► reviews-v2  10 %
                  ├─► cart (gRPC) ─► stock
                  └─► recommend, which fails for 5 % of requests; web goes on without it";

fn render(
    mesh: &MeshState,
    us: &str,
    (route, logs): (&Path, &Path),
    first_request: Duration,
    paint: Paint,
) -> String {
    let strong = |text: &str| paint.tone(Tone::Strong, text);
    let opened = format!("The shop is open; the first page came after {:.1} s.", first_request.as_secs_f64());
    let visitor = mesh.members.iter().find(|member| member.name == crate::shop::VISITOR);
    let proxy = visitor.map(|visitor| visitor.outbound_proxy.to_string()).unwrap_or_default();
    let look = commands(&[
        (format!("{us} top"), "who calls whom, live"),
        (format!("{us} trace"), "requests as trees, with the time of every hop"),
        (format!("{us} trace --failed"), "only those in which something failed"),
        (format!("{us} certs"), "identities and when they expire"),
        (format!("{us} sync"), "whether every sidecar is up to date"),
    ]);
    let visit = commands(&[
        (format!("curl -x http://{proxy} http://web/"), "be a visitor yourself"),
        (format!("{us} run --name me -- curl -s http://web.shop/"), "visit as a member of your own"),
    ]);
    format!(
        "{opened}\nEvery arrow goes through two sidecars and is encrypted with mutual TLS.\n\n{PICTURE}\n\n\
         {look_title}\n{look}\n{try_title}\n{visit}  \
         or change the weights in this file and watch `top`; they are in force within a second:\n    {route}\n\n\
         logs: {logs}\n",
        opened = paint.tone(Tone::Good, &opened),
        look_title = strong("Look, in another terminal"),
        try_title = strong("Try"),
        route = route.display(),
        logs = logs.display(),
    )
}

/// A line each: the command and what it does.
fn commands(entries: &[(String, &str)]) -> String {
    let width = entries.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    entries
        .iter()
        .fold(String::new(), |text, (command, what)| text + &format!("  {command:<width$}   {what}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::control_plane::tests::state;
    use crate::local::paths::MeshPaths;
    use crate::local::subnet::Subnet;

    #[test]
    fn the_summary_says_where_to_look_and_what_to_try() {
        let paths = MeshPaths::at("/m/test".into());
        let mut mesh = state(&paths);
        mesh.members = install::members(Subnet::of(mesh.subnet))
            .iter()
            .map(crate::local::member::Member::state)
            .collect();
        let route = paths.objects().join("reviews-route.yaml");
        let text =
            render(&mesh, "meshctl", (&route, &paths.logs()), Duration::from_millis(1234), Paint::Plain);
        insta::assert_snapshot!(text);
    }
}
