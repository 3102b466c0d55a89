//! Whether connections are open in this network namespace. It must not know rules.

use std::fs;

/// As the kernel numbers states (include/net/tcp_states.h), in hexadecimal.
const ESTABLISHED: &str = "01";

/// Whether there is an open connection that is not one over the loopback network. What cannot be read counts as one.
pub(super) fn any() -> bool {
    ["tcp", "tcp6"].into_iter().any(|family| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{family}"));
        // Without IPv6 there is no such file.
        text.map_or(family == "tcp", |text| listed(&text))
    })
}

/// Whether the kernel's list has one.
fn listed(text: &str) -> bool {
    text.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        state == Some(ESTABLISHED) && !local.is_some_and(is_loopback)
    })
}

/// Of addresses as they are written there: words of four bytes in the order of this machine.
fn is_loopback(address: &str) -> bool {
    let Some((address, _)) = address.split_once(':') else { return false };
    let words: Option<Vec<[u8; 4]>> = address
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    matches!(
        words.as_deref(),
        Some(
            [[127, ..]]
                | [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 255, 255], [127, ..]]
                | [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn word(bytes: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(bytes))
    }

    #[test]
    fn an_open_connection_is_seen_and_nothing_else_counts() {
        let v4 = |bytes, state| format!("{HEAD}   0: {}:1F90 0200090A:D431 {state} 00000000\n", word(bytes));
        let v6 = |words: [[u8; 4]; 4], state| {
            format!("{HEAD}   0: {}:1F90 00:0000 {state} 0\n", words.map(word).concat())
        };
        let mapped = [[0; 4], [0; 4], [0, 0, 255, 255], [127, 0, 0, 1]];
        let one = [[0; 4], [0; 4], [0; 4], [0, 0, 0, 1]];
        for (text, expected) in [
            (HEAD.to_owned(), false),
            (v4([10, 9, 0, 1], "01"), true),
            (v4([10, 9, 0, 1], "0A"), false),
            (v4([127, 0, 0, 1], "01"), false),
            (v6(mapped, "01"), false),
            (v6(one, "01"), false),
            (v6([[0xfd, 0, 0, 0], [0; 4], [0; 4], [0, 0, 0, 1]], "01"), true),
            (v6([[0; 4], [0; 4], [0; 4], [0, 0, 0, 2]], "06"), false),
        ] {
            assert_eq!(listed(&text), expected, "{text}");
        }
    }
}
