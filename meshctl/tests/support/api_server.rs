//! An API server as far as `meshctl install` asks one: it keeps objects by path, says that definitions are established,
//! Deployments ready and webhooks trusted, and remembers what was written. One thread a connection; loopback only.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    written: Vec<(String, String)>,
}

/// It lives as long as the test's process.
pub(crate) struct ApiServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(State::default())));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Paths that were written with this method, in order.
    pub(crate) fn written(&self, method: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.written.iter().filter(|(m, _)| m == method).map(|(_, path)| path.clone()).collect()
    }

    /// Paths of all objects that there are.
    pub(crate) fn objects(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut words = first.split_ascii_whitespace();
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (code, answer) = state.lock().unwrap().answer(method, target, &body);
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

impl State {
    fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match method {
            "GET" if path == "/version" => (200, json!({"major": "1", "minor": "34"})),
            "GET" => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None if query.contains("limit=") => (200, self.list(path)),
                None => (404, missing()),
            },
            "PATCH" => {
                let object = Self::patched(path, serde_json::from_slice(body).unwrap());
                if !query.contains("dryRun") {
                    self.written.push(("PATCH".to_owned(), target.to_owned()));
                    self.objects.insert(path.to_owned(), object.clone());
                }
                (200, object)
            }
            "DELETE" => {
                let known = self.objects.remove(path);
                if known.is_some() {
                    self.written.push(("DELETE".to_owned(), target.to_owned()));
                }
                if path.contains("customresourcedefinitions") || !is_namespace(path) {
                    return known.map_or((404, missing()), |object| (200, object));
                }
                self.objects.retain(|other, _| !other.starts_with(&format!("{path}/")));
                (200, json!({"kind": "Status", "status": "Success"}))
            }
            _ => (405, missing()),
        }
    }

    fn list(&self, path: &str) -> Value {
        let inside = format!("{path}/");
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(name, _)| name.strip_prefix(&inside).is_some_and(|rest| !rest.contains('/')))
            .map(|(_, object)| object)
            .collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
    }

    /// What controllers would make of it.
    fn patched(path: &str, mut object: Value) -> Value {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("generation".to_owned(), json!(1));
        if path.contains("customresourcedefinitions") {
            object["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        }
        if path.contains("/deployments/") {
            let wanted = object["spec"]["replicas"].clone();
            object["status"] = json!({"observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted,
                                      "availableReplicas": wanted});
        }
        if path.contains("/daemonsets/") {
            object["status"] = json!({"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2,
                                      "numberAvailable": 2});
        }
        if path.contains("webhookconfigurations") {
            for webhook in object["webhooks"].as_array_mut().unwrap() {
                webhook["clientConfig"]["caBundle"] = json!("Zm9v");
            }
        }
        object
    }
}

fn is_namespace(path: &str) -> bool {
    path.strip_prefix("/api/v1/namespaces/").is_some_and(|rest| !rest.contains('/'))
}

fn missing() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
           "message": "not found"})
}
