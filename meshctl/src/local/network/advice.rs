//! What a user can do about a system that lets him make no namespaces: pure, from what the system says about itself.

use std::fs;

use rustix::process::geteuid;

/// The settings that forbid it, as far as they can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settings {
    root: bool,
    /// `user.max_user_namespaces`
    max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` of Debian.
    unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` of Ubuntu.
    apparmor_restricts: Option<u64>,
}

/// For this machine.
pub(super) fn now() -> String {
    let read = |path: &str| {
        fs::read_to_string(format!("/proc/sys/{path}")).ok().and_then(|text| text.trim().parse().ok())
    };
    of(&Settings {
        root: geteuid().is_root(),
        max_user_namespaces: read("user/max_user_namespaces"),
        unprivileged_clone: read("kernel/unprivileged_userns_clone"),
        apparmor_restricts: read("kernel/apparmor_restrict_unprivileged_userns"),
    })
}

fn of(settings: &Settings) -> String {
    if settings.max_user_namespaces == Some(0) {
        return "allow user namespaces with `sysctl user.max_user_namespaces=10000`".to_owned();
    }
    if settings.unprivileged_clone == Some(0) {
        return "allow user namespaces with `sysctl kernel.unprivileged_userns_clone=1`, or run this as root"
            .to_owned();
    }
    if settings.apparmor_restricts.is_some_and(|value| value != 0) && !settings.root {
        return "allow user namespaces with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run this as root"
            .to_owned();
    }
    "a container has to be started with the privilege for it (CAP_SYS_ADMIN, no seccomp filter for unshare)"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_it_is_named() {
        let free = Settings { max_user_namespaces: Some(1000), ..Settings::default() };
        for (settings, want) in [
            (Settings { max_user_namespaces: Some(0), ..free.clone() }, "user.max_user_namespaces"),
            (Settings { unprivileged_clone: Some(0), ..free.clone() }, "unprivileged_userns_clone=1"),
            (
                Settings { apparmor_restricts: Some(1), ..free.clone() },
                "apparmor_restrict_unprivileged_userns=0",
            ),
            // Root is not meant by it: something else forbids it.
            (Settings { apparmor_restricts: Some(1), root: true, ..free.clone() }, "CAP_SYS_ADMIN"),
            (free, "seccomp"),
        ] {
            assert!(of(&settings).contains(want), "{settings:?}");
        }
    }
}
