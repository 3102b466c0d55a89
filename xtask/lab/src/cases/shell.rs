//! Servers that speak first.

use std::fs;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use mesh_lab::User;

use super::support::{dial, folder, same, serving};
use crate::mesh::{Mesh, Port, Seen};
use crate::tools::{Tools, system};

pub(super) fn smtp(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("mail", &[Port::undeclared(25)])?;
    let script = tools.script("mail.py");
    let mut running = serving(server.program(&tools.python).arg(&script).args(["serve", "25"]), &server, 25)?;
    let client = mesh.member("client", &[])?;
    let printed = client.program(&tools.python).arg(&script).args(["send", "mail", "25"]).output()?;
    let bytes = printed.trim().strip_prefix("ok ").with_context(|| printed.clone())?;
    running.prints(&format!("from a@lab.test to b@lab.test,c@lab.test: {bytes}"))?;
    client.reached(&server, Seen { protocol: "tcp", count: 1 })
}

/// OpenSSH's server, as root where root is root: it changes to the user who logs in, which no user namespace of one user allows.
/// There, the version that it says first is read.
pub(super) fn ssh(tools: &Tools) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("shell", &[Port::undeclared(22)])?;
    let client = mesh.member("client", &[])?;
    let keys = folder(&mesh, "ssh")?;
    let [host_key, user_key] = ["host", "user"].map(|name| keys.join(name));
    for path in [&host_key, &user_key] {
        let keygen = server.pod.program_as(User::Root, system("ssh-keygen")?);
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).output()?;
    }
    let config = keys.join("config");
    let known = fs::read_to_string(host_key.with_extension("pub")).context("read the server's key")?;
    fs::write(keys.join("known"), format!("shell {known}")).context("write the known hosts")?;
    let text = format!(
        "Port 22\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin yes\nStrictModes no\nUsePAM no\nUseDNS no\nPidFile none\n\
        PasswordAuthentication no\n",
        host_key.display(),
        user_key.with_extension("pub").display()
    );
    fs::write(&config, text).context("write the server's configuration")?;
    // Where the server puts itself before a user is known; Debian makes it when the system starts.
    let prepare = "mount -t tmpfs -o mode=755 run /run && mkdir /run/sshd && exec \"$@\"";
    let program = server.pod.program_as(User::Root, "unshare").args(["--mount", "sh", "-c", prepare, "sh"]);
    let sshd = program.arg(system("sshd")?).args(["-D", "-e", "-f"]).arg(&config);
    let _running = serving(sshd, &server, 22)?;
    let ssh = client
        .pod
        .program_as(User::Root, system("ssh")?)
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=20",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
        ])
        .arg(format!("UserKnownHostsFile={}", keys.join("known").display()))
        .arg("-i")
        .arg(&user_key)
        .args(["root@shell", "seq 1 20000 | tail -1"]);
    if mesh.network.node().has_all_users() {
        let printed = ssh.output()?;
        same(&printed, "20000\n")?;
    } else {
        let version = client.pod.inside(|| {
            let mut version = [0; 15];
            dial("shell", 22)?.read_exact(&mut version)?;
            Ok(String::from_utf8_lossy(&version).into_owned())
        })?;
        same(&version, "SSH-2.0-OpenSSH")?;
    }
    client.reached(&server, Seen { protocol: "tcp", count: 1 })
}
