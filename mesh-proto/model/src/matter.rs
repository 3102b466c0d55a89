//! What a resource is about, as far as its age is told: a small closed set, so that it can be a label of a metric. It must not know
//! resources, but for their names.

/// What something that a proxy is told is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matter {
    /// The settings of the mesh.
    Settings,
    /// Services, and what addresses and hosts stand for.
    Services,
    /// Who is behind services.
    Endpoints,
    /// Where requests and connections go.
    Routes,
    /// Policies of traffic and of security.
    Policies,
}

impl Matter {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Settings, Self::Services, Self::Endpoints, Self::Routes, Self::Policies];

    /// As metrics name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Services => "services",
            Self::Endpoints => "endpoints",
            Self::Routes => "routes",
            Self::Policies => "policies",
        }
    }

    /// What the resource of that name is about; `None` for one that a later version tells of.
    pub fn of(resource: &str) -> Option<Self> {
        match resource.split_once('/').map_or(resource, |(kind, _)| kind) {
            "mesh" => Some(Self::Settings),
            "own" | "service" | "address" | "host" | "externalservice" => Some(Self::Services),
            "endpoints" => Some(Self::Endpoints),
            "httproute" | "grpcroute" | "tcproute" | "tlsroute" => Some(Self::Routes),
            "authentication" | "trafficpolicy" | "authorizationpolicy" => Some(Self::Policies),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_about_something() {
        let names = [
            ("mesh", "settings"),
            ("own", "services"),
            ("service/shop/a", "services"),
            ("endpoints/shop/a", "endpoints"),
            ("httproute/shop/a", "routes"),
            ("authentication", "policies"),
            ("trafficpolicy/shop/a", "policies"),
            ("address/10.0.0.1", "services"),
        ];
        for (name, expected) in names {
            assert_eq!(Matter::of(name).map(Matter::word), Some(expected), "{name}");
        }
        assert_eq!(Matter::of("tomorrow/shop/a"), None);
        assert!(Matter::ALL.is_sorted());
    }
}
