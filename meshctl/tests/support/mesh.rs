//! What the tests of whole meshes share: a folder of their own, the built binary, waiting for states, a plain HTTP
//! client. It must not know what is tested.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far longer than anything takes on a machine at full load; reached only when something is wrong.
pub const DEADLINE: Duration = Duration::from_mins(2);

#[path = "user.rs"]
mod user;

pub use user::User;

/// A folder for meshes, gone at the end.
pub struct Home {
    dir: TempDir,
    mesh: &'static str,
    user: User,
}

impl Home {
    pub fn new(mesh: &'static str) -> Self {
        Self::of(mesh, User::Ourselves)
    }

    /// The same for somebody else.
    pub fn of(mesh: &'static str, user: User) -> Self {
        Self { dir: tempfile::Builder::new().prefix("amime").tempdir().unwrap(), mesh, user }
    }

    /// The folder.
    pub fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// `meshctl` with these arguments, in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.user.binary(self.dir.path()));
        self.user.give(&mut command);
        command.args(["--mesh", self.mesh]).args(args).env("MESH_HOME", self.dir.path());
        command.env_remove("MESH_LOG").env_remove("MESH_PARENT_PID").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts it; it is killed when the handle is dropped. What it says is kept in files.
    pub fn start(&self, name: &str, args: &[&str]) -> Running {
        let file = |kind: &str| self.dir.path().join(format!("{name}.{kind}"));
        let create = |path: &PathBuf| std::fs::File::create(path).unwrap();
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let child = self.command(args).stdout(create(&stdout)).stderr(create(&stderr)).spawn().unwrap();
        Running { child, stdout, stderr }
    }

    /// `mesh.json`, if there is one.
    pub fn state(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.dir.path().join(self.mesh).join("mesh.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The folder that the controller watches.
    pub fn objects(&self) -> PathBuf {
        self.dir.path().join(self.mesh).join("objects")
    }

    /// All logs, for a message about a failure.
    pub fn logs(&self) -> String {
        let logs =
            std::fs::read_dir(self.dir.path().join(self.mesh).join("logs")).into_iter().flatten().flatten();
        let texts = logs.map(|log| {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            format!("--- {}\n{tail}\n", log.file_name().display())
        });
        texts.collect()
    }

    /// Waits until the mesh and everything in it is ready.
    pub async fn ready(&self, running: &mut Running) -> Value {
        let mut ended = None;
        let state = wait_for("the mesh to be ready", async || {
            ended = running.child.try_wait().unwrap();
            let state = self.state()?;
            (state["ready"] == true || ended.is_some()).then_some(state)
        });
        let state = state.await;
        assert!(ended.is_none(), "it ended: {ended:?}: {}\n{}", running.stderr(), self.logs());
        state
    }
}

/// A process of the test.
pub struct Running {
    pub child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Waits for its end and gives the exit code; None when a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        wait_for("the process to end", async || self.child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Asks again and again until there is an answer.
pub async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The process ids that `mesh.json` names, by process name.
pub fn pid_of(state: &Value, name: &str) -> Option<i32> {
    let child = state["children"].as_array()?.iter().find(|child| child["name"] == name)?;
    child["pid"].as_i64()?.try_into().ok()
}

/// How often a process was started again.
pub fn restarts_of(state: &Value, name: &str) -> u64 {
    let children = state["children"].as_array().unwrap();
    children.iter().find(|child| child["name"] == name).unwrap()["restarts"].as_u64().unwrap()
}

/// Whether a process exists; one that only waits to be noticed does not.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// All processes that descend from one.
pub fn descendants(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        }
        next += 1;
    }
    found.remove(0);
    found
}

/// The HTTP proxy of a member of the mesh's own.
pub fn proxy_of(state: &Value, member: &str) -> SocketAddr {
    let members = state["members"].as_array().unwrap();
    let member = members.iter().find(|entry| entry["name"] == member).unwrap();
    member["outbound_proxy"].as_str().unwrap().parse().unwrap()
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
}

/// `GET url` through an HTTP proxy, on a connection of its own.
pub async fn get(proxy: SocketAddr, url: &str) -> std::io::Result<Reply> {
    let call = async {
        let mut stream = TcpStream::connect(proxy).await?;
        // A path alone is asked of the address itself.
        let host = match url.strip_prefix("http://") {
            Some(rest) => rest.split('/').next().unwrap_or_default().to_owned(),
            None => proxy.to_string(),
        };
        let request = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        Ok(Reply { status: status.unwrap_or_default(), text })
    };
    tokio::time::timeout(DEADLINE, call).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// A port that nobody had a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
