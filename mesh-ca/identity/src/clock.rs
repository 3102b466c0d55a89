//! What a clock that is wrong does to certificates, in words that name the clock. Pure: time is an argument.
//!
//! A clock that is off by less than the authority backdates its certificates goes unnoticed; one that is off by more finds certificates that do
//! not hold yet, or not any more, and says "expired" of what is fine everywhere else.

use crate::svid::Svid;

/// A certificate that was signed this moment and does not hold by the clock of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockOff {
    /// It holds later.
    #[error(
        "by the clock of this machine it begins to hold in {by} s: the clock is behind the authority's; set it right"
    )]
    Behind {
        /// At least so many seconds.
        by: u64,
    },
    /// It held before.
    #[error(
        "by the clock of this machine it ended {by} s ago: the clock is ahead of the authority's; set it right"
    )]
    Ahead {
        /// At least so many seconds.
        by: u64,
    },
}

/// Whether a certificate that was signed this moment holds now (Unix seconds).
pub(crate) fn holds(svid: &Svid, now: u64) -> Result<(), ClockOff> {
    if now < svid.not_before {
        return Err(ClockOff::Behind { by: svid.not_before - now });
    }
    if now >= svid.not_after {
        return Err(ClockOff::Ahead { by: now - svid.not_after });
    }
    Ok(())
}

/// The reason why a handshake failed, with a hint where a wrong clock would look like that.
pub(crate) fn hinted(reason: String) -> String {
    let looks_so =
        ["not valid yet", "certificate expired", "expired"].iter().any(|sign| reason.contains(sign));
    if looks_so {
        format!("{reason}; compare the clock of this machine with the authority's")
    } else {
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    // T51
    #[test]
    fn a_clock_that_is_off_by_less_than_certificates_are_backdated_goes_unnoticed_and_any_other_is_named() {
        let key = crate::key::MemberKey::generate().unwrap();
        let ca = TestCa::new("mesh.test");
        let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_000);
        let signed = ca.sign(&key, &["spiffe://mesh.test/ns/shop/sa/cart"], end);
        // As the authority makes them: backdated by a minute, for an hour.
        let now = 1_900_000_000;
        let svid = Svid { not_before: now - 60, not_after: now + 3600, ..signed };
        for (off, wanted) in [
            (0, Ok(())),
            (45, Ok(())),
            (-45, Ok(())),
            (600, Ok(())),
            (-600, Err(ClockOff::Behind { by: 540 })),
            (3600, Err(ClockOff::Ahead { by: 0 })),
            (400 * 86_400, Err(ClockOff::Ahead { by: 400 * 86_400 - 3600 })),
            (-400 * 86_400, Err(ClockOff::Behind { by: 400 * 86_400 - 60 })),
        ] {
            assert_eq!(holds(&svid, now.saturating_add_signed(off)), wanted, "{off} s");
        }
        assert!(ClockOff::Ahead { by: 7 }.to_string().contains("clock"));
    }

    // T51
    #[test]
    fn a_handshake_that_fails_as_with_a_wrong_clock_says_so() {
        for (reason, hint) in [
            ("invalid peer certificate: certificate not valid yet: verification time 7", true),
            ("invalid peer certificate: certificate expired: verification time 9", true),
            ("connection refused", false),
        ] {
            let hinted = hinted(reason.to_owned());
            assert!(hinted.starts_with(reason));
            assert_eq!(hinted.contains("clock"), hint, "{hinted}");
        }
    }
}
