//! Rules in a real kernel: what is captured and what is not, that twice is once, and that undoing leaves nothing.

mod lab;
mod programs;
mod state;
mod tproxy;

use std::io::{Read as _, Write as _};
use std::mem::MaybeUninit;

use rustix::thread::UnshareFlags;

use self::lab::{
    POD4, POD6, WORLD4, WORLD6, World, accept, address, connect, isolated, isolated_by, listen, original, udp,
};
use super::*;
use crate::error::Missing;
use crate::options::{
    FORWARD_MARK, Families, Inbound, InvalidPackets, Loopback, OpenConnections, OwnCalls, PROXY_MARK,
};

fn by_mark() -> CaptureOptions {
    CaptureOptions::by_mark(PROXY_MARK)
}

/// Everything that there is, so that every expression meets the kernel.
fn with_everything() -> CaptureOptions {
    let mut options = by_mark();
    options.proxy.uids = vec![1337];
    options.proxy.gids = vec![1337];
    options.dns_port = Some(15053);
    options.inbound = Inbound::Tproxy;
    options.invalid = InvalidPackets::Drop;
    options.open = OpenConnections::Take;
    let exclude = &mut options.exclude;
    exclude.inbound_ports = vec!["22".parse().unwrap(), "65535".parse().unwrap()];
    exclude.outbound_ports = vec!["25".parse().unwrap(), "1-9".parse().unwrap()];
    exclude.outbound_cidrs =
        ["10.0.0.0/9", "10.128.0.0/9", "255.255.255.255", "fd00::/8", "::/127", "ff00::/8"]
            .map(|t| t.parse().unwrap())
            .to_vec();
    exclude.probe_sources =
        ["169.254.7.127", "169.254.9.0/24", "fe80::1"].map(|t| t.parse().unwrap()).to_vec();
    exclude.uids = vec![99];
    exclude.gids = vec![98];
    exclude.interfaces = vec!["docker0".to_owned()];
    let include = &mut options.include;
    include.outbound_cidrs = vec!["172.16.0.0/12".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    include.outbound_ports = vec!["80".parse().unwrap(), "443".parse().unwrap()];
    include.inbound_ports = vec!["8080".parse().unwrap(), "9000-9010".parse().unwrap()];
    options
}

#[test]
fn twice_is_once_and_undone_is_nothing() {
    isolated("twice_is_once_and_undone_is_nothing", || {
        let _world = World::join();
        let before = (state::nftables(), state::routing());
        assert!(before.0.is_empty());
        for options in [by_mark(), with_everything(), CaptureOptions { inbound: Inbound::Pass, ..by_mark() }]
        {
            assert_eq!(apply(&options).unwrap(), Applied::Nftables);
            let once = (state::nftables(), state::routing());
            assert!(!once.0.is_empty());
            apply(&options).unwrap();
            assert_eq!((state::nftables(), state::routing()), once);
        }
        // What the last of them left beside what the first one needed.
        apply(&with_everything()).unwrap();
        assert_eq!(state::routing().len(), before.1.len() + 5);
        undo(&by_mark()).unwrap();
        assert_eq!((state::nftables(), state::routing()), before);
        undo(&by_mark()).unwrap();
        assert_eq!((state::nftables(), state::routing()), before);
    });
}

#[test]
fn the_most_entries_fit_into_one_message() {
    isolated("the_most_entries_fit_into_one_message", || {
        let _world = World::join();
        let mut options = by_mark();
        options.exclude.uids = (2000..2500).collect();
        apply(&options).unwrap();
        options.exclude.uids.clear();
        let prefix = |number: u16| format!("fd00:{number:x}::/32").parse().unwrap();
        options.exclude.outbound_cidrs = (0..500).map(|number| prefix(number * 2)).collect();
        apply(&options).unwrap();
        let in_set = format!("[fd00:{:x}::1]:80", 998);
        let proxy = listen("[::1]:15001");
        // No route leads there, so that it fails at once unless it is captured.
        assert!(connect(&in_set, |_| {}).is_err());
        drop(proxy);
    });
}

#[test]
fn the_applications_connections_go_to_the_proxy() {
    isolated("the_applications_connections_go_to_the_proxy", || {
        let world = World::join();
        apply(&by_mark()).unwrap();
        for (proxy, there) in
            [("127.0.0.1:15001", format!("{WORLD4}:80")), ("[::1]:15001", format!("[{WORLD6}]:80"))]
        {
            let proxy = listen(proxy);
            let server = world.listen(&there);
            let mut app = connect(&there, |_| {}).unwrap();
            let (mut taken, _) = accept(&proxy);
            assert_eq!(original(&taken), address(&there));
            taken.write_all(b"hello").unwrap();
            let mut heard = [0; 5];
            app.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");

            let own = connect(&there, |socket| socket.set_mark(PROXY_MARK).unwrap()).unwrap();
            let (_, peer) = accept(&server);
            assert_eq!(Some(peer), own.local_addr().unwrap().as_socket());
        }
    });
}

#[test]
fn what_is_excluded_passes() {
    isolated("what_is_excluded_passes", || {
        let world = World::join();
        let proxies = [listen("127.0.0.1:15001"), listen("[::1]:15001")];
        type Case = (&'static str, fn(&mut CaptureOptions));
        let cases: &[Case] = &[
            ("port", |o| o.exclude.outbound_ports = vec!["80".parse().unwrap()]),
            ("range of ports", |o| o.exclude.outbound_ports = vec!["79-81".parse().unwrap()]),
            ("prefixes", |o| {
                o.exclude.outbound_cidrs =
                    ["10.0.0.0/8", "11.0.0.0/8", "fd00::/8", "fe00::/8"].map(|t| t.parse().unwrap()).to_vec();
            }),
            ("addresses", |o| {
                o.exclude.outbound_cidrs = vec![WORLD4.parse().unwrap(), WORLD6.parse().unwrap()];
            }),
            ("user", |o| o.exclude.uids = vec![0]),
            ("group", |o| o.exclude.gids = vec![0]),
            ("user of the proxy", |o| o.proxy.uids = vec![0]),
            ("group of the proxy", |o| o.proxy.gids = vec![0]),
            ("device", |o| o.exclude.interfaces = vec!["eth0".to_owned()]),
            ("not included port", |o| o.include.outbound_ports = vec!["81".parse().unwrap()]),
            ("not included prefix", |o| o.include.outbound_cidrs = vec!["11.0.0.0/8".parse().unwrap()]),
        ];
        for there in [format!("{WORLD4}:80"), format!("[{WORLD6}]:80")] {
            let server = world.listen(&there);
            for (what, exclude) in cases {
                let mut options = by_mark();
                exclude(&mut options);
                apply(&options).unwrap();
                let app = connect(&there, |_| {}).unwrap();
                let (_, peer) = accept(&server);
                assert_eq!(Some(peer), app.local_addr().unwrap().as_socket(), "{what} {there}");
            }
        }
        for proxy in &proxies {
            proxy.set_nonblocking(true).unwrap();
            assert_eq!(proxy.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn what_alone_is_included_is_captured() {
    isolated("what_alone_is_included_is_captured", || {
        let _world = World::join();
        let proxy = listen("127.0.0.1:15001");
        let mut options = by_mark();
        options.include.outbound_cidrs = vec!["10.9.0.0/24".parse().unwrap(), "10.8.0.0/24".parse().unwrap()];
        options.include.outbound_ports = vec!["443".parse().unwrap()];
        for port in [80, 443] {
            apply(&options).unwrap();
            let there = format!("{WORLD4}:{port}");
            let _app = connect(&there, |_| {}).unwrap();
            assert_eq!(original(&accept(&proxy).0), address(&there));
            // The port alone, for the second round.
            options.include.outbound_cidrs.clear();
        }
    });
}

#[test]
fn one_family_may_be_left_alone() {
    isolated("one_family_may_be_left_alone", || {
        let world = World::join();
        let proxies = [listen("127.0.0.1:15001"), listen("[::1]:15001")];
        let there = [format!("{WORLD4}:80"), format!("[{WORLD6}]:80")];
        let servers = there.clone().map(|there| world.listen(&there));
        for (families, captured) in [(Families::Ipv4, [true, false]), (Families::Ipv6, [false, true])] {
            apply(&CaptureOptions { families, ..by_mark() }).unwrap();
            for family in 0..2 {
                let app = connect(&there[family], |_| {}).unwrap();
                let listener = if captured[family] { &proxies[family] } else { &servers[family] };
                let (_, peer) = accept(listener);
                assert_eq!(Some(peer), app.local_addr().unwrap().as_socket(), "{families:?}");
            }
        }
    });
}

#[test]
fn connections_to_the_application_go_to_the_proxy() {
    isolated("connections_to_the_application_go_to_the_proxy", || {
        let world = World::join();
        let mut options = by_mark();
        options.exclude.inbound_ports = vec!["22".parse().unwrap()];
        apply(&options).unwrap();
        for (any, pod) in [("0.0.0.0", POD4.to_owned()), ("[::]", format!("[{POD6}]"))] {
            let proxy = listen(&format!("{any}:15006"));
            let app = listen(&format!("{any}:8080"));
            let ssh = listen(&format!("{any}:22"));
            let metrics = listen(&format!("{any}:15020"));
            let there = format!("{pod}:8080");
            let client = world.connect(&there).unwrap();
            let (taken, peer) = accept(&proxy);
            assert_eq!(
                (original(&taken), Some(peer)),
                (address(&there), client.local_addr().unwrap().as_socket())
            );
            for (listener, port) in [(&ssh, 22), (&metrics, 15020)] {
                let client = world.connect(&format!("{pod}:{port}")).unwrap();
                assert_eq!(Some(accept(listener).1), client.local_addr().unwrap().as_socket());
            }
            options.exclude.probe_sources = vec![WORLD4.parse().unwrap(), WORLD6.parse().unwrap()];
            apply(&options).unwrap();
            let probe = world.connect(&there).unwrap();
            assert_eq!(Some(accept(&app).1), probe.local_addr().unwrap().as_socket());
            options.exclude.probe_sources.clear();
            apply(&options).unwrap();
        }
    });
}

#[test]
fn a_pod_that_is_its_own_endpoint_is_reached_through_its_inbound_listener() {
    isolated("a_pod_that_is_its_own_endpoint_is_reached_through_its_inbound_listener", || {
        let _world = World::join();
        let past = CaptureOptions { own_calls: OwnCalls::Application, ..by_mark() };
        for (any, there, forward) in [
            ("0.0.0.0", format!("{POD4}:8080"), "127.0.0.6:0"),
            ("[::]", format!("[{POD6}]:8080"), "[::6]:0"),
        ] {
            let proxy = listen(&format!("{any}:15006"));
            let app = listen(&format!("{any}:8080"));
            apply(&past).unwrap();
            let own = connect(&there, |socket| socket.set_mark(PROXY_MARK).unwrap()).unwrap();
            assert_eq!(Some(accept(&app).1), own.local_addr().unwrap().as_socket());

            apply(&by_mark()).unwrap();
            let _own = connect(&there, |socket| socket.set_mark(PROXY_MARK).unwrap()).unwrap();
            assert_eq!(original(&accept(&proxy).0), address(&there));

            let by_source = connect(&there, |socket| {
                socket.set_mark(PROXY_MARK).unwrap();
                socket.bind(&address(forward).into()).unwrap();
            });
            assert_eq!(Some(accept(&app).1), by_source.unwrap().local_addr().unwrap().as_socket());
            let by_mark = connect(&there, |socket| socket.set_mark(FORWARD_MARK).unwrap()).unwrap();
            assert_eq!(Some(accept(&app).1), by_mark.local_addr().unwrap().as_socket());
            let to_itself = connect(&there, |_| {}).unwrap();
            assert_eq!(Some(accept(&app).1), to_itself.local_addr().unwrap().as_socket());
        }
    });
}

#[test]
fn loopback_passes_unless_it_is_asked_for() {
    isolated("loopback_passes_unless_it_is_asked_for", || {
        let _world = World::join();
        let capture = CaptureOptions { loopback: Loopback::Capture, ..by_mark() };
        for host in ["127.0.0.1", "[::1]"] {
            let proxy = listen(&format!("{host}:15001"));
            let app = listen(&format!("{host}:8080"));
            let there = format!("{host}:8080");
            apply(&by_mark()).unwrap();
            let client = connect(&there, |_| {}).unwrap();
            assert_eq!(Some(accept(&app).1), client.local_addr().unwrap().as_socket());
            apply(&capture).unwrap();
            let _client = connect(&there, |_| {}).unwrap();
            assert_eq!(original(&accept(&proxy).0), address(&there));
            let own = connect(&there, |socket| socket.set_mark(PROXY_MARK).unwrap()).unwrap();
            assert_eq!(Some(accept(&app).1), own.local_addr().unwrap().as_socket());
        }
    });
}

#[test]
fn dns_goes_to_the_proxy_when_asked_and_other_udp_does_not() {
    isolated("dns_goes_to_the_proxy_when_asked_and_other_udp_does_not", || {
        let world = World::join();
        let pods = [
            ("127.0.0.1:15053", format!("{WORLD4}:53"), format!("{POD4}:5555")),
            ("[::1]:15053", format!("[{WORLD6}]:53"), format!("[{POD6}]:5555")),
        ];
        for options in [by_mark(), CaptureOptions::by_uid(1337)] {
            let options = CaptureOptions { dns_port: Some(15053), ..options };
            apply(&options).unwrap();
            for (resolver, server_at, app_at) in &pods {
                let resolver_tcp = listen(resolver);
                let resolver = udp(resolver);
                let at = server_at.clone();
                let server = world.run(move || udp(&at));
                let at = server_at.replace(":53", ":54");
                let other = world.run(move || udp(&at));

                // Captured, and the answer comes from whom the application asked.
                let app = udp(app_at);
                app.send_to(b"who", &address(server_at).into()).unwrap();
                let (text, from) = received(&resolver);
                assert_eq!(text, b"who");
                resolver.send_to(b"you", &from.into()).unwrap();
                assert_eq!(received(&app), (b"you".to_vec(), address(server_at)));
                app.send_to(b"any", &address(&server_at.replace(":53", ":54")).into()).unwrap();
                assert_eq!(received(&other).0, b"any");
                let _tcp = connect(server_at, |_| {}).unwrap();
                assert_eq!(original(&accept(&resolver_tcp).0), address(server_at));

                if options.proxy.mark.is_some() {
                    // The proxy asks the same server from the same port, while the entry of the application's query is there.
                    drop(app);
                    let own = udp(app_at);
                    own.set_mark(PROXY_MARK).unwrap();
                    own.send_to(b"real", &address(server_at).into()).unwrap();
                    let (text, from) = received(&server);
                    assert_eq!((text, from), (b"real".to_vec(), address(app_at)));
                    server.send_to(b"answer", &from.into()).unwrap();
                    assert_eq!(received(&own), (b"answer".to_vec(), address(server_at)));
                    // And the application again, after the proxy.
                    drop(own);
                    let app = udp(app_at);
                    app.send_to(b"again", &address(server_at).into()).unwrap();
                    assert_eq!(received(&resolver).0, b"again");
                }
            }
        }
    });
}

fn received(socket: &socket2::Socket) -> (Vec<u8>, std::net::SocketAddr) {
    let mut buffer = [MaybeUninit::uninit(); 512];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    // SAFETY: the kernel has written this many bytes.
    #[expect(unsafe_code, reason = "socket2 reads into memory that is not initialised")]
    let text = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
    (text, from.as_socket().unwrap())
}

#[test]
fn what_was_open_before_lives_on_and_so_does_what_was_captured() {
    isolated("what_was_open_before_lives_on_and_so_does_what_was_captured", || {
        let world = World::join();
        let there = format!("{WORLD4}:80");
        let server = world.listen(&there);
        let proxy = listen("0.0.0.0:15001");
        let inbound = listen("0.0.0.0:15006");
        let app = listen("0.0.0.0:8080");
        let mut old = [connect(&there, |_| {}).unwrap(), world.connect(&format!("{POD4}:8080")).unwrap()];
        let mut old_peers = [accept(&server).0, accept(&app).0];
        apply(&by_mark()).unwrap();
        let mut new = [connect(&there, |_| {}).unwrap(), world.connect(&format!("{POD4}:8080")).unwrap()];
        let mut new_peers = [accept(&proxy).0, accept(&inbound).0];
        for _ in 0..2 {
            let pairs = old.iter_mut().zip(&mut old_peers).chain(new.iter_mut().zip(&mut new_peers));
            for (one, other) in pairs {
                let mut heard = [0; 4];
                one.write_all(b"ping").unwrap();
                other.read_exact(&mut heard).unwrap();
                other.write_all(b"pong").unwrap();
                one.read_exact(&mut heard).unwrap();
                assert_eq!(&heard, b"pong");
            }
            apply(&by_mark()).unwrap();
        }
    });
}

#[test]
fn without_the_capability_the_message_says_which_and_how() {
    isolated("without_the_capability_the_message_says_which_and_how", || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective.remove(rustix::thread::CapabilitySet::NET_ADMIN);
        rustix::thread::set_capabilities(None, sets).unwrap();
        for result in [apply(&by_mark()).map(|_| ()), undo(&by_mark())] {
            let error = result.unwrap_err();
            assert!(matches!(error, CaptureError::Denied { missing: Missing::NetAdmin, .. }), "{error:?}");
            assert!(
                error.to_string().contains("CAP_NET_ADMIN") && error.to_string().contains("securityContext")
            );
        }
    });
}

#[test]
fn a_network_namespace_of_others_is_refused_with_the_reason() {
    isolated_by("a_network_namespace_of_others_is_refused_with_the_reason", UnshareFlags::NEWUSER, || {
        let error = apply(&by_mark()).unwrap_err();
        assert!(matches!(error, CaptureError::Denied { missing: Missing::OwnNamespace, .. }), "{error:?}");
        assert!(error.to_string().contains("another user namespace"), "{error}");
    });
}

#[test]
fn nothing_is_left_when_the_rules_are_refused() {
    isolated("nothing_is_left_when_the_rules_are_refused", || {
        let _world = World::join();
        apply(&by_mark()).unwrap();
        let before = state::nftables();
        // A chain that jumps to one that is not there: refused as a whole.
        let mut ruleset = plan::ruleset(&with_everything()).unwrap();
        ruleset.chains.retain(|chain| chain.name != "outbound_capture");
        let error = send(&nft::replace(&ruleset)).unwrap_err();
        assert!(
            matches!(&error, CaptureError::Unsupported { what, .. } if what.contains("of chain outbound")),
            "{error:?}"
        );
        assert_eq!(state::nftables(), before);
    });
}
