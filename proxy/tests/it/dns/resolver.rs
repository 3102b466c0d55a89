//! A resolver on a port of its own, over UDP and TCP, that says what a test tells it to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mesh_dns::wire::{self, Answer, Query, rcode};
use mesh_lifecycle::bind;
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::harness::any_port;

/// What is said to a query.
pub(crate) enum Says {
    /// Nothing, ever.
    Nothing,
    /// That there is no such name.
    NoName,
    /// That the server failed.
    Failed,
    /// These bytes.
    Message(Vec<u8>),
    /// These, one after the other.
    Messages(Vec<Vec<u8>>),
    /// These over TCP, and over UDP that there is more.
    OverTcp(Vec<u8>),
    /// A reply from another port, then guesses from the right one; the truth over TCP.
    Attacked { from_elsewhere: Vec<u8>, guesses: Vec<Vec<u8>>, over_tcp: Vec<u8> },
}

type Script = Box<dyn Fn(&[u8]) -> Says + Send>;

pub(crate) struct Resolver {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    script: Script,
    asked: Vec<Vec<u8>>,
}

/// One address for every name.
pub(crate) fn says_address(address: &'static str, ttl: u32) -> impl Fn(&[u8]) -> Says + Send + 'static {
    move |asked| {
        let query = Query::parse(asked).unwrap();
        let addresses = [address.parse().unwrap()];
        Says::Message(wire::answer(asked, &query, &Answer { alias: None, addresses: &addresses, ttl }, 512))
    }
}

impl Resolver {
    pub(crate) async fn start(tasks: &Tasks, script: impl Fn(&[u8]) -> Says + Send + 'static) -> Self {
        let (datagrams, listener) = bind::udp_and_tcp(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { script: Box::new(script), asked: vec![] }));
        let of = Arc::clone(&state);
        let socket = UdpSocket::from_std(datagrams).unwrap();
        tasks.spawn("resolver", async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                by_datagram(&socket, client, &buffer[..length], &of).await;
            }
        });
        let of = Arc::clone(&state);
        let listener = TcpListener::from_std(listener).unwrap();
        tasks.spawn("resolver", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut asked).await.unwrap();
                if let Says::OverTcp(message) | Says::Attacked { over_tcp: message, .. } = say(&of, &asked) {
                    stream.write_u16(u16::try_from(message.len()).unwrap()).await.unwrap();
                    stream.write_all(&message).await.unwrap();
                }
            }
        });
        Self { address, state }
    }

    /// From now on it says this.
    pub(crate) fn now(&self, script: impl Fn(&[u8]) -> Says + Send + 'static) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    /// What it was asked last.
    pub(crate) fn last(&self) -> Option<Vec<u8>> {
        self.state.lock().unwrap().asked.last().cloned()
    }
}

fn say(state: &Mutex<State>, asked: &[u8]) -> Says {
    let mut state = state.lock().unwrap();
    state.asked.push(asked.to_vec());
    (state.script)(asked)
}

async fn by_datagram(socket: &UdpSocket, client: SocketAddr, asked: &[u8], state: &Mutex<State>) {
    let query = Query::parse(asked).unwrap();
    let messages = match say(state, asked) {
        Says::Nothing => vec![],
        Says::NoName => vec![wire::failure(asked, Some(&query), rcode::NO_NAME)],
        Says::Failed => vec![wire::failure(asked, Some(&query), rcode::FAILED)],
        Says::Message(message) => vec![message],
        Says::Messages(messages) => messages,
        Says::OverTcp(_) => vec![wire::truncated(asked, &query)],
        Says::Attacked { from_elsewhere, guesses, .. } => {
            let elsewhere = UdpSocket::bind(any_port()).await.unwrap();
            elsewhere.send_to(&from_elsewhere, client).await.unwrap();
            guesses
        }
    };
    for message in messages {
        // The client may have seen enough.
        drop(socket.send_to(&message, client).await);
    }
}
