//! Which process listens on a port, read from `/proc`. It must not fail: what cannot be known is `None`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The name of its program, at most 15 characters (Linux keeps no more).
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// The state `TCP_LISTEN` as `/proc/net/tcp` writes it.
const LISTEN: &str = "0A";

/// Whether somebody in this process's network namespace listens on `addr` or on all addresses with its port. It connects to
/// nobody.
pub fn is_listened_on(addr: SocketAddr) -> bool {
    listener_inode(addr).is_some()
}

fn listener_inode(addr: SocketAddr) -> Option<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, addr))
}

/// The process that listens on `addr` or on all addresses with its port.
pub(super) fn of(addr: SocketAddr) -> Option<Owner> {
    let inode = listener_inode(addr)?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let holds = holds(&process.path().join("fd"), &wanted);
        holds.then(|| Owner { name: name_of(&process.path()), pid })
    })
}

fn holds(fds: &Path, wanted: &str) -> bool {
    let Ok(fds) = fs::read_dir(fds) else { return false };
    fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted))
}

fn name_of(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "?".to_owned() } else { name.to_owned() }
}

/// The inode of the socket in a table in the form of `/proc/net/tcp` (proc(5)).
fn listening_inode(table: &str, addr: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (ip, port) = parse(fields.nth(1)?)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        let same = ip.is_unspecified()
            || addr.ip().is_unspecified()
            || ip.to_canonical() == addr.ip().to_canonical();
        (state == LISTEN && port == addr.port() && same).then_some(inode)
    })
}

/// `0100007F:3A98`: words of the address in the byte order of the machine, port in hexadecimal.
fn parse(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..ip.len() / 8)
        .map(|word| Some(u32::from_str_radix(ip.get(word * 8..word * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let ip = match words?.as_slice() {
        [v4] => Ipv4Addr::from(*v4).into(),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip([a, b, c, d].into_iter().flatten()) {
                *to = *from;
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_line_gives_the_inode_of_its_listener() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0\n   \
            1: 0100007F:3A99 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0\n";
        assert_eq!(listening_inode(table, "127.0.0.1:15000".parse().unwrap()), Some(4242));
        assert_eq!(listening_inode(table, "127.0.0.2:15000".parse().unwrap()), None);
        assert_eq!(listening_inode(table, "127.0.0.1:15001".parse().unwrap()), None, "not a listener");
    }

    #[test]
    fn nonsense_is_no_address() {
        for text in ["", ":", "zz:zz", "0100007F", "01:0050", "0100007F:123456"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
