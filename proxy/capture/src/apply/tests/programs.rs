//! The same through the programs of iptables, where they are installed; where they are not, the error says so.

use super::lab::{POD4, WORLD4, World, accept, address, connect, isolated, listen, original};
use super::{by_mark, with_everything};
use crate::options::{Backend, CaptureOptions, OwnCalls, PROXY_MARK};
use crate::{Applied, CaptureError, apply, undo};

fn installed() -> bool {
    let found = |folder: std::path::PathBuf| folder.join("iptables-restore").exists();
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(found)
}

#[test]
fn iptables_does_the_same() {
    isolated("programs::iptables_does_the_same", || {
        let world = World::join();
        let options =
            CaptureOptions { backend: Backend::Iptables, own_calls: OwnCalls::Inbound, ..by_mark() };
        if !installed() {
            let error = apply(&options).unwrap_err();
            assert!(
                matches!(&error, CaptureError::Program { said, .. } if said.contains("not installed")),
                "{error}"
            );
            return;
        }
        let mut everything = CaptureOptions { backend: Backend::Iptables, ..with_everything() };
        // iptables, unlike nftables, refuses users that this user namespace does not have.
        (everything.proxy.uids, everything.proxy.gids) = (vec![0], vec![0]);
        (everything.exclude.uids, everything.exclude.gids) = (vec![], vec![]);
        for options in [everything, options.clone()] {
            assert_eq!(apply(&options).unwrap(), Applied::Iptables);
            apply(&options).unwrap();
        }
        let there = format!("{WORLD4}:80");
        let (proxy, inbound) = (listen("127.0.0.1:15001"), listen("0.0.0.0:15006"));
        let server = world.listen(&there);
        let _app = connect(&there, |_| {}).unwrap();
        assert_eq!(original(&accept(&proxy).0), address(&there));
        let _own = connect(&there, |socket| socket.set_mark(PROXY_MARK).unwrap()).unwrap();
        accept(&server);
        let here = format!("{POD4}:8080");
        let _client = world.connect(&here).unwrap();
        assert_eq!(original(&accept(&inbound).0), address(&here));
        let _itself = connect(&here, |socket| socket.set_mark(PROXY_MARK).unwrap()).unwrap();
        assert_eq!(original(&accept(&inbound).0), address(&here));

        undo(&options).unwrap();
        undo(&options).unwrap();
        let _passes = connect(&there, |_| {}).unwrap();
        accept(&server);
    });
}
