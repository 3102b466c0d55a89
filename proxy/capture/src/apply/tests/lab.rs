//! A pod and a world in network namespaces of their own, without root: the test runs itself again in a new user namespace, where it may
//! do everything. The pod is where the test runs; the world is a thread in another network namespace; a pair of devices joins them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::kernel::{To, exchange};
use crate::number as n;
use crate::wire::{ACK, CREATE, EXCL, Message};

/// Says to a test that it is already in its own namespaces.
const INSIDE: &str = "AMIME_CAPTURE_TEST_INSIDE";
/// Nothing on one machine takes as long; whatever does is broken.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// How long is waited for what must not come: a packet that is dropped has no other sign.
pub(super) const SILENCE: Duration = Duration::from_millis(300);

pub(super) const POD4: &str = "10.9.0.1";
pub(super) const POD6: &str = "fd09::1";
pub(super) const WORLD4: &str = "10.9.0.2";
pub(super) const WORLD6: &str = "fd09::2";

const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
const LO: u32 = 1;
const ETH: u32 = 2;

/// Runs the body in a new user and network namespace, by starting this test alone in a process of its own.
pub(super) fn isolated(test: &str, body: impl FnOnce()) {
    isolated_by(test, UnshareFlags::NEWUSER | UnshareFlags::NEWNET, body);
}

pub(super) fn isolated_by(test: &str, flags: UnshareFlags, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let module = module_path!().split_once("::").unwrap().1.trim_end_matches("::lab");
    let name = format!("{module}::{test}");
    let ids = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
    let maps = ids.map(|id| format!("0 {id} 1"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&name, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let enter = move || enter(flags, &maps);
    // SAFETY: what runs between fork and exec makes system calls only, and allocates nothing.
    #[expect(unsafe_code, reason = "a user namespace can only be entered by a process with one thread")]
    unsafe {
        command.pre_exec(enter);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{name} in its namespaces:\n{out}\n{err}");
}

fn enter(flags: UnshareFlags, [uids, gids]: &[String; 2]) -> io::Result<()> {
    // SAFETY: NEWUSER and NEWNET leave file descriptors shared as they are.
    #[expect(unsafe_code, reason = "the flag that makes it unsafe, FILES, is not among ours")]
    unsafe {
        rustix::thread::unshare_unsafe(flags)?;
    }
    for (file, text) in
        [(c"/proc/self/setgroups", "deny"), (c"/proc/self/uid_map", uids), (c"/proc/self/gid_map", gids)]
    {
        let file = rustix::fs::open(file, OFlags::WRONLY, Mode::empty())?;
        rustix::io::write(file, text.as_bytes())?;
    }
    Ok(())
}

type Job = Box<dyn FnOnce() + Send>;

/// The other side of the wire.
pub(super) struct World {
    jobs: SyncSender<Job>,
}

impl World {
    /// Joins the pod, where the caller is, to a new world.
    pub(super) fn join() -> Self {
        up(LO);
        let (jobs, queue) = sync_channel::<Job>(1);
        let (ready, is_ready) = sync_channel(1);
        thread::spawn(move || {
            // SAFETY: NEWNET leaves file descriptors shared as they are.
            #[expect(unsafe_code, reason = "the flag that makes it unsafe, FILES, is not among ours")]
            unsafe {
                rustix::thread::unshare_unsafe(UnshareFlags::NEWNET).unwrap();
            }
            up(LO);
            ready.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            for job in &queue {
                job();
            }
        });
        veth(is_ready.recv_timeout(DEADLINE).unwrap().cast_unsigned());
        let world = Self { jobs };
        for (address, bits) in [(POD4, 24), (POD6, 64)] {
            add_address(address.parse().unwrap(), bits);
        }
        up(ETH);
        world.run(|| {
            for (address, bits) in [(WORLD4, 24), (WORLD6, 64)] {
                add_address(address.parse().unwrap(), bits);
            }
            up(ETH);
        });
        world
    }

    /// Does something in the world; sockets made there stay there.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = sync_channel(1);
        self.jobs.send(Box::new(move || done.send(work()).unwrap())).unwrap();
        result.recv_timeout(DEADLINE).unwrap()
    }

    pub(super) fn listen(&self, address: &str) -> Socket {
        let address = address.to_owned();
        self.run(move || listen(&address))
    }

    pub(super) fn connect(&self, to: &str) -> io::Result<Socket> {
        let to = to.to_owned();
        self.run(move || connect(&to, |_| {}))
    }
}

fn request(message: Message) {
    let answers = exchange(To::Route, &message.into_bytes()).unwrap();
    assert_eq!(answers.first().map(|answer| answer.error), Some(0));
}

/// struct ifinfomsg: family, type, index, flags, mask of flags.
fn link(index: u32, flags: u32) -> Vec<u8> {
    [0u32, index, flags, flags].into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn up(index: u32) {
    request(Message::new(RTM_NEWLINK, ACK, 1, &link(index, IFF_UP)));
}

fn veth(peer_thread: u32) {
    let mut message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCL, 1, &link(ETH, 0));
    message.text(IFLA_IFNAME, "eth0").nested(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, |data| {
            data.nested(VETH_INFO_PEER, |peer| {
                peer.header(&link(ETH, 0)).text(IFLA_IFNAME, "eth0").ne32(IFLA_NET_NS_PID, peer_thread);
            });
        });
    });
    request(message);
}

fn add_address(address: IpAddr, bits: u8) {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (n::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (n::AF_INET6, address.octets().to_vec()),
    };
    let mut header = vec![family, bits, n::IFA_F_NODAD, 0];
    header.extend(ETH.to_ne_bytes());
    let mut message = Message::new(n::RTM_NEWADDR, ACK | CREATE | EXCL, 1, &header);
    message.attribute(n::IFA_LOCAL, &bytes).attribute(n::IFA_ADDRESS, &bytes);
    request(message);
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> Socket {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket
}

pub(super) fn listen(at: &str) -> Socket {
    listen_with(at, |_| {})
}

pub(super) fn listen_with(at: &str, set: impl FnOnce(&Socket)) -> Socket {
    let at = address(at);
    let socket = socket(at, Type::STREAM, Protocol::TCP);
    socket.set_reuse_address(true).unwrap();
    set(&socket);
    socket.bind(&at.into()).unwrap();
    socket.listen(16).unwrap();
    socket
}

/// Connects; `set` may give the socket a mark or an address first.
pub(super) fn connect(to: &str, set: impl FnOnce(&Socket)) -> io::Result<Socket> {
    let to = address(to);
    let socket = socket(to, Type::STREAM, Protocol::TCP);
    set(&socket);
    socket.connect_timeout(&SockAddr::from(to), DEADLINE)?;
    Ok(socket)
}

pub(super) fn udp(at: &str) -> Socket {
    let at = address(at);
    let socket = socket(at, Type::DGRAM, Protocol::UDP);
    socket.bind(&at.into()).unwrap();
    socket
}

/// Takes the next connection, which must be there or come soon.
pub(super) fn accept(listener: &Socket) -> (Socket, SocketAddr) {
    let (socket, peer) = listener.accept().unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    (socket, peer.as_socket().unwrap())
}

/// The destination that the kernel remembers of a redirected connection.
pub(super) fn original(socket: &Socket) -> SocketAddr {
    let local = socket.local_addr().unwrap().as_socket().unwrap();
    let original = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    original.unwrap().as_socket().unwrap()
}
