//! The saved state as a file: read at the start, written by one task that does nothing else. It must not know what is in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_lifecycle::Tasks;
use tokio::sync::mpsc;

use super::status::Status;
use crate::config::Keep;
use crate::state::MAX_BYTES;

/// The file in the folder.
const NAME: &str = "state";

/// What the task is to do.
pub(super) enum Job {
    /// Keep these bytes, which hold as of then (Unix milliseconds).
    Write(Vec<u8>, u64),
    /// What is kept still holds as of then.
    Renew(u64),
    /// Keep nothing: what was kept does not hold any more.
    Remove,
}

/// A state that was found.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    /// As of when it held.
    pub(super) as_of_ms: u64,
}

/// Begins to keep what it is told. A job that finds the task busy is refused, and its sender comes again.
pub(super) fn spawn(keep: &Keep, status: Arc<Status>, tasks: &Tasks) -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel(1);
    let dir = keep.dir.clone();
    tasks.keep("saved state", jobs, move |jobs: &mut mpsc::Receiver<Job>, _| {
        let (dir, status) = (dir.clone(), Arc::clone(&status));
        Box::pin(async move {
            while let Some(job) = jobs.recv().await {
                let dir = dir.clone();
                // A join fails when the runtime ends, or by a panic, which has been logged.
                let done = tokio::task::spawn_blocking(move || carry_out(&dir, job)).await;
                if let Ok(Err(error)) = done {
                    status.saved_failed();
                    tracing::warn!(%error, "the configuration could not be saved for a restart");
                }
            }
        })
    });
    sender
}

fn carry_out(dir: &Path, job: Job) -> io::Result<()> {
    let path = dir.join(NAME);
    match job {
        Job::Write(bytes, as_of_ms) => write_whole(&path, &bytes, as_of_ms),
        Job::Renew(as_of_ms) => renew(&File::options().write(true).open(path)?, as_of_ms),
        Job::Remove => remove(&path),
    }
}

/// Beside it, then renamed: whoever reads finds the old one or the new one, whole.
fn write_whole(path: &Path, bytes: &[u8], as_of_ms: u64) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let beside = path.with_extension("new");
    remove(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    renew(&file, as_of_ms)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

/// The time of its last change says as of when it holds.
fn renew(file: &File, as_of_ms: u64) -> io::Result<()> {
    file.set_modified(UNIX_EPOCH + Duration::from_millis(as_of_ms))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What was kept; None: nothing. The error says why it is not to be used.
pub(super) async fn load(keep: &Keep) -> Result<Option<Found>, String> {
    let (path, expires) = (keep.dir.join(NAME), keep.expires);
    let loaded = tokio::task::spawn_blocking(move || read(&path, expires, SystemTime::now())).await;
    loaded.unwrap_or_else(|error| Err(error.to_string()))
}

fn read(path: &Path, expires: Duration, now: SystemTime) -> Result<Option<Found>, String> {
    // Looked at before it is opened: a pipe would be waited for.
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        about => about.map_err(|error| error.to_string())?,
    };
    if !about.is_file() || about.permissions().mode() & 0o077 != 0 {
        return Err("it is not a file for this user alone".to_owned());
    }
    let as_of = about.modified().map_err(|error| error.to_string())?;
    // A clock that was set back makes it as old as can be told.
    let age = now.duration_since(as_of).unwrap_or_default();
    if age > expires {
        return Err(format!("it is {} h old", age.as_secs() / 3600));
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err("it is too large".to_owned());
    }
    let as_of_ms = as_of.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Ok(Some(Found { bytes, as_of_ms: u64::try_from(as_of_ms).unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now_ms() -> u64 {
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
    }

    #[test]
    fn a_file_is_written_whole_for_its_owner_alone_and_says_as_of_when_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("deep/state");
        let as_of = now_ms() - 5_000;
        carry_out(&dir, Job::Write(b"one".to_vec(), as_of)).unwrap();
        // What a crash left behind does not stand in the way.
        fs::write(dir.join("state.new"), "half").unwrap();
        carry_out(&dir, Job::Write(b"two".to_vec(), as_of)).unwrap();
        let path = dir.join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let found = read(&path, DAY, SystemTime::now()).unwrap().unwrap();
        assert_eq!((found.bytes.as_slice(), found.as_of_ms), (b"two".as_slice(), as_of));
        carry_out(&dir, Job::Renew(as_of + 1_000)).unwrap();
        assert_eq!(read(&path, DAY, SystemTime::now()).unwrap().unwrap().as_of_ms, as_of + 1_000);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else stays");
        carry_out(&dir, Job::Remove).unwrap();
        carry_out(&dir, Job::Remove).unwrap();
        assert!(read(&path, DAY, SystemTime::now()).unwrap().is_none());
    }

    #[test]
    fn what_is_old_or_open_to_others_or_too_large_is_refused_with_the_reason() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        let why = |expires| read(&path, expires, SystemTime::now()).err().unwrap();
        carry_out(place.path(), Job::Write(b"one".to_vec(), now_ms() - 7_200_000)).unwrap();
        assert_eq!(why(Duration::from_hours(1)), "it is 2 h old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(why(DAY), "it is not a file for this user alone");
        carry_out(place.path(), Job::Write(vec![0; MAX_BYTES + 1], now_ms())).unwrap();
        assert_eq!(why(DAY), "it is too large");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(why(DAY), "it is not a file for this user alone");
    }

    #[test]
    fn a_failed_write_leaves_the_former_state() {
        let place = tempfile::tempdir().unwrap();
        carry_out(place.path(), Job::Write(b"one".to_vec(), now_ms())).unwrap();
        // The file beside it cannot be made: a folder is in its place.
        fs::create_dir(place.path().join("state.new")).unwrap();
        assert!(carry_out(place.path(), Job::Write(b"two".to_vec(), now_ms())).is_err());
        let found = read(&place.path().join(NAME), DAY, SystemTime::now()).unwrap().unwrap();
        assert_eq!(found.bytes, b"one");
    }
}
