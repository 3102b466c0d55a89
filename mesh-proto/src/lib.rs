//! The contract between the parts of the mesh: generated protobuf types and services, and their conversion to the
//! model. It must not know any logic: what a field means is decided in `mesh-model` and in the parts.

pub mod convert;
pub mod envoy;
pub mod held;
pub mod otlp;

/// Certificate authority: `mesh.ca.v1`.
pub mod ca {
    /// Version 1 of the protocol.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        unused_qualifications,
        unreachable_pub,
        reason = "generated code; the .proto files carry the documentation"
    )]
    pub mod v1 {
        include!("generated/mesh.ca.v1.rs");
    }

    /// Authorities of others that sign issuers: `mesh.ca.upstream.v1`.
    pub mod upstream {
        /// Version 1 of the protocol.
        #[allow(
            missing_docs,
            clippy::all,
            clippy::pedantic,
            clippy::allow_attributes_without_reason,
            unused_qualifications,
            unreachable_pub,
            reason = "generated code; the .proto files carry the documentation"
        )]
        pub mod v1 {
            include!("generated/mesh.ca.upstream.v1.rs");
        }
    }
}

/// Configuration of proxies: `mesh.config.v1`.
pub mod config {
    /// Version 1 of the protocol.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        unused_qualifications,
        unreachable_pub,
        reason = "generated code; the .proto files carry the documentation"
    )]
    pub mod v1 {
        include!("generated/mesh.config.v1.rs");
    }
}

/// Reports of proxies: `mesh.report.v1`.
pub mod report {
    /// Version 1 of the protocol.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        unused_qualifications,
        unreachable_pub,
        reason = "generated code; the .proto files carry the documentation"
    )]
    pub mod v1 {
        include!("generated/mesh.report.v1.rs");
    }
}

/// What tools ask the controller: `mesh.inspect.v1`.
pub mod inspect {
    /// Version 1 of the protocol.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        unused_qualifications,
        unreachable_pub,
        reason = "generated code; the .proto files carry the documentation"
    )]
    pub mod v1 {
        include!("generated/mesh.inspect.v1.rs");
    }
}

/// The Workload API of SPIFFE, which has no package.
pub mod spiffe {
    /// As the standard names it.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        unused_qualifications,
        unreachable_pub,
        reason = "generated code; the .proto files carry the documentation"
    )]
    pub mod workload {
        include!("generated/_.rs");
    }
}
