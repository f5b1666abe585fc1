//! Certificates, keys and kubeconfigs of one cluster.
//! It must not touch anybody's `~/.kube/config`, and no private key may be
//! readable by others.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::paths::Paths;
use super::ports::{Networks, Ports};

/// The name of the node with real containers.
pub(super) const NODE_NAME: &str = "local";

/// The clients: file name, user and group.
const CLIENTS: [(&str, &str, &str); 6] = [
    ("admin", "cloneset-admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("kubelet", "system:node:local", "system:nodes"),
    (
        "apiserver-kubelet-client",
        "kube-apiserver-kubelet-client",
        "system:masters",
    ),
];

/// Makes whatever is missing. A half-made directory is made anew: only the
/// last file written says that all are there.
pub(super) fn ensure(paths: &Paths, ports: &Ports, networks: Networks) -> Result<()> {
    let pki = paths.pki();
    let complete = pki.join("complete");
    if !complete.exists() {
        std::fs::create_dir_all(&pki).with_context(|| format!("cannot create {}", pki.display()))?;
        std::fs::set_permissions(&pki, Permissions::from_mode(0o700))?;
        certificates(&pki, networks)?;
        for (name, ..) in CLIENTS {
            kubeconfig(&pki, &pki.join(format!("{name}.kubeconfig")), name, ports)?;
        }
        write(&complete, "")?;
    }
    kubeconfig(&pki, &paths.kubeconfig(), "admin", ports)
}

fn certificates(pki: &Path, networks: Networks) -> Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = parameters("cloneset-local-cluster", "", vec![])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    write(&pki.join("ca.crt"), &ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);

    let apiserver = [
        "localhost",
        "127.0.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        &networks.apiserver_service_ip(),
        &networks.node_ip(),
    ];
    // etcd's gateway calls its own server, so its certificate is a client's as well.
    let servers: [(&str, Vec<String>); 4] = [
        ("apiserver", apiserver.map(str::to_owned).to_vec()),
        ("etcd", vec!["localhost".into(), "127.0.0.1".into()]),
        ("control-plane", vec!["localhost".into(), "127.0.0.1".into()]),
        ("kubelet-server", vec![NODE_NAME.into(), networks.node_ip()]),
    ];
    for (name, hosts) in servers {
        issue(pki, &issuer, name, &parameters(name, "", hosts)?)?;
    }
    for (name, user, group) in CLIENTS {
        issue(pki, &issuer, name, &parameters(user, group, vec![])?)?;
    }

    let service_accounts = KeyPair::generate()?;
    write(
        &pki.join("service-accounts.key"),
        &service_accounts.serialize_pem(),
    )?;
    write(
        &pki.join("service-accounts.pub"),
        &service_accounts.public_key_pem(),
    )
}

fn parameters(name: &str, group: &str, hosts: Vec<String>) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(hosts)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if !group.is_empty() {
        subject.push(DnType::OrganizationName, group);
    }
    parameters.distinguished_name = subject;
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2120, 1, 1);
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    Ok(parameters)
}

fn issue(pki: &Path, issuer: &Issuer<'_, KeyPair>, name: &str, parameters: &CertificateParams) -> Result<()> {
    let key = KeyPair::generate()?;
    write(
        &pki.join(format!("{name}.crt")),
        &parameters.signed_by(&key, issuer)?.pem(),
    )?;
    write(&pki.join(format!("{name}.key")), &key.serialize_pem())
}

/// Writes a kubeconfig that names the certificate files by path.
fn kubeconfig(pki: &Path, to: &Path, client: &str, ports: &Ports) -> Result<()> {
    let file = |name: String| -> PathBuf { pki.join(name) };
    let text = serde_json::to_string_pretty(&serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "cloneset-local", "cluster": {
            "server": format!("https://127.0.0.1:{}", ports.apiserver),
            "certificate-authority": file("ca.crt".into()),
        }}],
        "users": [{ "name": client, "user": {
            "client-certificate": file(format!("{client}.crt")),
            "client-key": file(format!("{client}.key")),
        }}],
        "contexts": [{ "name": "cloneset-local", "context": { "cluster": "cloneset-local", "user": client } }],
        "current-context": "cloneset-local",
    }))?;
    write(to, &text)
}

fn write(file: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_directory_is_kept_and_keys_are_private() {
        let root = std::env::temp_dir().join(format!("cloneset-pki-{}", std::process::id()));
        let paths = Paths {
            checkout: root.clone(),
            id: "cloneset-test".into(),
            run: root.join("run"),
            data: root.join("data"),
            target: root.join("target"),
        };
        std::fs::create_dir_all(&paths.target).expect("a directory");
        let ports = Ports::choose().expect("ports");
        let networks = Networks::choose("").expect("networks");
        ensure(&paths, &ports, networks).expect("made");
        let ca = std::fs::read(paths.pki().join("ca.crt")).expect("a CA");
        ensure(&paths, &ports, networks).expect("kept");
        assert_eq!(ca, std::fs::read(paths.pki().join("ca.crt")).expect("a CA"));
        let key = std::fs::metadata(paths.pki().join("admin.key")).expect("a key");
        assert_eq!(key.permissions().mode() & 0o077, 0);
        let kubeconfig = std::fs::read_to_string(paths.kubeconfig()).expect("a kubeconfig");
        assert!(kubeconfig.contains(&format!("https://127.0.0.1:{}", ports.apiserver)));
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
