//! The door to the wire: what `meshctl` asks the controller. It must not know how the
//! answers are shown.

pub(crate) mod authority;
pub(crate) mod forward;
pub(crate) mod inspect;
