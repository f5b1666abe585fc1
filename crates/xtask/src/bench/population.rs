//! The objects of the generated cluster by number: how many there are, their names and their owners.
//!
//! Everything is computed from the number of an object. It knows no JSON and no requests.

use super::template::Field;
use std::fmt::Write as _;

/// CloneSets in one namespace.
const CLONESETS_PER_NAMESPACE: usize = 50;
/// Pods on one node.
const PODS_PER_NODE: usize = 40;
/// The resourceVersion before that of the first object.
const FIRST_VERSION: u64 = 4_000_000;
/// The letters of generated names: no vowels, no look-alikes.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const INSTANCE_ID_LENGTH: u32 = 5;
const HASH_LENGTH: u32 = 10;

/// A kind that the controller may list or watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    CloneSet,
    Revision,
    Pod,
    /// A PVC; there are none.
    Claim,
    /// There are none.
    Node,
}

impl Kind {
    /// The kind of a resource, which is the plural name in a path.
    pub(super) fn of_resource(resource: &str) -> Option<Self> {
        match resource {
            "clonesets" => Some(Self::CloneSet),
            "controllerrevisions" => Some(Self::Revision),
            "pods" => Some(Self::Pod),
            "persistentvolumeclaims" => Some(Self::Claim),
            "nodes" => Some(Self::Node),
            _ => None,
        }
    }

    /// API version and kind.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::CloneSet => ("apps.kruise.io/v1alpha1", "CloneSet"),
            Self::Revision => ("apps/v1", "ControllerRevision"),
            Self::Pod => ("v1", "Pod"),
            Self::Claim => ("v1", "PersistentVolumeClaim"),
            Self::Node => ("v1", "Node"),
        }
    }
}

/// One object of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// Its number among those of its kind, from 0.
    pub(super) index: usize,
}

/// How many objects there are. Every CloneSet has the same number of revisions and pods, and every pod is of the newest
/// revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Population {
    pub(super) clonesets: usize,
    /// Of each CloneSet; at least 1.
    pub(super) revisions: usize,
    /// Of each CloneSet.
    pub(super) pods: usize,
}

impl Population {
    /// The number of objects of a kind.
    pub(super) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::CloneSet => self.clonesets,
            Kind::Revision => self.clonesets * self.revisions,
            Kind::Pod => self.clonesets * self.pods,
            Kind::Claim | Kind::Node => 0,
        }
    }

    /// The resourceVersion of an object that nothing has changed.
    pub(super) fn first_version(&self, item: Item) -> u64 {
        let before = match item.kind {
            Kind::CloneSet => 0,
            Kind::Revision => self.clonesets,
            _ => self.clonesets + self.count(Kind::Revision),
        };
        FIRST_VERSION + number(before + item.index + 1)
    }

    /// The resourceVersion of the cluster before anything changes.
    pub(super) fn last_version(&self) -> u64 {
        let all = [Kind::CloneSet, Kind::Revision, Kind::Pod].map(|kind| self.count(kind));
        FIRST_VERSION + number(all.iter().sum())
    }

    /// The number of the CloneSet that owns an object, or of the CloneSet itself.
    fn owner(&self, item: Item) -> usize {
        match item.kind {
            Kind::Revision => item.index / self.revisions,
            Kind::Pod => item.index / self.pods,
            _ => item.index,
        }
    }

    /// The number of a revision, from 1; of a pod or CloneSet: of its update revision.
    fn release(&self, item: Item) -> usize {
        match item.kind {
            Kind::Revision => item.index % self.revisions + 1,
            _ => self.revisions,
        }
    }

    /// Appends the value of a field. The version and the status do not follow from the number, and are left out.
    pub(super) fn fill(&self, item: Item, field: Field, out: &mut String) {
        let owner = self.owner(item);
        let release = self.release(item);
        match field {
            Field::Name => self.name(item, out),
            Field::Namespace => push(out, format_args!("team-{:03}", owner / CLONESETS_PER_NAMESPACE)),
            Field::Uid => uid(item, out),
            Field::Owner => cloneset(owner, out),
            Field::OwnerUid => uid(
                Item {
                    kind: Kind::CloneSet,
                    index: owner,
                },
                out,
            ),
            Field::Revision => {
                cloneset(owner, out);
                out.push('-');
                self.hash(owner, release, out);
            }
            Field::Hash => self.hash(owner, release, out),
            Field::Release | Field::Number => push(out, format_args!("{release}")),
            Field::InstanceId => letters(item.index, INSTANCE_ID_LENGTH, out),
            Field::Node => push(out, format_args!("node-{:05}", item.index / PODS_PER_NODE)),
            Field::Ip => address(10, item.index, out),
            Field::HostIp => address(172, item.index / PODS_PER_NODE, out),
            Field::Replicas => push(out, format_args!("{}", self.pods)),
            Field::Message => match self.pods {
                0 => out.push_str("0 pods"),
                1 => out.push_str("1 pod, available; 1 of 1 updated"),
                pods => push(
                    out,
                    format_args!("{pods} pods, all available; {pods} of {pods} updated"),
                ),
            },
            Field::Version | Field::Status => {}
        }
    }

    fn name(&self, item: Item, out: &mut String) {
        let owner = self.owner(item);
        cloneset(owner, out);
        match item.kind {
            Kind::Pod => {
                out.push('-');
                letters(item.index, INSTANCE_ID_LENGTH, out);
            }
            Kind::Revision => {
                out.push('-');
                self.hash(owner, self.release(item), out);
            }
            _ => {}
        }
    }

    fn hash(&self, owner: usize, release: usize, out: &mut String) {
        letters(owner * self.revisions + release, HASH_LENGTH, out);
    }
}

fn cloneset(index: usize, out: &mut String) {
    push(out, format_args!("checkout-{index:05}"));
}

fn uid(item: Item, out: &mut String) {
    let kind = match item.kind {
        Kind::CloneSet => "c10e5e70",
        Kind::Revision => "4e715107",
        _ => "0ad0ad00",
    };
    push(out, format_args!("{kind}-5ba7-4d2e-9c10-{:012x}", item.index));
}

/// Letters that are different for different numbers below 27 to the power of `length`.
fn letters(index: usize, length: u32, out: &mut String) {
    // Not a multiple of 3, so that no two numbers give the same letters.
    const SCATTER: u64 = 7_919_921;
    let all = 27_u64.pow(length);
    let mut rest = number(index).wrapping_add(1).wrapping_mul(SCATTER) % all;
    for _ in 0..length {
        let letter = usize::try_from(rest % 27).ok().and_then(|at| LETTERS.get(at));
        out.push(letter.copied().map_or('b', char::from));
        rest /= 27;
    }
}

fn address(network: u8, index: usize, out: &mut String) {
    push(
        out,
        format_args!(
            "{network}.{}.{}.{}",
            index / 62_500 % 250,
            index / 250 % 250,
            index % 250 + 1
        ),
    );
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_uids_and_versions_are_different_for_every_object() {
        let population = Population {
            clonesets: 30,
            revisions: 11,
            pods: 100,
        };
        for kind in [Kind::CloneSet, Kind::Revision, Kind::Pod] {
            let value = |field, index| {
                let mut out = String::new();
                population.fill(Item { kind, index }, field, &mut out);
                out
            };
            let count = population.count(kind);
            for field in [Field::Name, Field::Uid] {
                let all: BTreeSet<String> = (0..count).map(|index| value(field, index)).collect();
                assert_eq!(all.len(), count, "{kind:?} {field:?}");
            }
        }
        let last_pod = Item {
            kind: Kind::Pod,
            index: 2_999,
        };
        assert_eq!(population.first_version(last_pod), population.last_version());
    }

    #[test]
    fn a_pod_is_of_the_newest_revision_of_its_cloneset() {
        let population = Population {
            clonesets: 3,
            revisions: 2,
            pods: 10,
        };
        let value = |kind, index, field| {
            let mut out = String::new();
            population.fill(Item { kind, index }, field, &mut out);
            out
        };
        let newest = value(Kind::Revision, 3, Field::Name);
        assert_eq!(value(Kind::Pod, 15, Field::Revision), newest);
        assert_eq!(value(Kind::CloneSet, 1, Field::Revision), newest);
        assert_eq!(value(Kind::Pod, 15, Field::Owner), "checkout-00001");
        assert_eq!(value(Kind::Revision, 3, Field::Number), "2");
    }
}
