//! TPROXY: the proxy sees where the client went without translation, and keeps the client's address towards the application.

use std::io::{Read as _, Write as _};

use socket2::Socket;

use super::lab::{
    POD4, POD6, SILENCE, WORLD4, WORLD6, World, accept, address, connect, isolated, listen, listen_with,
};
use super::{by_mark, state};
use crate::options::{CaptureOptions, Inbound, OwnCalls, PROXY_MARK};
use crate::{apply, undo};

fn options() -> CaptureOptions {
    CaptureOptions { inbound: Inbound::Tproxy, own_calls: OwnCalls::Application, ..by_mark() }
}

fn transparent(socket: &Socket) {
    let v4 = socket.domain().unwrap() == socket2::Domain::IPV4;
    if v4 { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }.unwrap();
}

#[test]
fn the_clients_address_is_kept_up_to_the_application() {
    isolated("tproxy::the_clients_address_is_kept_up_to_the_application", || {
        let world = World::join();
        let before = state::routing();
        apply(&options()).unwrap();
        for (any, pod, from) in [
            ("0.0.0.0", POD4.to_owned(), format!("{WORLD4}:0")),
            ("[::]", format!("[{POD6}]"), format!("[{WORLD6}]:0")),
        ] {
            let there = format!("{pod}:8080");
            let proxy = listen_with(&format!("{any}:15006"), transparent);
            let app = listen(&format!("{any}:8080"));
            let mut client = world.connect(&there).unwrap();
            let (mut taken, peer) = accept(&proxy);
            assert_eq!(taken.local_addr().unwrap().as_socket(), Some(address(&there)));
            assert_eq!(Some(peer), client.local_addr().unwrap().as_socket());

            let mut forwarded = connect(&there, |socket| {
                transparent(socket);
                socket.set_mark(PROXY_MARK).unwrap();
                socket.bind(&address(&from).into()).unwrap();
            })
            .unwrap();
            let (mut served, peer) = accept(&app);
            assert_eq!(peer.ip(), address(&from).ip());
            relay(&mut client, &mut taken);
            relay(&mut forwarded, &mut served);
            relay(&mut served, &mut forwarded);
            relay(&mut taken, &mut client);
        }
        undo(&options()).unwrap();
        assert_eq!(state::routing(), before);
    });
}

fn relay(from: &mut Socket, to: &mut Socket) {
    let mut heard = [0; 4];
    from.write_all(b"data").unwrap();
    to.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"data");
}

#[test]
fn without_a_proxy_the_application_is_not_reached_in_the_clear() {
    isolated("tproxy::without_a_proxy_the_application_is_not_reached_in_the_clear", || {
        let world = World::join();
        let app = listen("0.0.0.0:8080");
        let mut old = world.connect(&format!("{POD4}:8080")).unwrap();
        let (mut served, _) = accept(&app);
        apply(&options()).unwrap();
        // What was open before goes on.
        relay(&mut old, &mut served);
        relay(&mut served, &mut old);
        let there = address(&format!("{POD4}:8080"));
        let refused = world.run(move || {
            let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.connect_timeout(&there.into(), SILENCE)
        });
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    });
}
