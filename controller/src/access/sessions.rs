//! Who is signed in to the dashboard: tickets that are good once, and sessions that end by themselves. Pure but for [`Desk`], which adds
//! chance and a lock. Secrets are kept as digests. It must not know HTTP or how somebody proved who they are.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Most tickets that wait to be used.
pub const MAX_TICKETS: usize = 16;
/// Most sessions.
pub const MAX_SESSIONS: usize = 64;
/// A ticket is good for so long.
pub const TICKET_SECONDS: u32 = 60;
/// A session of who showed a ticket ends after this; who has one may make another at any time.
const BY_TICKET_MS: u64 = 8 * 3600 * 1000;
/// A session of who showed a token: whoever loses the right is out after this at the latest.
const BY_TOKEN_MS: u64 = 3600 * 1000;
/// Bytes of chance in a secret.
const SECRET: usize = 32;

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A ticket that `meshctl` got over mutual TLS.
    Ticket,
    /// A token that the API server knows.
    Token,
}

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// `meshctl`, or whom the API server says a token is of.
    pub name: String,
    /// How that is known.
    pub proof: Proof,
    /// When the session ends, Unix milliseconds.
    pub until_ms: u64,
}

/// Proof, for the rest of the controller, that a question comes from a session. Only a session makes one.
#[derive(Debug, Clone)]
pub struct SignedIn(());

/// What a browser keeps: it has to show both. A cookie goes to every port of a host, the key only where this page is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// For the cookie, which no script reads.
    pub cookie: String,
    /// For a header, which no other page can send.
    pub key: String,
}

type Digest = [u8; 32];

fn hashed(secret: &str) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    out
}

#[derive(Debug)]
struct Session {
    cookie: Digest,
    key: Digest,
    viewer: Viewer,
}

/// What was refused or had to make room, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionCounts {
    /// Sessions now.
    pub sessions: u64,
    /// Tickets that made room before they were used.
    pub tickets_dropped: u64,
    /// Sessions that made room before they ended.
    pub sessions_dropped: u64,
    /// Sign-ins that were refused.
    pub refused: u64,
}

/// Tickets and sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    tickets: VecDeque<(Digest, u64)>,
    sessions: VecDeque<Session>,
    counts: SessionCounts,
}

impl Sessions {
    /// Remembers a ticket. The oldest makes room.
    pub fn issue(&mut self, ticket: &str, now_ms: u64) {
        self.expire(now_ms);
        if self.tickets.len() >= MAX_TICKETS {
            self.tickets.pop_front();
            self.counts.tickets_dropped += 1;
        }
        self.tickets.push_back((hashed(ticket), now_ms + u64::from(TICKET_SECONDS) * 1000));
    }

    /// Whether that ticket is good; it is not any more.
    pub fn redeem(&mut self, ticket: &str, now_ms: u64) -> bool {
        self.expire(now_ms);
        let wanted = hashed(ticket);
        let before = self.tickets.len();
        self.tickets.retain(|(ticket, _)| *ticket != wanted);
        before > self.tickets.len()
    }

    /// A sign-in failed.
    pub fn refused(&mut self) {
        self.counts.refused += 1;
    }

    /// Opens a session. The oldest makes room.
    pub fn open(&mut self, pass: &Pass, name: String, proof: Proof, now_ms: u64) -> Viewer {
        self.expire(now_ms);
        if self.sessions.len() >= MAX_SESSIONS {
            self.sessions.pop_front();
            self.counts.sessions_dropped += 1;
        }
        let lasts = match proof {
            Proof::Ticket => BY_TICKET_MS,
            Proof::Token => BY_TOKEN_MS,
        };
        let viewer = Viewer { name, proof, until_ms: now_ms + lasts };
        let (cookie, key) = (hashed(&pass.cookie), hashed(&pass.key));
        self.sessions.push_back(Session { cookie, key, viewer: viewer.clone() });
        viewer
    }

    /// Whose session that is.
    pub fn viewer(&mut self, pass: &Pass, now_ms: u64) -> Option<Viewer> {
        self.expire(now_ms);
        let (cookie, key) = (hashed(&pass.cookie), hashed(&pass.key));
        let found = self.sessions.iter().find(|one| one.cookie == cookie && one.key == key);
        found.map(|one| one.viewer.clone())
    }

    /// Ends a session.
    pub fn close(&mut self, pass: &Pass) {
        let (cookie, key) = (hashed(&pass.cookie), hashed(&pass.key));
        self.sessions.retain(|one| one.cookie != cookie || one.key != key);
    }

    fn expire(&mut self, now_ms: u64) {
        self.tickets.retain(|(_, until)| *until > now_ms);
        self.sessions.retain(|one| one.viewer.until_ms > now_ms);
    }

    fn counts(&self) -> SessionCounts {
        SessionCounts { sessions: self.sessions.len() as u64, ..self.counts }
    }
}

/// Without secrets nobody can sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoChance;

/// The handle that tasks share.
#[derive(Debug, Clone)]
pub struct Desk {
    address: SocketAddr,
    sessions: Arc<Mutex<Sessions>>,
}

impl Desk {
    /// Of a dashboard that is served there.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sessions: Arc::default() }
    }

    /// Where the dashboard is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A ticket, for who proved to be allowed to inspect.
    pub fn ticket(&self, now_ms: u64) -> Result<String, NoChance> {
        let ticket = secret()?;
        self.sessions().issue(&ticket, now_ms);
        Ok(ticket)
    }

    /// Takes a ticket for a session; `None`: it is not good (any more).
    pub fn redeem(&self, ticket: &str, now_ms: u64) -> Result<Option<(Pass, Viewer)>, NoChance> {
        let pass = pass()?;
        let mut sessions = self.sessions();
        if !sessions.redeem(ticket, now_ms) {
            sessions.refused();
            return Ok(None);
        }
        let viewer = sessions.open(&pass, "meshctl".to_owned(), Proof::Ticket, now_ms);
        Ok(Some((pass, viewer)))
    }

    /// A session for who the API server said it is, and that it may look.
    pub fn open(&self, name: String, now_ms: u64) -> Result<(Pass, Viewer), NoChance> {
        let pass = pass()?;
        let viewer = self.sessions().open(&pass, name, Proof::Token, now_ms);
        Ok((pass, viewer))
    }

    /// A sign-in failed.
    pub fn refused(&self) {
        self.sessions().refused();
    }

    /// Whose session that is, with the proof for others.
    pub fn viewer(&self, pass: &Pass, now_ms: u64) -> Option<(Viewer, SignedIn)> {
        self.sessions().viewer(pass, now_ms).map(|viewer| (viewer, SignedIn(())))
    }

    /// Ends a session.
    pub fn close(&self, pass: &Pass) {
        self.sessions().close(pass);
    }

    /// For metrics.
    pub fn counts(&self) -> SessionCounts {
        self.sessions().counts()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Sessions stay whole whatever panicked.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass() -> Result<Pass, NoChance> {
    Ok(Pass { cookie: secret()?, key: secret()? })
}

fn secret() -> Result<String, NoChance> {
    let mut bytes = [0; SECRET];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoChance)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass_of(name: &str) -> Pass {
        Pass { cookie: format!("c-{name}"), key: format!("k-{name}") }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_a_minute() {
        let mut sessions = Sessions::default();
        sessions.issue("a", 0);
        assert!(!sessions.redeem("b", 1));
        assert!(sessions.redeem("a", 1));
        assert!(!sessions.redeem("a", 2), "it was used");
        sessions.issue("c", 0);
        assert!(!sessions.redeem("c", 60_000), "it is too old");
    }

    #[test]
    fn a_session_takes_cookie_and_key_and_ends() {
        let mut sessions = Sessions::default();
        let (one, two) = (pass_of("one"), pass_of("two"));
        sessions.open(&one, "meshctl".into(), Proof::Ticket, 0);
        sessions.open(&two, "ann".into(), Proof::Token, 0);
        assert_eq!(sessions.viewer(&one, 1).unwrap().name, "meshctl");
        let mixed = Pass { cookie: one.cookie.clone(), key: two.key.clone() };
        assert_eq!(sessions.viewer(&mixed, 1), None, "the cookie alone is not enough");
        assert_eq!(sessions.viewer(&two, BY_TOKEN_MS), None, "a token's session is an hour long");
        assert!(sessions.viewer(&one, BY_TOKEN_MS).is_some());
        sessions.close(&one);
        assert_eq!(sessions.viewer(&one, 2), None);
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let mut sessions = Sessions::default();
        for i in 0..=MAX_TICKETS {
            sessions.issue(&i.to_string(), 0);
        }
        assert!(!sessions.redeem("0", 1));
        assert!(sessions.redeem("1", 1));
        for i in 0..=MAX_SESSIONS {
            sessions.open(&pass_of(&i.to_string()), "x".into(), Proof::Ticket, 0);
        }
        assert_eq!(sessions.viewer(&pass_of("0"), 1), None);
        assert!(sessions.viewer(&pass_of("1"), 1).is_some());
        let counts = sessions.counts();
        assert_eq!(
            (counts.sessions, counts.tickets_dropped, counts.sessions_dropped),
            (MAX_SESSIONS as u64, 1, 1)
        );
    }

    #[test]
    fn secrets_differ_and_are_not_kept() {
        let desk = Desk::new(([127, 0, 0, 1], 1).into());
        let (one, two) = (desk.ticket(0).unwrap(), desk.ticket(0).unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 43);
        assert!(!format!("{desk:?}").contains(&one));
        let (pass, _) = desk.redeem(&one, 1).unwrap().unwrap();
        assert!(desk.redeem(&one, 1).unwrap().is_none());
        assert!(desk.viewer(&pass, 2).is_some());
        assert_eq!(desk.counts().refused, 1);
    }
}
