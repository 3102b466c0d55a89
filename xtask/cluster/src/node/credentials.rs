//! The cluster's certificates and kubeconfigs: one authority, made for this cluster and gone with it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::folders::write as write_file;

use super::plan::{API_PORT, API_SERVICE, Node};

/// Members of this group may do everything.
const ADMINISTRATORS: &str = "system:masters";
const NODES: &str = "system:nodes";

struct Authority<'a> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: &'a Path,
    server: Ipv4Addr,
}

/// Certificate and key as PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// Writes everything below `STATE/pki`, and the administrator's `STATE/kubeconfig`.
pub(super) fn write(state: &Path, nodes: &[Node]) -> Result<()> {
    let folder = state.join("pki");
    let server = nodes.first().context("a cluster has a node")?.address;
    let authority = Authority { issuer: issuer()?, folder: &folder, server };
    write_file(&folder.join("ca.crt"), authority.issuer.pem())?;
    write_file(&folder.join("ca.key"), authority.issuer.key().serialize_pem())?;
    // Whoever reads a key here is an administrator of the cluster.
    fs::set_permissions(state, fs::Permissions::from_mode(0o700)).context("close the cluster's folder")?;
    authority.pair("apiserver", "kube-apiserver", None, &api_names(server)?)?;
    authority.pair("apiserver-kubelet", "apiserver-kubelet", Some(ADMINISTRATORS), &[])?;
    for (name, user) in [
        ("controller-manager", "system:kube-controller-manager"),
        ("scheduler", "system:kube-scheduler"),
        ("proxy", "system:kube-proxy"),
    ] {
        let pair = authority.pair(name, user, None, &[])?;
        authority.kubeconfig(&folder.join(format!("{name}.kubeconfig")), &pair)?;
    }
    for node in nodes {
        let names = [SanType::DnsName(node.name.as_str().try_into()?), ip(node.address)];
        let pair = authority.pair(&node.name, &format!("system:node:{}", node.name), Some(NODES), &names)?;
        authority.kubeconfig(&folder.join(format!("{}.kubeconfig", node.name)), &pair)?;
    }
    let admin = authority.pair("admin", "admin", Some(ADMINISTRATORS), &[])?;
    authority.kubeconfig(&state.join("kubeconfig"), &admin)?;
    let signer = KeyPair::generate().context("make the key of service accounts")?;
    write_file(&folder.join("sa.key"), signer.serialize_pem())?;
    write_file(&folder.join("sa.pub"), signer.public_key_pem())
}

fn issuer() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "cluster");
    CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("make the cluster's authority")
}

fn ip(address: Ipv4Addr) -> SanType {
    SanType::IpAddress(IpAddr::V4(address))
}

fn api_names(server: Ipv4Addr) -> Result<Vec<SanType>> {
    let mut names = vec![ip(server), ip(API_SERVICE), ip(Ipv4Addr::LOCALHOST)];
    for name in [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ] {
        names.push(SanType::DnsName(name.try_into()?));
    }
    Ok(names)
}

impl Authority<'_> {
    fn pair(&self, file: &str, user: &str, group: Option<&str>, names: &[SanType]) -> Result<Pair> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.subject_alt_names = names.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).with_context(|| format!("sign for {user}"))?;
        let pair = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
        write_file(&self.folder.join(format!("{file}.crt")), &pair.certificate)?;
        write_file(&self.folder.join(format!("{file}.key")), &pair.key)?;
        Ok(pair)
    }

    /// Self-contained, so that it may be copied anywhere.
    fn kubeconfig(&self, path: &Path, pair: &Pair) -> Result<()> {
        let encoded = |pem: &str| STANDARD.encode(pem);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "amime", "cluster": {
                "server": format!("https://{}:{API_PORT}", self.server),
                "certificate-authority-data": encoded(&self.issuer.pem()),
            }}],
            "users": [{"name": "amime", "user": {
                "client-certificate-data": encoded(&pair.certificate),
                "client-key-data": encoded(&pair.key),
            }}],
            "contexts": [{"name": "amime", "context": {"cluster": "amime", "user": "amime"}}],
            "current-context": "amime",
        });
        write_file(path, serde_json::to_vec_pretty(&config)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::nodes;
    use super::*;
    use crate::folders::Name;

    #[test]
    fn everything_that_a_node_reads_is_written_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &nodes(&Name::new("a").unwrap(), 2)).unwrap();
        for file in [
            "ca.crt",
            "apiserver.key",
            "n2.kubeconfig",
            "proxy.kubeconfig",
            "sa.pub",
            "controller-manager.kubeconfig",
        ] {
            assert!(folder.path().join("pki").join(file).is_file(), "{file}");
        }
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let admin: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("kubeconfig")).unwrap()).unwrap();
        assert_eq!(admin["clusters"][0]["cluster"]["server"], "https://10.89.0.11:6443");
    }
}
