//! Numbers as text, without allocating.

/// Writes a decimal number.
pub(super) fn decimal(out: &mut Vec<u8>, value: u64) {
    digits(out, value, 10);
}

/// Writes a hexadecimal number.
pub(super) fn hexadecimal(out: &mut Vec<u8>, value: u64) {
    digits(out, value, 16);
}

fn digits(out: &mut Vec<u8>, value: u64, base: u64) {
    let start = out.len();
    let mut rest = value;
    loop {
        let digit = u8::try_from(rest % base).unwrap_or_default();
        out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    if let Some(written) = out.get_mut(start..) {
        written.reverse();
    }
}
