//! JSON mirrors of what this proxy holds.
