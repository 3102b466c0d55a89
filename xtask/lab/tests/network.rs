//! The lab itself: what it promises to the tests that use it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_lab::{Families, Limits, Network, Pod, Shape, User, enter, folder, in_a_lab};

/// A test in a lab of its own.
macro_rules! lab_tests {
    ($($(#[$about:meta])* fn $name:ident() $body:block)*) => {
        $($(#[$about])* #[test] fn $name() {
            let result = in_a_lab(concat!(module_path!(), "::", stringify!($name)), || $body);
            if let Err(error) = result { panic!("{error:#}") }
        })*
    };
}

const PATIENCE: Duration = Duration::from_secs(20);

/// What `server` answers to `client`, which shows from where it was asked.
fn greeting(client: &Pod, server: &Pod, ip: IpAddr) -> Result<String> {
    let listener = server.inside(move || Ok(TcpListener::bind((ip, 80))?))?;
    let at = listener.local_addr()?;
    let serving = server.beside(move || {
        let (mut stream, peer) = listener.accept()?;
        write!(stream, "hello {}", peer.ip())?;
        Ok(())
    });
    let text = client.inside(move || {
        let mut text = String::new();
        connect(at)?.read_to_string(&mut text)?;
        Ok(text)
    })?;
    serving.join().map_err(|_| anyhow::anyhow!("the server has panicked"))??;
    Ok(text)
}

fn connect(at: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE).with_context(|| format!("connect to {at}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

lab_tests! {
    fn two_pods_reach_each_other_over_both_families() {
        let (_network, client, server) = Network::two_pods(Families::Dual)?;
        ensure!(server.addresses().count() == 2, "a dual-stack pod has two addresses");
        for (ip, own) in server.addresses().zip(client.addresses()) {
            ensure!(greeting(&client, &server, ip)? == format!("hello {own}"));
        }
        Ok(())
    }

    fn a_network_of_one_family_has_no_address_of_the_other() {
        let (_network, client, server) = Network::two_pods(Families::V6)?;
        ensure!(server.addresses().all(|ip| ip.is_ipv6()));
        ensure!(greeting(&client, &server, server.address())? == format!("hello {}", client.address()));
        let v4 = SocketAddr::from(([10, 77, 0, 3], 80));
        ensure!(client.inside(move || Ok(TcpStream::connect_timeout(&v4, PATIENCE).is_err()))?);
        Ok(())
    }

    fn an_address_that_nobody_has_is_refused_at_once() {
        let (network, client, _server) = Network::two_pods(Families::Dual)?;
        for ip in network.families().virtual_addresses(9) {
            let error = client.inside(move || Ok(TcpStream::connect_timeout(&SocketAddr::new(ip, 80), PATIENCE).err()))?;
            let kind = error.context("nobody is there, and yet somebody answered")?.kind();
            ensure!(kind == std::io::ErrorKind::HostUnreachable || kind == std::io::ErrorKind::NetworkUnreachable, "{kind}");
        }
        Ok(())
    }

    fn a_program_runs_in_its_pod_as_whom_it_was_told() {
        let (_network, client, _server) = Network::two_pods(Families::Dual)?;
        ensure!(client.program("id").arg("-u").output()?.trim() == "1000");
        ensure!(client.program_as(User::Root, "id").arg("-u").output()?.trim() == "0");
        let links = client.program("cat").arg("/proc/self/net/dev").output()?;
        ensure!(links.contains("eth0") && !links.contains("mesh0"), "{links}");
        let failed = client.program("sh").args(["-c", "echo why >&2; exit 3"]).output();
        let text = format!("{:#}", failed.err().context("exit code 3 is no success")?);
        ensure!(text.contains("why") && text.contains("exit status: 3"), "{text}");
        Ok(())
    }

    fn a_program_ends_with_its_value() {
        let (_network, client, _server) = Network::two_pods(Families::Dual)?;
        let program = client.program("sleep").arg("1000").start()?;
        let place = format!("/proc/{}", program.pid());
        ensure!(Path::new(&place).exists());
        drop(program);
        ensure!(!Path::new(&place).exists());
        Ok(())
    }

    fn small_packets_carry_large_messages() {
        let (network, client, server) = Network::two_pods(Families::Dual)?;
        network.shape(&server, Shape { mtu: Some(1280), ..Shape::default() })?;
        for (ip, own) in server.addresses().zip(client.addresses()) {
            ensure!(greeting(&client, &server, ip)? == format!("hello {own}"));
        }
        let at = SocketAddr::new(server.address(), 81);
        let listener = server.inside(move || Ok(TcpListener::bind(at)?))?;
        let mss = client.inside(move || Ok(socket2::SockRef::from(&connect(at)?).tcp_mss()?))?;
        drop(listener);
        ensure!(mss <= 1280 - 40, "segments of {mss} bytes");
        Ok(())
    }

    fn connections_are_forgotten() {
        let (_network, _client, server) = Network::two_pods(Families::Dual)?;
        server.flush_conntrack()
    }
}

/// Everything goes with the lab: the namespaces' files are in its folder, its processes in a table of their own.
#[test]
fn nothing_is_left_of_a_lab() {
    if let Some(folder) = folder() {
        let (_network, client, _server) = Network::two_pods(Families::Dual).unwrap();
        client.program("sh").args(["-c", "sleep 1000 & echo started"]).output().unwrap();
        println!("\nfolder={}", folder.display());
        return;
    }
    let args = ["--exact", "nothing_is_left_of_a_lab", "--nocapture", "--test-threads=1"];
    let outcome = enter(args, Limits { time: PATIENCE }).unwrap();
    let mut lines = outcome.printed.lines();
    let folder = lines.find_map(|line| line.strip_prefix("folder=")).expect(&outcome.printed).to_owned();
    assert!(!Path::new(&folder).exists(), "{folder}");
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(&folder));
    let marker = format!("MESH_LAB={folder}");
    let left = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        fs::read(entry.path().join("environ"))
            .is_ok_and(|all| String::from_utf8_lossy(&all).contains(&marker))
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_lab_that_takes_too_long_is_ended() {
    if folder().is_some() {
        std::process::Command::new("sleep").arg("1000").status().unwrap();
        return;
    }
    let args = ["--exact", "a_lab_that_takes_too_long_is_ended", "--test-threads=1"];
    let outcome = enter(args, Limits { time: Duration::from_secs(1) }).unwrap();
    assert!(outcome.status.is_none());
}
