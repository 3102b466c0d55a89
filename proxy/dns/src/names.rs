//! What a name that a client asks for may stand for in the mesh. It must not know which services and hosts exist.
//!
//! Clients in Kubernetes put the ends of their search list behind a name before they ask for it as it is written (`ndots:5`), so
//! that a host of the outer world is first asked for as one of the cluster. Ends of a machine's own search list (`corp.example.com`)
//! are not taken off: a real host of that name would be hidden, and the client asks for the name itself next.
//!
//! Source: Kubernetes DNS specification 1.1; resolv.conf(5).

use mesh_model::authority::{self, Candidates};
use mesh_model::name::ServiceName;

/// What a name may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The service, or the host of that name outside.
    pub candidates: Candidates,
    /// Names of hosts of the outer world that a search list may have made this name of, the longest end taken off first.
    pub written: Vec<String>,
}

/// What `name` may stand for when a client in `namespace` asks for it. Lower case, without a final dot.
pub fn meaning(name: &str, namespace: &str, cluster_domain: &str) -> Meaning {
    let candidates = authority::service_of(name, namespace, cluster_domain);
    Meaning { candidates, written: written(name, cluster_domain) }
}

/// The name before one of the ends `.NAMESPACE.svc.DOMAIN`, `.svc.DOMAIN` and `.DOMAIN`; none that is a single label.
fn written(name: &str, cluster_domain: &str) -> Vec<String> {
    let in_domain = name.strip_suffix(cluster_domain).and_then(|rest| rest.strip_suffix('.'));
    let Some(rest) = in_domain else { return Vec::new() };
    let before = match rest.strip_suffix(".svc") {
        None => vec![rest],
        Some(rest) => rest.rsplit_once('.').map(|(before, _)| before).into_iter().chain([rest]).collect(),
    };
    before.into_iter().filter(|name| name.contains('.')).map(str::to_owned).collect()
}

/// Whether a name that no service can have may yet be one that the mesh knows: of a host outside, or of a member of a service
/// (`db-0.db`). Most names that a search list makes of hosts outside are neither, and nobody needs to be asked about those.
pub fn may_be_outside(name: &str, namespace: &str, cluster_domain: &str) -> bool {
    let in_domain =
        name.strip_suffix(cluster_domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let of_member = |(_, rest): (&str, &str)| {
        matches!(authority::service_of(rest, namespace, cluster_domain), Candidates::Only(_))
    };
    name != "localhost"
        && !name.ends_with(".localhost")
        && (!in_domain || name.split_once('.').is_some_and(of_member))
}

/// The one name under which a service has its virtual address.
pub fn canonical(service: &ServiceName, cluster_domain: &str) -> String {
    format!("{}.{}.svc.{cluster_domain}", service.0.name(), service.0.namespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::authority::CLUSTER_DOMAIN;

    fn service(namespace: &str, name: &str) -> ServiceName {
        ServiceName::new(namespace, name).unwrap()
    }

    #[test]
    fn names_mean_services_as_clients_of_a_namespace_write_them() {
        let only = |namespace, name| Candidates::Only(service(namespace, name));
        let perhaps = |namespace, name| Candidates::Perhaps(service(namespace, name));
        let rows = [
            ("reviews", perhaps("shop", "reviews")),
            ("reviews.shop", perhaps("shop", "reviews")),
            ("reviews.other", perhaps("other", "reviews")),
            ("reviews.shop.svc", only("shop", "reviews")),
            ("reviews.shop.svc.cluster.local", only("shop", "reviews")),
            ("example.com", perhaps("com", "example")),
            ("www.example.com", Candidates::None),
            ("reviews.svc.cluster.local", Candidates::None),
            ("reviews.cluster.local", Candidates::None),
            ("localhost", Candidates::None),
            ("a.reviews.shop.svc.cluster.local", Candidates::None),
            ("_http._tcp.reviews.shop.svc.cluster.local", Candidates::None),
        ];
        for (name, expected) in rows {
            assert_eq!(meaning(name, "shop", CLUSTER_DOMAIN).candidates, expected, "{name}");
        }
    }

    #[test]
    fn a_search_lists_ends_are_seen_through() {
        let rows: [(&str, &[&str]); 9] = [
            ("api.example.com.shop.svc.cluster.local", &["api.example.com", "api.example.com.shop"]),
            ("api.example.com.svc.cluster.local", &["api.example", "api.example.com"]),
            ("example.com.svc.cluster.local", &["example.com"]),
            ("example.com.cluster.local", &["example.com"]),
            ("example.cluster.local", &[]),
            ("api.example.com", &[]),
            ("api.example.com.corp.example.org", &[]),
            ("cluster.local", &[]),
            (".cluster.local", &[]),
        ];
        for (name, expected) in rows {
            assert_eq!(meaning(name, "shop", CLUSTER_DOMAIN).written, expected, "{name}");
        }
    }

    #[test]
    fn what_a_search_list_makes_of_a_host_outside_is_not_asked_about() {
        let rows = [
            ("api.example.com", true),
            ("db-0.db", true),
            ("db-0.db.shop.svc.cluster.local", true),
            ("api.example.com.shop.svc.cluster.local", false),
            // As well member `api` of Service `example` of namespace `com`.
            ("api.example.com.svc.cluster.local", true),
            ("www.api.example.com.svc.cluster.local", false),
            ("api.example.com.cluster.local", false),
            ("cluster.local", false),
            ("localhost", false),
            ("a.localhost", false),
        ];
        for (name, expected) in rows {
            assert_eq!(may_be_outside(name, "shop", CLUSTER_DOMAIN), expected, "{name}");
        }
    }

    #[test]
    fn a_service_has_one_canonical_name() {
        let name = canonical(&service("shop", "reviews"), CLUSTER_DOMAIN);
        assert_eq!(name, "reviews.shop.svc.cluster.local");
        assert_eq!(
            meaning(&name, "elsewhere", CLUSTER_DOMAIN).candidates,
            Candidates::Only(service("shop", "reviews"))
        );
    }
}
