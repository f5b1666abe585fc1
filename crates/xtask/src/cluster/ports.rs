//! Ports and address ranges of one cluster, chosen once and recorded.
//! It must not open anything but the test sockets it closes again.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Below the range Linux hands to outgoing connections (from 32768) and below
/// node ports (from 30000), so that a port stays ours while its owner restarts.
const RANGE: std::ops::Range<u16> = 21_000..29_000;

/// One port for each listening socket of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) etcd_health: u16,
    pub(super) apiserver: u16,
    pub(super) controllers: u16,
    pub(super) scheduler: u16,
    pub(super) registry: u16,
    pub(super) kubelet: u16,
    pub(super) kubelet_health: u16,
    pub(super) proxy_health: u16,
    pub(super) proxy_metrics: u16,
    pub(super) kwok: u16,
}

impl Ports {
    /// The first free ports of our range.
    pub(super) fn choose() -> Result<Self> {
        Self::choose_with(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
    }

    fn choose_with(free: impl FnMut(&u16) -> bool) -> Result<Self> {
        let found: Vec<u16> = RANGE.filter(free).take(12).collect();
        let [
            etcd,
            etcd_peer,
            etcd_health,
            apiserver,
            controllers,
            scheduler,
            registry,
            kubelet,
            kubelet_health,
            proxy_health,
            proxy_metrics,
            kwok,
        ] = *found
        else {
            bail!(
                "only {} of the 12 ports the cluster needs are free between {} and {}; \
                 end what listens there (`ss -ltnp` lists it)",
                found.len(),
                RANGE.start,
                RANGE.end
            );
        };
        Ok(Self {
            etcd,
            etcd_peer,
            etcd_health,
            apiserver,
            controllers,
            scheduler,
            registry,
            kubelet,
            kubelet_health,
            proxy_health,
            proxy_metrics,
            kwok,
        })
    }
}

/// Three /16 networks for one cluster, by their second number: `10.N.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Networks {
    pods: u8,
    node: u8,
    services: u8,
}

/// Tried in this order: 10.88 is also podman's default network.
const CANDIDATES: [Networks; 3] = [
    Networks {
        pods: 88,
        node: 89,
        services: 96,
    },
    Networks {
        pods: 188,
        node: 189,
        services: 196,
    },
    Networks {
        pods: 208,
        node: 209,
        services: 216,
    },
];

impl Networks {
    /// The first candidate that no route of this machine overlaps. `routes` is
    /// the output of `ip -4 route show table all`.
    pub(super) fn choose(routes: &str) -> Result<Self> {
        let free = |networks: &&Self| {
            let taken = [networks.pods, networks.node, networks.services].map(|n| format!("10.{n}."));
            !routes
                .split_whitespace()
                .any(|word| taken.iter().any(|prefix| word.starts_with(prefix.as_str())))
        };
        match CANDIDATES.iter().find(free) {
            Some(networks) => Ok(*networks),
            None => bail!(
                "routes of this machine overlap every network the cluster could use \
                 (10.88, 10.89 and 10.96; 10.188, 10.189 and 10.196; 10.208, 10.209 and 10.216, each /16); \
                 `ip route` shows them"
            ),
        }
    }

    /// Where pods get their addresses.
    pub(super) fn pod_cidr(self) -> String {
        format!("10.{}.0.0/16", self.pods)
    }

    /// The half that containers get.
    pub(super) fn real_pod_cidr(self) -> String {
        format!("10.{}.0.0/17", self.pods)
    }

    /// The half that kwok gives to pods that do not exist.
    pub(super) fn fake_pod_cidr(self) -> String {
        format!("10.{}.128.0/17", self.pods)
    }

    /// The node's address, on a bridge of our own.
    pub(super) fn node_ip(self) -> String {
        format!("10.{}.0.1", self.node)
    }

    /// Where Services get their addresses.
    pub(super) fn service_cidr(self) -> String {
        format!("10.{}.0.0/16", self.services)
    }

    /// The Service `kubernetes`.
    pub(super) fn apiserver_service_ip(self) -> String {
        format!("10.{}.0.1", self.services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_are_skipped() {
        let ports = Ports::choose_with(|port| *port != 21_000 && *port != 21_002).expect("enough ports");
        assert_eq!(
            (ports.etcd, ports.etcd_peer, ports.etcd_health),
            (21_001, 21_003, 21_004)
        );
    }

    #[test]
    fn too_few_ports_are_refused_with_the_number() {
        let error = Ports::choose_with(|port| *port < 21_003).expect_err("three are not enough");
        assert!(error.to_string().starts_with("only 3 of the 12"));
    }

    #[test]
    fn an_overlapping_route_moves_the_cluster_to_other_networks() {
        let free = Networks::choose("default via 10.0.2.2 dev eth0").expect("nothing overlaps");
        assert_eq!(free.apiserver_service_ip(), "10.96.0.1");
        let podman = Networks::choose("10.88.0.0/16 dev podman0 scope link").expect("the next set");
        assert_eq!(podman.pod_cidr(), "10.188.0.0/16");
        let all = "10.88.0.0/16 x 10.196.0.0/16 y 10.209.1.0/24 z";
        assert!(Networks::choose(all).is_err());
    }
}
