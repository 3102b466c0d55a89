//! The failures that the mesh itself answers. Codes, statuses and texts are the model's, where `meshctl` finds them too. It must not
//! know how an answer is written.

pub use mesh_model::failure::Failure;
pub use mesh_model::failure::reason::Reason;
