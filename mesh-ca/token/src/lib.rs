//! JSON Web Tokens: the keys of an issuer ([`Keys`]), and what a token proves ([`verify()`]). Time is an argument. It must not know where
//! keys come from or in which part of a request a token was.
//!
//! Only asymmetric algorithms, from a list; a key is good for its own algorithms alone, so that nobody signs with a public key as if it
//! were a secret; `exp`, `iss` and `aud` are required; `kid` is a name that is compared and nothing else.
//!
//! Sources: RFC 7515, 7517, 7518, 7519, 8037; RFC 8725 (best current practice).

mod keys;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use keys::{InvalidKeys, Keys, MAX_JWKS_BYTES, MAX_KEYS};
pub use verify::{
    Expected, InvalidToken, LEEWAY, MAX_TOKEN_BYTES, Verified, issuer_of, judge_unproven, unproven, verify,
};
