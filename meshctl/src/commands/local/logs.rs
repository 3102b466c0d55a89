//! `meshctl local logs`: what the programs wrote.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::time::Duration;

use super::super::Outcome;
use super::{called, roster};
use crate::local::roster::Entry;
use crate::output;

/// Arguments of `meshctl local logs`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Which programs; without one, all
    #[arg(value_name = "NAME[.NAMESPACE]")]
    names: Vec<String>,
    /// Go on with what they write, until all have ended
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,
    /// Of their sidecars instead
    #[arg(long)]
    sidecar: bool,
}

/// Between two looks into a file.
const PACE: Duration = Duration::from_millis(100);
/// Most bytes of a line that are shown as one.
const MAX_LINE: u64 = 64 * 1024;

/// Prints, and goes on printing where that is asked for.
pub(crate) async fn run(args: &Args, mesh: &str) -> anyhow::Result<Outcome> {
    let (paths, roster) = roster(mesh)?;
    let mut entries: Vec<&Entry> = Vec::new();
    for name in &args.names {
        entries.extend(called(&roster, name)?);
    }
    if args.names.is_empty() {
        entries.extend(&roster.entries);
    }
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or_default();
    let mut logs: Vec<Log> = Vec::new();
    for entry in &entries {
        let prefix = if entries.len() == 1 { String::new() } else { format!("{:width$} | ", entry.name) };
        let path = if args.sidecar {
            paths.logs().join(format!("{}-sidecar.log", entry.full_name()))
        } else {
            entry.log.clone()
        };
        logs.push(Log { prefix, path, place: 0 });
    }
    for log in &mut logs {
        log.show(args.tail)?;
    }
    if !args.follow {
        return Ok(Outcome::Fine);
    }
    loop {
        // Asked before the last look, so that nothing is missed.
        let over = !roster.keeper.lives();
        for log in &mut logs {
            log.show(None)?;
        }
        if over {
            return Ok(Outcome::Fine);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// A file that grows.
struct Log {
    prefix: String,
    path: std::path::PathBuf,
    place: u64,
}

impl Log {
    /// Prints what is new, or the last lines of it.
    fn show(&mut self, tail: Option<usize>) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // It has not been started yet, or all have ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.place))?;
        let mut lines = Lines { reader: BufReader::new(file), place: self.place };
        let mut kept = std::collections::VecDeque::new();
        while let Some(line) = lines.next()? {
            match tail {
                None => output::print(&format!("{}{line}", self.prefix)),
                Some(count) => {
                    kept.push_back(line);
                    if kept.len() > count {
                        kept.pop_front();
                    }
                }
            }
        }
        for line in kept {
            output::print(&format!("{}{line}", self.prefix));
        }
        self.place = lines.place;
        Ok(())
    }
}

/// Whole lines of a file, and where they end.
struct Lines {
    reader: BufReader<File>,
    place: u64,
}

impl Lines {
    /// None where there is none, or only the beginning of one.
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = io::Read::take(&mut self.reader, MAX_LINE).read_until(b'\n', &mut bytes)? as u64;
        if read == 0 || (bytes.last() != Some(&b'\n') && read < MAX_LINE) {
            return Ok(None);
        }
        self.place += read;
        if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn half_a_line_is_shown_once_it_is_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let read = |place| {
            let mut opened = File::open(file.path()).unwrap();
            opened.seek(SeekFrom::Start(place)).unwrap();
            let mut lines = Lines { reader: BufReader::new(opened), place };
            let mut all = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                all.push(line);
            }
            (all, lines.place)
        };
        std::fs::write(file.path(), "one\ntw").unwrap();
        assert_eq!(read(0), (vec!["one\n".to_owned()], 4));
        assert_eq!(read(4), (vec![], 4));
        file.as_file_mut().seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"o\n").unwrap();
        let mut opened = File::open(file.path()).unwrap();
        opened.seek(SeekFrom::Start(4)).unwrap();
        let mut lines = Lines { reader: BufReader::new(opened), place: 4 };
        assert_eq!(lines.next().unwrap().as_deref(), Some("two\n"));
    }
}
