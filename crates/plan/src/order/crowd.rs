//! How crowded the place of a pod is: on scale-in the fuller node, or the fuller part of the topology, gives first
//! (`behaviour.md` 4.5).
//!
//! Ranks only; what they weigh among the other criteria is `order`'s to say.

use super::seen::Seen;
use crate::snapshot::NodeLabels;
use cloneset_api::names::node_labels::HOSTNAME;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// A pod with a higher rank is deleted earlier.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rank(f64);

impl Rank {
    fn of(count: usize) -> Self {
        Self(u32::try_from(count).map_or(f64::MAX, f64::from))
    }
}

// By `total_cmp`, which orders every float, so that a sort can never meet a contradiction.
impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

/// The parts of a cluster that pods are to be spread over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topology<'a> {
    /// The keys of the template's `topologySpreadConstraints`.
    pub(crate) keys: &'a [String],
    /// The labels of the nodes.
    pub(crate) nodes: &'a NodeLabels,
}

/// What decides how crowded the places of a group of pods are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crowd<'a> {
    /// Without one, pods are kept spread over nodes.
    pub(crate) topology: Option<Topology<'a>>,
    /// Nodes of the pods that stay and are not in the group, one for each pod.
    pub(crate) others: Vec<&'a str>,
}

/// The ranks of a group of pods, each at its pod's place.
pub(super) fn ranks(pods: &[Seen<'_>], crowd: &Crowd<'_>) -> Vec<Rank> {
    let on_nodes = same_node_ranks(pods, &crowd.others);
    match crowd.topology {
        Some(topology) if !topology.keys.is_empty() => {
            topology_ranks(pods, topology, &crowd.others, &on_nodes)
        }
        _ => on_nodes,
    }
}

/// Per node, the pods in their own order of deletion get ranks n-1 … 0, with the pods that stay as the last of them:
/// the more pods share a node, the earlier one of them goes. Pods without a node rank 0.
fn same_node_ranks(pods: &[Seen<'_>], others: &[&str]) -> Vec<Rank> {
    let none = vec![Rank::default(); pods.len()];
    let mut ranks = none.clone();
    let others = counted(others.iter().copied());
    for (node, on_node) in grouped(pods, |pod| pod.node) {
        let count = on_node.len() + others.get(node).copied().unwrap_or_default();
        for (index, place) in sorted(pods, on_node, &none).into_iter().enumerate() {
            if let Some(rank) = ranks.get_mut(place) {
                *rank = Rank::of(count - 1 - index);
            }
        }
    }
    ranks
}

/// Per key, pods are grouped by the value on their node (nodes that lack it are skipped), and of a group of n the
/// i-th to go gets `(n - i) * ln(t + 2)`, where t is the number of values; the sum over all keys counts. Pods that stay
/// are the last of their group.
///
/// Zone a with 3 pods, zone b with 1: ln 4 times 3, 2, 1 in a and ln 4 times 1 in b.
fn topology_ranks(
    pods: &[Seen<'_>],
    topology: Topology<'_>,
    others: &[&str],
    on_nodes: &[Rank],
) -> Vec<Rank> {
    let none = vec![Rank::default(); pods.len()];
    let mut ranks = none.clone();
    for key in topology.keys {
        let value = |node: &str| topology.nodes.get(node)?.get(key).map(String::as_str);
        let groups = grouped(pods, |pod| value(pod.node?));
        let others = counted(others.iter().filter_map(|node| value(node)));
        let only_others = others.len()
            - groups
                .iter()
                .filter(|(value, _)| others.contains_key(value))
                .count();
        let values = groups.len().saturating_add(only_others);
        let weight = Rank::of(values.saturating_add(2)).0.ln();
        let within = if key == HOSTNAME { &none } else { on_nodes };
        for (value, group) in groups {
            let count = group.len() + others.get(value).copied().unwrap_or_default();
            for (index, place) in sorted(pods, group, within).into_iter().enumerate() {
                if let Some(rank) = ranks.get_mut(place) {
                    rank.0 += Rank::of(count - index).0 * weight;
                }
            }
        }
    }
    ranks
}

/// How often each value comes.
fn counted<'k>(values: impl Iterator<Item = &'k str>) -> HashMap<&'k str, usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// The values, each with the places of the pods that share it. The groups come in no order of their own: in that of their first pods.
fn grouped<'k, 'v>(
    pods: &[Seen<'k>],
    value_of: impl Fn(&Seen<'k>) -> Option<&'v str>,
) -> Vec<(&'v str, Vec<usize>)> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (place, pod) in pods.iter().enumerate() {
        let Some(value) = value_of(pod) else { continue };
        let number = *numbers.entry(value).or_insert(groups.len());
        match groups.get_mut(number) {
            Some((_, group)) => group.push(place),
            None => groups.push((value, vec![place])),
        }
    }
    groups
}

/// The order of deletion within one place.
fn sorted(pods: &[Seen<'_>], mut group: Vec<usize>, ranks: &[Rank]) -> Vec<usize> {
    group.sort_by_cached_key(|place| {
        let rank = ranks.get(*place).copied().unwrap_or_default();
        let seen = pods.get(*place);
        seen.map(|pod| {
            (
                pod.standing,
                pod.ready,
                pod.wanted,
                pod.cost,
                Reverse(rank),
                &pod.age,
            )
        })
    });
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_status::Pod;
    use serde_json::json;
    use std::sync::Arc;

    const ZONE: &str = "topology.kubernetes.io/zone";

    fn on(name: &str, node: Option<&str>) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}
            ]}
        }))
        .unwrap()
    }

    fn ranks_of<'a>(pods: &[&'a Pod], crowd: &Crowd<'_>) -> Vec<(&'a str, Rank)> {
        let seen: Vec<Seen<'_>> = pods.iter().map(|pod| Seen::of(pod, true)).collect();
        let names = pods.iter().map(|pod| pod.name());
        names.zip(ranks(&seen, crowd)).collect()
    }

    fn spread<'a>(pods: &[&'a Pod], keys: &[&str], zones: &[(&str, &str)]) -> Vec<(&'a str, i32)> {
        spread_beside(pods, &[], keys, zones)
    }

    fn spread_beside<'a>(
        pods: &[&'a Pod],
        others: &[&str],
        keys: &[&str],
        zones: &[(&str, &str)],
    ) -> Vec<(&'a str, i32)> {
        let nodes: NodeLabels = zones
            .iter()
            .map(|(node, zone)| {
                let labels = [(ZONE, zone), (HOSTNAME, node)];
                let labels = labels.map(|(key, value)| (key.to_owned(), (*value).to_owned()));
                ((*node).to_owned(), Arc::new(labels.into()))
            })
            .collect();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let topology = Topology {
            keys: &keys,
            nodes: &nodes,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "small numbers, rounded for the eye"
        )]
        let rounded = |rank: Rank| (rank.0 * 10.0).round() as i32;
        let crowd = Crowd {
            topology: Some(topology),
            others: others.to_vec(),
        };
        ranks_of(pods, &crowd)
            .into_iter()
            .map(|(pod, rank)| (pod, rounded(rank)))
            .collect()
    }

    #[test]
    fn scenario_117_on_the_fuller_node_ranks_are_higher() {
        let pods = [
            on("a1", Some("a")),
            on("a2", Some("a")),
            on("a3", Some("a")),
            on("b1", Some("b")),
            on("b2", Some("b")),
            on("c1", Some("c")),
            on("d1", Some("d")),
            on("d2", Some("d")),
            on("d3", Some("d")),
            on("u1", None),
            on("u2", Some("")),
        ];
        let pods: Vec<&Pod> = pods.iter().collect();
        let rank = |count| Rank::of(count);
        let expected = [
            ("a1", rank(2)),
            ("a2", rank(1)),
            ("a3", rank(0)),
            ("b1", rank(1)),
            ("b2", rank(0)),
            ("c1", rank(0)),
            ("d1", rank(2)),
            ("d2", rank(1)),
            ("d3", rank(0)),
            ("u1", rank(0)),
            ("u2", rank(0)),
        ];
        assert_eq!(ranks_of(&pods, &Crowd::default()), expected);
    }

    /// Nodes a and b in zone x hold 2 and 1 pods, node c in zone y holds 1: the first of the fuller node in the fuller
    /// zone goes first.
    #[test]
    fn scenario_119_the_ranks_of_all_constraints_add_up() {
        let pods = [
            on("a1", Some("a")),
            on("a2", Some("a")),
            on("b1", Some("b")),
            on("c1", Some("c")),
        ];
        let pods: Vec<&Pod> = pods.iter().collect();
        let zones = [("a", "x"), ("b", "x"), ("c", "y")];
        // ln 4 = 1.386 for 2 zones; in zone x the pod of the fuller node goes first.
        assert_eq!(
            spread(&pods, &[ZONE], &zones),
            [("a1", 42), ("a2", 28), ("b1", 14), ("c1", 14)]
        );
        // ln 5 = 1.609 for 3 nodes.
        assert_eq!(
            spread(&pods, &[HOSTNAME], &zones),
            [("a1", 32), ("a2", 16), ("b1", 16), ("c1", 16)]
        );
        assert_eq!(
            spread(&pods, &[ZONE, HOSTNAME], &zones),
            [("a1", 74), ("a2", 44), ("b1", 30), ("c1", 30)]
        );
    }

    /// One pod in each zone may go, and another one in zone x stays: the zone is fuller.
    #[test]
    fn pods_that_stay_count_in_how_full_a_place_is() {
        let pods = [on("a1", Some("a")), on("b1", Some("b")), on("c1", Some("c"))];
        let pods: Vec<&Pod> = pods.iter().collect();
        let zones = [("a", "x"), ("b", "y"), ("c", "z"), ("d", "x")];
        // ln 5 = 1.609 for 3 zones.
        let expected = [("a1", 32), ("b1", 16), ("c1", 16)];
        assert_eq!(spread_beside(&pods, &["d"], &[ZONE], &zones), expected);
        let crowd = Crowd {
            topology: None,
            others: vec!["b", "e"],
        };
        let expected = [("a1", Rank::of(0)), ("b1", Rank::of(1)), ("c1", Rank::of(0))];
        assert_eq!(ranks_of(&pods, &crowd), expected);
    }

    #[test]
    fn a_node_that_is_not_known_or_lacks_the_label_adds_nothing() {
        let pods = [on("a1", Some("a")), on("z1", Some("z")), on("u1", None)];
        let pods: Vec<&Pod> = pods.iter().collect();
        assert_eq!(
            spread(&pods, &[ZONE, "rack"], &[("a", "x")]),
            [("a1", 11), ("z1", 0), ("u1", 0)]
        );
    }
}
