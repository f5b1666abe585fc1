//! The programs of the cluster: their command lines, the order they start in
//! and how each shows that it is ready.
//! It must not start them.

use std::path::{Path, PathBuf};

use super::paths::Paths;
use super::pki::NODE_NAME;
use super::state::State;

/// One program of the cluster.
pub(super) struct Component {
    /// Also the name of its log file and its key in the state.
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) ready: Ready,
}

/// How a component shows that it is ready.
pub(super) enum Ready {
    /// `GET http://127.0.0.1:PORT/PATH` answers 200.
    Http(u16, &'static str),
    /// `GET https://127.0.0.1:PORT/PATH` answers 200.
    Https(u16, &'static str),
    /// The API server says so to an administrator.
    ApiServer,
    /// containerd answers on its socket.
    Containerd,
    /// The API server shows this node as Ready.
    Node(&'static str),
}

/// The components of this cluster in waves: each wave needs the ones before it.
pub(super) fn waves(paths: &Paths, state: &State) -> Vec<Vec<Component>> {
    let mut first = vec![etcd(paths, state)];
    let mut last = vec![controller_manager(paths, state), scheduler(paths, state)];
    if state.node {
        first.extend([registry(paths, state), containerd(paths)]);
        last.extend([kubelet(paths, state), kube_proxy(paths, state)]);
    }
    if state.kwok_nodes > 0 {
        last.push(kwok(paths, state));
    }
    vec![first, vec![apiserver(paths, state)], last]
}

fn component(name: &'static str, program: impl Into<PathBuf>, args: Vec<String>, ready: Ready) -> Component {
    Component {
        name,
        program: program.into(),
        args,
        ready,
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn etcd(paths: &Paths, state: &State) -> Component {
    let pki = show(&paths.pki());
    let ports = &state.ports;
    let client = format!("https://127.0.0.1:{}", ports.etcd);
    let peer = format!("https://127.0.0.1:{}", ports.etcd_peer);
    let args = vec![
        "--name=local".into(),
        format!("--data-dir={}", show(&paths.data.join("etcd"))),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=local={peer}"),
        format!("--listen-metrics-urls=http://127.0.0.1:{}", ports.etcd_health),
        format!("--cert-file={pki}/etcd.crt"),
        format!("--key-file={pki}/etcd.key"),
        format!("--trusted-ca-file={pki}/ca.crt"),
        "--client-cert-auth=true".into(),
        format!("--peer-cert-file={pki}/etcd.crt"),
        format!("--peer-key-file={pki}/etcd.key"),
        format!("--peer-trusted-ca-file={pki}/ca.crt"),
        "--peer-client-cert-auth=true".into(),
        // The data is gone with the cluster anyway; a slow disk must not slow the tests.
        "--unsafe-no-fsync=true".into(),
        "--log-level=warn".into(),
    ];
    component(
        "etcd",
        paths.bin().join("etcd"),
        args,
        Ready::Http(ports.etcd_health, "/readyz"),
    )
}

fn apiserver(paths: &Paths, state: &State) -> Component {
    let pki = show(&paths.pki());
    let ports = &state.ports;
    let mut args: Vec<String> = vec![
        format!("--secure-port={}", ports.apiserver),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        "--anonymous-auth=false".into(),
        format!("--etcd-servers=https://127.0.0.1:{}", ports.etcd),
        format!("--etcd-cafile={pki}/ca.crt"),
        format!("--etcd-certfile={pki}/etcd.crt"),
        format!("--etcd-keyfile={pki}/etcd.key"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={pki}/service-accounts.pub"),
        format!("--service-account-signing-key-file={pki}/service-accounts.key"),
        format!("--service-cluster-ip-range={}", state.networks.service_cidr()),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement".into(),
        "--allow-privileged=true".into(),
        format!("--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt"),
        format!("--kubelet-client-key={pki}/apiserver-kubelet-client.key"),
        format!("--kubelet-certificate-authority={pki}/ca.crt"),
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--audit-policy-file={}/audit-policy.yaml", show(&paths.config())),
        format!("--audit-log-path={}", show(&paths.audit_log())),
        // One file, however long the tests run: they count its lines.
        "--audit-log-maxsize=10000".into(),
    ];
    if state.node {
        // On every address of this machine: pods come through the node's, people through loopback.
        args.push(format!("--advertise-address={}", state.networks.node_ip()));
    } else {
        args.push("--bind-address=127.0.0.1".into());
        args.push("--advertise-address=127.0.0.1".into());
        args.push("--endpoint-reconciler-type=none".into());
    }
    component(
        "kube-apiserver",
        paths.bin().join("kube-apiserver"),
        args,
        Ready::ApiServer,
    )
}

fn controller_manager(paths: &Paths, state: &State) -> Component {
    let pki = show(&paths.pki());
    let port = state.ports.controllers;
    let args = vec![
        format!("--kubeconfig={pki}/controller-manager.kubeconfig"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={pki}/control-plane.crt"),
        format!("--tls-private-key-file={pki}/control-plane.key"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--service-account-private-key-file={pki}/service-accounts.key"),
        "--enable-hostpath-provisioner=true".into(),
        format!(
            "--flex-volume-plugin-dir={}",
            show(&paths.data.join("volume-plugins"))
        ),
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
    ];
    let program = paths.bin().join("kube-controller-manager");
    component(
        "kube-controller-manager",
        program,
        args,
        Ready::Https(port, "/healthz"),
    )
}

fn scheduler(paths: &Paths, state: &State) -> Component {
    let pki = show(&paths.pki());
    let port = state.ports.scheduler;
    let args = vec![
        format!("--kubeconfig={pki}/scheduler.kubeconfig"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={pki}/control-plane.crt"),
        format!("--tls-private-key-file={pki}/control-plane.key"),
        "--leader-elect=false".into(),
    ];
    component(
        "kube-scheduler",
        paths.bin().join("kube-scheduler"),
        args,
        Ready::Https(port, "/healthz"),
    )
}

fn registry(paths: &Paths, state: &State) -> Component {
    let args = vec!["serve".into(), show(&paths.config().join("registry.yaml"))];
    component(
        "registry",
        "docker-registry",
        args,
        Ready::Http(state.ports.registry, "/v2/"),
    )
}

fn containerd(paths: &Paths) -> Component {
    let args = vec!["--config".into(), show(&paths.config().join("containerd.toml"))];
    component("containerd", "containerd", args, Ready::Containerd)
}

fn kubelet(paths: &Paths, state: &State) -> Component {
    let args = vec![
        format!("--config={}", show(&paths.config().join("kubelet.yaml"))),
        format!("--kubeconfig={}/kubelet.kubeconfig", show(&paths.pki())),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={}", state.networks.node_ip()),
        format!("--root-dir={}", show(&paths.data.join("kubelet"))),
        format!("--cert-dir={}", show(&paths.pki())),
    ];
    component(
        "kubelet",
        paths.bin().join("kubelet"),
        args,
        Ready::Node(NODE_NAME),
    )
}

fn kube_proxy(paths: &Paths, state: &State) -> Component {
    let args = vec![format!(
        "--config={}",
        show(&paths.config().join("kube-proxy.yaml"))
    )];
    let ready = Ready::Http(state.ports.proxy_health, "/healthz");
    component("kube-proxy", paths.bin().join("kube-proxy"), args, ready)
}

fn kwok(paths: &Paths, state: &State) -> Component {
    let port = state.ports.kwok;
    let args = vec![
        format!("--kubeconfig={}/admin.kubeconfig", show(&paths.pki())),
        format!("--config={}", show(&paths.config().join("kwok.yaml"))),
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".into(),
        "--node-lease-duration-seconds=40".into(),
        format!("--cidr={}", state.networks.fake_pod_cidr()),
        format!("--server-address=127.0.0.1:{port}"),
    ];
    component(
        "kwok",
        paths.bin().join("kwok"),
        args,
        Ready::Http(port, "/healthz"),
    )
}
