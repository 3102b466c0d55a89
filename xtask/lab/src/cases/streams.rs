//! Long streams: every byte that was sent arrives, once and in order, whatever the way is like.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{Context, Digest, SHA256};
use mesh_lab::Shape;

use super::support::{PATIENCE, dial, joined};
use crate::mesh::{Mesh, Port, Seen};
use crate::run::note;
use crate::tools::Tools;

const PORT: u16 = 9000;
const MEGABYTE: u64 = 1_000_000;
const GIGABYTE: u64 = 1000 * MEGABYTE;
/// A prime: blocks never fall on the edges of buffers, packets or records.
const BLOCK: usize = 65_537;
/// The longest piece of a stream that is sent in slices.
const SLICE: usize = 3000;

/// How the sender cuts what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Blocks,
    Slices,
}

pub(super) fn one_gigabyte(tools: &Tools) -> Result<()> {
    both_ways(tools, GIGABYTE, Cut::Blocks, Shape::default())
}

pub(super) fn narrow(tools: &Tools) -> Result<()> {
    both_ways(tools, GIGABYTE, Cut::Slices, Shape { megabits: Some(2000), ..Shape::default() })
}

pub(super) fn lossy(tools: &Tools) -> Result<()> {
    both_ways(tools, 50 * MEGABYTE, Cut::Slices, Shape { loss_percent: Some(5), ..Shape::default() })
}

pub(super) fn lossy_gigabyte(tools: &Tools) -> Result<()> {
    both_ways(tools, GIGABYTE, Cut::Slices, Shape { loss_percent: Some(5), ..Shape::default() })
}

pub(super) fn small_packets(tools: &Tools) -> Result<()> {
    let shape = Shape { mtu: Some(600), ..Shape::default() };
    both_ways(tools, GIGABYTE, Cut::Blocks, shape)
}

/// The server hashes what comes until its end and then sends as much itself; each side's hash is compared with the other's.
fn both_ways(tools: &Tools, bytes: u64, cut: Cut, shape: Shape) -> Result<()> {
    let mut mesh = Mesh::up(tools)?;
    let server = mesh.member("sink", &[Port::undeclared(PORT)])?;
    let client = mesh.member("client", &[])?;
    let listener = server.pod.inside(|| Ok(TcpListener::bind(("::", PORT))?))?;
    mesh.network.shape(&server.pod, shape)?;
    let serving = server.pod.beside(move || {
        let (mut stream, _) = listener.accept()?;
        patient(&stream)?;
        let up = hash_all(&mut stream)?;
        let down = send(&mut stream, bytes, cut, 2)?;
        Ok((up, down))
    });
    let start = Instant::now();
    let (up, down) = client.pod.inside(|| {
        let mut stream = dial("sink", PORT)?;
        patient(&stream)?;
        let up = send(&mut stream, bytes, cut, 1)?;
        stream.shutdown(Shutdown::Write)?;
        let down = hash_all(&mut stream)?;
        Ok((up, down))
    })?;
    let took = start.elapsed().as_secs_f64();
    let (server_up, server_down) = joined(serving)?;
    ensure!(up.as_ref() == server_up.as_ref(), "what the client sent is not what the server got");
    ensure!(down.as_ref() == server_down.as_ref(), "what the server sent is not what the client got");
    let megabytes = bytes / MEGABYTE;
    note(&format!("{megabytes} MB each way in {took:.1} s: {:.0} MB/s", 2.0 * bytes as f64 / 1e6 / took));
    client.reached(&server, Seen { protocol: "tcp", count: 1 })
}

/// A stalled stream is an error, not a test that hangs.
fn patient(stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE)).context("bound the waiting")
}

/// Sends so many bytes that nobody could guess, and gives their hash.
fn send(to: &mut impl Write, bytes: u64, cut: Cut, seed: u64) -> Result<Digest> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut block = vec![0; BLOCK];
    let mut hash = Context::new(&SHA256);
    let mut left = bytes;
    while left > 0 {
        // A few fresh bytes make each block another one; making all of them would cost more than the proxies.
        for _ in 0..64 {
            let place = chance.usize(..BLOCK);
            if let Some(byte) = block.get_mut(place) {
                *byte = chance.u8(..);
            }
        }
        let length = usize::try_from(left.min(BLOCK as u64))?;
        let part = block.get(..length).context("a block is as long as it is")?;
        hash.update(part);
        match cut {
            Cut::Blocks => to.write_all(part)?,
            Cut::Slices => sliced(to, part, &mut chance)?,
        }
        left -= length as u64;
    }
    Ok(hash.finish())
}

fn sliced(to: &mut impl Write, mut part: &[u8], chance: &mut fastrand::Rng) -> Result<()> {
    while !part.is_empty() {
        let (slice, rest) = part.split_at(chance.usize(1..=SLICE).min(part.len()));
        to.write_all(slice)?;
        part = rest;
    }
    Ok(())
}

fn hash_all(from: &mut impl Read) -> Result<Digest> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = from.read(&mut buffer).context("read the stream")?;
        if count == 0 {
            return Ok(hash.finish());
        }
        hash.update(buffer.get(..count).context("no more is read than fits")?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_hashed_however_it_is_cut() {
        for cut in [Cut::Blocks, Cut::Slices] {
            let mut sent = Vec::new();
            let hash = send(&mut sent, 200_000, cut, 7).unwrap();
            assert_eq!(sent.len(), 200_000);
            assert_eq!(hash_all(&mut sent.as_slice()).unwrap().as_ref(), hash.as_ref());
        }
    }

    #[test]
    fn one_wrong_byte_is_seen() {
        let mut sent = Vec::new();
        let hash = send(&mut sent, 1000, Cut::Blocks, 7).unwrap();
        sent[500] ^= 1;
        assert_ne!(hash_all(&mut sent.as_slice()).unwrap().as_ref(), hash.as_ref());
    }
}
