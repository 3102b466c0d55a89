//! Two replicas of the authority that share their keys in an API server, as they do in a cluster, behind one address. The API server is
//! the one of the authority's own tests; the replicas are processes, and are killed like any.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_ca::testing::{FakeApi, Review};
use mesh_lifecycle::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};

use crate::mesh::objects::TRUST_DOMAIN;
use crate::process::{Process, free_address};

const ROOTS: &str = "/api/v1/namespaces/amime-system/configmaps/amime-ca-roots";
const LOOK: Duration = Duration::from_millis(500);

/// Whose tokens the API server knows, and the file that members pin.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) api: FakeApi,
    /// Where members find the authority.
    pub(crate) address: SocketAddr,
    pub(crate) roots: PathBuf,
}

impl Cluster {
    /// A file with a token of a workload, bound to a Pod.
    pub(crate) fn token(&self, folder: &Path, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = format!("token-of-{namespace}-{account}");
        self.api.token(&token, Review::pod(&format!("system:serviceaccount:{namespace}:{account}"), account));
        let path = folder.join(format!("{namespace}-{account}.token"));
        std::fs::write(&path, token).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// The replicas.
pub(crate) struct Replicas {
    pub(crate) cluster: Cluster,
    program: PathBuf,
    folder: PathBuf,
    api: SocketAddr,
    life: u64,
    running: BTreeMap<usize, (SocketAddr, Option<Process>)>,
    /// Which ones connections go to.
    alive: Rc<RefCell<Vec<SocketAddr>>>,
}

impl Replicas {
    pub(crate) async fn start(program: &Path, folder: &Path, life: u64, tasks: &Tasks) -> Result<Self> {
        let api = FakeApi::default();
        let at = api.listen(tasks).await;
        let alive = Rc::new(RefCell::new(Vec::new()));
        let cluster =
            Cluster { api, address: balance(&alive, tasks).await?, roots: folder.join("roots.pem") };
        let mut replicas = Self {
            cluster,
            program: program.to_path_buf(),
            folder: folder.to_path_buf(),
            api: at,
            life,
            running: BTreeMap::from([(0, (free_address()?, None)), (1, (free_address()?, None))]),
            alive,
        };
        for index in 0..2 {
            replicas.run(index).await?;
        }
        replicas.copy_roots(tasks);
        Ok(replicas)
    }

    /// Starts a replica under its name.
    pub(crate) async fn run(&mut self, index: usize) -> Result<()> {
        let (name, address) = (format!("mesh-ca-{index}"), self.address(index)?);
        let config = self.folder.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nusers: [{{ name: a, user: {{}} }}]\n\
            clusters: [{{ name: a, cluster: {{ server: \"http://{}\" }} }}]\n\
            contexts: [{{ name: a, context: {{ cluster: a, user: a, namespace: amime-system }} }}]\n",
            self.api
        );
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let args = format!(
            "__ca serve --kubernetes --listen {address} --metrics {} --admin-socket {} --audit-log {} \
            --trust-domain {TRUST_DOMAIN} --svid-ttl {}s",
            free_address()?,
            self.socket(index).display(),
            self.audit(index).display(),
            self.life,
        );
        let words: Vec<&str> = args.split_ascii_whitespace().collect();
        let config = config.display().to_string();
        let env = [
            ("KUBECONFIG", config.as_str()),
            ("POD_NAME", name.as_str()),
            ("POD_NAMESPACE", "amime-system"),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
        ];
        let mut process = Process::start_with(&self.folder, &name, &self.program, &words, &env)?;
        process.listens(address).await?;
        self.running.insert(index, (address, Some(process)));
        self.alive.borrow_mut().push(address);
        Ok(())
    }

    /// Kills a replica: no handler runs. Its address is no longer one of the service, as readiness has it.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some((address, process)) = self.running.get_mut(&index) {
            self.alive.borrow_mut().retain(|alive| alive != address);
            *process = None;
        }
    }

    fn address(&self, index: usize) -> Result<SocketAddr> {
        Ok(self.running.get(&index).context("a replica")?.0)
    }

    pub(crate) fn socket(&self, index: usize) -> PathBuf {
        self.folder.join(format!("ca-{index}.sock"))
    }

    pub(crate) fn audit(&self, index: usize) -> PathBuf {
        self.folder.join(format!("audit-{index}.log"))
    }

    /// Certificates among the published roots.
    pub(crate) fn published(&self) -> usize {
        self.pem().map_or(0, |pem| pem.matches("BEGIN CERTIFICATE").count())
    }

    fn pem(&self) -> Option<String> {
        pem(&self.cluster.api)
    }

    /// As the node does with a ConfigMap that is mounted.
    fn copy_roots(&self, tasks: &Tasks) {
        let (api, path, stop) = (self.cluster.api.clone(), self.cluster.roots.clone(), tasks.token());
        if let Some(pem) = pem(&api) {
            // If it fails, members wait for the file and say so.
            std::fs::write(&path, pem).ok();
        }
        tasks.spawn_local("copy of the roots", async move {
            while !stop.is_cancelled() {
                if let Some(pem) = pem(&api)
                    && std::fs::read_to_string(&path).ok().as_deref() != Some(pem.as_str())
                {
                    let hidden = path.with_extension("new");
                    if std::fs::write(&hidden, pem).is_ok() {
                        std::fs::rename(&hidden, &path).ok();
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        });
    }
}

fn pem(api: &FakeApi) -> Option<String> {
    Some(api.object(ROOTS)?.pointer("/data/roots.pem")?.as_str()?.to_owned())
}

/// One address before those that are alive, each connection to the next one.
async fn balance(alive: &Rc<RefCell<Vec<SocketAddr>>>, tasks: &Tasks) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (address, alive, own) = (listener.local_addr()?, Rc::clone(alive), tasks.clone());
    tasks.spawn_local("address of the authority", async move {
        let mut turn = 0_usize;
        loop {
            let Ok((mut client, _)) = listener.accept().await else { continue };
            turn += 1;
            let to = {
                let alive = alive.borrow();
                turn.checked_rem(alive.len()).and_then(|index| alive.get(index).copied())
            };
            let Some(to) = to else { continue };
            own.spawn_local("connection to a replica", async move {
                if let Ok(mut server) = TcpStream::connect(to).await {
                    // Either end may break off; both notice.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    Ok(address)
}
