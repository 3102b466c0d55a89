//! Two meshes with two trust domains on one machine: each fetches the other's bundle, and a policy says who of the other mesh may call.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says plainly what it expects")]
#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "logs of what failed; a pause between two looks at a state"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(50);

/// A part of a mesh; dropping it ends it.
struct Part {
    child: Child,
    log: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- {}\n{log}", self.log.display());
        }
    }
}

/// One mesh: an authority that serves its bundle, and a controller.
struct Mesh {
    dir: PathBuf,
    domain: &'static str,
    ca: SocketAddr,
    endpoint: SocketAddr,
    controller: SocketAddr,
    parts: Vec<Part>,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !seen() {
        assert!(begin.elapsed() < DEADLINE, "not within a minute: {what}");
        std::thread::sleep(LOOK);
    }
}

fn listens(at: SocketAddr) {
    until(&format!("something listens on {at}"), || TcpStream::connect(at).is_ok());
}

fn part(dir: &Path, name: &str, args: &str) -> Part {
    let log = dir.join(format!("{name}.log"));
    let out = fs::File::create(&log).unwrap();
    let err = out.try_clone().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(args.split_ascii_whitespace()).stdin(Stdio::null()).stdout(out).stderr(err);
    Part { child: command.spawn().unwrap(), log }
}

impl Mesh {
    fn start(folder: &Path, domain: &'static str) -> Self {
        let dir = folder.join(domain);
        fs::create_dir_all(dir.join("objects")).unwrap();
        let mut mesh =
            Self { dir, domain, ca: free(), endpoint: free(), controller: free(), parts: Vec::new() };
        mesh.write(
            "mesh",
            &format!("apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata: {{ name: default }}\nspec: {{ trustDomain: {domain} }}\n"),
        );
        let dir = mesh.dir.display().to_string();
        let args = format!(
            "__ca serve --listen {} --metrics {} --admin-socket {dir}/ca.sock --state-dir {dir}/ca --trust-domain {domain} \
            --bundle-endpoint {} --config-dir {dir}/objects --federation-loopback",
            mesh.ca,
            free(),
            mesh.endpoint,
        );
        mesh.parts.push(part(&mesh.dir, "ca", &args));
        listens(mesh.ca);
        let token = mesh.token("amime-system", "mesh-controller");
        let args = format!(
            "__controller serve --config-dir {dir}/objects --listen {} --metrics {} --ca {} --ca-roots {dir}/ca/root.pem \
            --join-token-file {token}",
            mesh.controller,
            free(),
            mesh.ca,
        );
        mesh.parts.push(part(&mesh.dir, "controller", &args));
        listens(mesh.controller);
        mesh
    }

    /// Replaces a file of objects, whole.
    fn write(&self, name: &str, text: &str) {
        let (hidden, path) =
            (self.dir.join(format!("objects/.{name}")), self.dir.join(format!("objects/{name}.yaml")));
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, path).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.dir.join(format!("objects/{name}.yaml"))).unwrap();
    }

    fn token(&self, namespace: &str, account: &str) -> String {
        let socket = self.dir.join("ca.sock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        command.args([
            "__ca",
            "token",
            "--namespace",
            namespace,
            "--service-account",
            account,
            "--admin-socket",
        ]);
        command.arg(socket);
        let mut token = Vec::new();
        // Its socket opens apart from its port.
        until("the authority makes a token", || {
            let made = command.output().unwrap();
            eprint!("{}", String::from_utf8_lossy(&made.stderr));
            token = made.stdout;
            made.status.success()
        });
        let path = self.dir.join(format!("{namespace}-{account}.token"));
        fs::write(&path, token).unwrap();
        path.display().to_string()
    }

    fn sidecar(&self, namespace: &str, workload: &str, listeners: &str) -> Part {
        let (dir, token) = (self.dir.display(), self.token(namespace, workload));
        let args = format!(
            "__proxy sidecar --namespace {namespace} --workload {workload} --controller {} --ca {} --ca-roots {dir}/ca/root.pem \
            --join-token-file {token} {listeners}",
            self.controller, self.ca,
        );
        part(&self.dir, &format!("sidecar-{workload}"), &args)
    }

    fn federate_with(&self, other: &Self) {
        let roots = fs::read_to_string(other.dir.join("ca/root.pem")).unwrap();
        let roots = roots.replace('\n', "\n    ");
        let (domain, endpoint) = (other.domain, other.endpoint);
        self.write(
            "federation",
            &format!(
                "apiVersion: amime.io/v1alpha1\nkind: FederatedTrustDomain\nmetadata: {{ name: other }}\nspec:\n  trustDomain: {domain}\n  \
                bundleEndpoint:\n    url: https://{endpoint}/\n    endpointSpiffeId: spiffe://{domain}/ns/amime-system/sa/mesh-ca\n  \
                initialRoots: |\n    {roots}"
            ),
        );
    }
}

fn workload(namespace: &str, name: &str, domain: Option<&str>, (app, mesh): (u16, u16)) -> String {
    let domain = domain.map_or_else(String::new, |domain| format!("  trustDomain: {domain}\n"));
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: Workload\nmetadata: {{ name: {name}, namespace: {namespace}, labels: {{ app: {name} }} }}\n\
        spec:\n  address: 127.0.0.1\n{domain}  ports:\n    - {{ name: http, port: {app}, meshPort: {mesh} }}\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n  selector: {{ app: {name} }}\n  \
        ports:\n    - {{ name: http, port: 80, targetPort: {app}, appProtocol: http }}\n"
    )
}

/// An application that says hello, for as long as the test lives.
fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
        }
    });
    address
}

/// Status and body of a request to the sidecar's port.
fn get(at: SocketAddr) -> String {
    let Ok(mut stream) = TcpStream::connect(at) else { return "no connection".to_owned() };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: teller.bank\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_member_of_a_federated_mesh_may_call_where_a_policy_says_so_and_nowhere_else() {
    let folder = std::env::temp_dir().join(format!("amime-federation-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let (bank, shop) = (Mesh::start(&folder, "bank.test"), Mesh::start(&folder, "shop.test"));
    bank.federate_with(&shop);
    shop.federate_with(&bank);
    let (app, mesh_port, outbound) = (application(), free(), free());
    let ports = (app.port(), mesh_port.port());
    bank.write("teller", &workload("bank", "teller", None, ports));
    shop.write("teller", &workload("bank", "teller", Some("bank.test"), ports));
    let _teller = bank.sidecar("bank", "teller", &format!("--inbound {mesh_port}={app}"));
    let _cart = shop.sidecar("shop", "cart", &format!("--outbound {outbound}=teller.bank:80"));
    listens(mesh_port);
    listens(outbound);
    // Known, and no more: who it is says its certificate, what it may do no policy.
    until("the call is refused by policy", || {
        let answer = get(outbound);
        assert!(!answer.contains("hello"), "no policy allows it: {answer}");
        answer.starts_with("HTTP/1.1 403") && answer.contains("policy_denied")
    });
    let policy = |account: &str| {
        format!(
            "apiVersion: amime.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{ name: shop, namespace: bank }}\nspec:\n  action: Allow\n  \
            rules:\n    - from:\n        - identities: ['spiffe://shop.test/ns/shop/sa/{account}']\n"
        )
    };
    bank.write("policy", &policy("cart"));
    until("the policy lets the call in", || get(outbound).ends_with("hello"));
    bank.write("policy", &policy("somebody-else"));
    until("the policy lets somebody else in", || get(outbound).starts_with("HTTP/1.1 403"));
    bank.write("policy", &policy("cart"));
    until("the policy lets the call in again", || get(outbound).ends_with("hello"));
    // Without the federation the caller is nobody.
    bank.remove("federation");
    until("the federation ends", || !get(outbound).contains("hello"));
    drop((bank, shop));
    let _ = fs::remove_dir_all(&folder);
}
