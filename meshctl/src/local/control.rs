//! What `meshctl` and the watcher of a command say to each other, a line each, over a socket that the watcher inherits.
//! It must not know what either does about it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

/// Longer than any line; a reason of the system is a sentence.
const MAX_LINE: u64 = 4096;

/// What the watcher says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The command's surroundings are there; it starts when told to.
    Prepared,
    /// They cannot be made.
    Impossible(String),
    /// The command runs, and still does not take connections or is not ready.
    Waiting(String),
    /// Every port takes connections, and its own check, if there is one, says yes.
    Open,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepared => write!(f, "prepared"),
            Self::Impossible(why) => write!(f, "impossible {}", one_line(why)),
            Self::Waiting(what) => write!(f, "waiting {}", one_line(what)),
            Self::Open => write!(f, "open"),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Said {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match word {
            "prepared" => Some(Self::Prepared),
            "impossible" => Some(Self::Impossible(rest.to_owned())),
            "waiting" => Some(Self::Waiting(rest.to_owned())),
            "open" => Some(Self::Open),
            _ => None,
        }
    }
}

const GO: &[u8] = b"go\n";

/// The end of `meshctl`.
#[derive(Debug)]
pub(crate) struct Control {
    stream: tokio::io::BufReader<tokio::net::UnixStream>,
    line: Vec<u8>,
}

/// The end that the watcher gets, until it has it.
#[derive(Debug)]
pub(crate) struct Inherited(UnixStream);

/// Both ends.
pub(crate) fn pair() -> io::Result<(Control, Inherited)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let stream = tokio::io::BufReader::new(tokio::net::UnixStream::from_std(ours)?);
    Ok((Control { stream, line: Vec::new() }, Inherited(theirs)))
}

impl Inherited {
    /// The number that the watcher knows it by.
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Calls `spawn` while a child inherits it. Nothing else may start a process meanwhile: this is not async.
    pub(crate) fn during<T>(self, spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        fcntl_setfd(&self.0, fcntl_getfd(&self.0)? - FdFlags::CLOEXEC)?;
        spawn()
    }
}

impl Control {
    /// The next thing that the watcher says; None once it is gone. Cancel-safe: what was read of a line is kept.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        let left = MAX_LINE.saturating_sub(self.line.len() as u64);
        let read = (&mut self.stream).take(left).read_until(b'\n', &mut self.line).await.ok()?;
        if read == 0 || self.line.last() != Some(&b'\n') {
            return None;
        }
        let line = std::mem::take(&mut self.line);
        Said::parse(&String::from_utf8_lossy(&line))
    }

    /// Lets the command start. Four bytes always fit into the socket.
    pub(crate) fn go(&self) -> io::Result<()> {
        let written = self.stream.get_ref().try_write(GO)?;
        if written == GO.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// The watcher's end.
#[derive(Debug)]
pub(crate) struct Voice(UnixStream);

impl Voice {
    /// Says it. Whoever does not listen any more needs no answer.
    pub(crate) fn say(&self, what: &Said) {
        (&self.0).write_all(format!("{what}\n").as_bytes()).ok();
    }

    /// Waits until the command may start; false: never.
    pub(crate) fn may_go(&self) -> bool {
        let mut line = Vec::new();
        BufReader::new(&self.0).read_until(b'\n', &mut line).is_ok() && line == GO
    }
}

impl From<OwnedFd> for Voice {
    /// Whoever we start does not inherit it.
    fn from(fd: OwnedFd) -> Self {
        if let Err(error) = fcntl_setfd(&fd, FdFlags::CLOEXEC) {
            tracing::warn!(%error, "the command inherits a socket of its watcher");
        }
        Self(fd.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for said in [
            Said::Prepared,
            Said::Impossible("it is not allowed; allow it".into()),
            Said::Waiting("it does not listen on port 80".into()),
            Said::Open,
        ] {
            assert_eq!(Said::parse(&format!("{said}\n")), Some(said));
        }
        assert_eq!(Said::Waiting("two\nlines".into()).to_string(), "waiting two lines");
        assert_eq!(Said::parse("nonsense"), None);
    }

    #[tokio::test]
    async fn a_watcher_waits_for_go_and_is_heard_until_it_is_gone() {
        let (mut control, theirs) = pair().unwrap();
        let voice = Voice(theirs.0);
        voice.say(&Said::Prepared);
        assert_eq!(control.next().await, Some(Said::Prepared));
        control.go().unwrap();
        assert!(voice.may_go());
        voice.say(&Said::Open);
        drop(voice);
        assert_eq!(control.next().await, Some(Said::Open));
        assert_eq!(control.next().await, None);
    }

    #[tokio::test]
    async fn a_watcher_whose_meshctl_is_gone_starts_nothing() {
        let (control, theirs) = pair().unwrap();
        drop(control);
        assert!(!Voice(theirs.0).may_go());
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_kept() {
        let (mut control, theirs) = pair().unwrap();
        std::thread::spawn(move || (&theirs.0).write_all(&vec![b'x'; 100_000]).ok());
        assert_eq!(control.next().await, None);
    }
}
