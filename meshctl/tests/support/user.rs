//! Whom the tests of namespaces run as: always as somebody without privilege, and as root too where the test is run by root.
//! It must not know what is tested.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test uses its own part and says plainly what it expects"
)]

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user `nobody` of every system.
const NOBODY: u32 = 65534;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the test.
    Ourselves,
    /// Nobody, where that is root.
    Unprivileged,
}

impl User {
    /// Everybody that this test can be.
    pub fn all() -> Vec<Self> {
        if is_root() { vec![Self::Unprivileged, Self::Ourselves] } else { vec![Self::Ourselves] }
    }

    /// A binary that this user may run: ours lies in a folder that may be closed to others.
    pub fn binary(self, folder: &Path) -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_meshctl"));
        if self == Self::Ourselves || !is_root() {
            return built;
        }
        let copy = folder.join("meshctl");
        if !copy.exists() {
            chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
            // By a process of its own: a file that is open for writing here would be inherited by what another test starts at that moment,
            // and cannot be run as long as that has not begun ("text file busy").
            let copied = Command::new("cp").arg(built).arg(&copy).status().unwrap();
            assert!(copied.success(), "cp: {copied}");
        }
        copy
    }

    /// The command as this user.
    pub fn give(self, command: &mut Command) {
        if self == Self::Unprivileged && is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
