//! What `meshctl demo` says once the shop is open. Pure.

use std::fmt::Write;
use std::time::Duration;

use crate::local::control_plane::ControlPlane;
use crate::local::state::MeshState;
use crate::output::{Paint, Tone};
use crate::shop::install;

/// Where everything is and what to try.
pub(crate) fn summary(plane: &ControlPlane, first_request: Duration, paint: Paint) -> String {
    let logs = plane.paths().logs();
    render(&plane.state(), &install::route_file(plane), &logs, first_request, paint)
}

const PICTURE: &str = "\
  visitor ─► web ─┬─► catalog
                  ├─► reviews ─┬─► reviews-v1  90 %
                  │            └─► reviews-v2  10 %
                  ├─► cart (gRPC) ─► stock
                  └─► recommend, which fails for 5 % of requests; web goes on without it";

fn render(
    mesh: &MeshState,
    route: &std::path::Path,
    logs: &std::path::Path,
    first_request: Duration,
    paint: Paint,
) -> String {
    let option = if mesh.name == "default" { String::new() } else { format!(" --mesh {}", mesh.name) };
    let strong = |text: &str| paint.tone(Tone::Strong, text);
    let visitor = mesh.members.iter().find(|member| member.name == crate::shop::VISITOR);
    let proxy = visitor.map(|visitor| visitor.outbound_proxy.to_string()).unwrap_or_default();
    let mut out = String::new();
    let opened = format!("The shop is open; the first page came after {:.1} s.", first_request.as_secs_f64());
    let _infallible = writeln!(
        out,
        "{}\nEvery arrow goes through two sidecars and is encrypted with mutual TLS.\n\n{PICTURE}\n",
        paint.tone(Tone::Good, &opened)
    );
    let _infallible = writeln!(out, "{}", strong("Look, in another terminal"));
    for (command, what) in [
        (format!("meshctl{option} top"), "who calls whom, live"),
        (format!("meshctl{option} trace"), "requests as trees, with the time of every hop"),
        (format!("meshctl{option} trace --failed"), "only those in which something failed"),
        (format!("meshctl{option} certs"), "identities and when they expire"),
        (format!("meshctl{option} sync"), "whether every sidecar is up to date"),
    ] {
        let _infallible = writeln!(out, "  {command:<40} {what}");
    }
    let _infallible = writeln!(out, "\n{}", strong("Try"));
    let _infallible = writeln!(
        out,
        "  change the weights in\n    {}\n  and watch `top`: in force within a second",
        route.display()
    );
    let _infallible = writeln!(out, "  curl -x http://{proxy} http://web/    be a visitor yourself");
    let _infallible = writeln!(
        out,
        "  meshctl{option} run --name me -- curl -s http://web.shop/    the same as a member of your own"
    );
    let _infallible = writeln!(out, "\nlogs: {}", logs.display());
    out
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
        let text = render(&mesh, &route, &paths.logs(), Duration::from_millis(1234), Paint::Plain);
        insta::assert_snapshot!(text);
    }
}
