//! An independent witness: watches every pod of a CloneSet during a rollout and checks its limits from outside.
//!
//! It knows nothing of the controller's reasoning: it counts live, available and updated pods after every pod
//! event, in the order in which the API server committed them, and holds the counts against what was promised.
//! What it counts as updated is told by the image, not by a revision label that the controller wrote.

use crate::namespace::Namespace;
use crate::pods::{controller_uid, image, is_available, is_live, outline};
use crate::waits::{Seen, until};
use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

/// Seconds after which a watch is opened anew; well below the client's read time-out.
const WATCH_SECONDS: u32 = 30;
/// Sightings before a violation that its message shows.
const CONTEXT: usize = 12;

/// What was promised.
#[derive(Clone, Debug)]
pub struct Limits {
    /// At most so many live pods: replicas + maxSurge.
    pub live: usize,
    /// At least so many available pods: replicas - maxUnavailable.
    pub available: usize,
    /// At most so many updated pods: replicas - partition.
    pub updated: usize,
}

/// Whose pods to watch, and how to tell which of them are available and updated.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name of the CloneSet.
    pub cloneset: String,
    /// A pod with this image is an updated one.
    pub updated_image: String,
    /// `minReadySeconds`
    pub min_ready: SignedDuration,
}

/// The pods, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Neither terminating nor finished.
    pub live: usize,
    /// Of these, ready for at least `minReadySeconds`.
    pub available: usize,
    /// Of the live ones, with the image that the rollout brings.
    pub updated: usize,
}

/// One pod event and the counts after it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The pod as the event showed it.
    pub pod: Pod,
    /// Added, modified or deleted.
    pub change: &'static str,
    /// When the watch showed it, which is a little after it was committed.
    pub seen: Timestamp,
    /// The counts after it.
    pub tally: Tally,
}

/// Watches until told to finish.
pub struct Witness {
    pods: Api<Pod>,
    record: Arc<Mutex<Record>>,
    watching: JoinHandle<()>,
}

/// All that a witness saw, once it had nothing to object to.
#[derive(Debug)]
pub struct Testimony {
    /// Every pod event, in order.
    pub sightings: Vec<Sighting>,
}

impl Testimony {
    /// The most live pods seen at once: shows whether surge was used at all.
    pub fn most_live(&self) -> usize {
        self.sightings
            .iter()
            .map(|sighting| sighting.tally.live)
            .max()
            .unwrap_or_default()
    }

    /// The fewest available pods seen: shows whether maxUnavailable was used at all.
    pub fn fewest_available(&self) -> usize {
        self.sightings
            .iter()
            .map(|sighting| sighting.tally.available)
            .min()
            .unwrap_or_default()
    }
}

impl Witness {
    /// Starts watching. What is there already must be within the limits.
    pub async fn start(namespace: &Namespace, subject: Subject, limits: Limits) -> Result<Self> {
        let owner = namespace.clonesets().get(&subject.cloneset).await?;
        let uid = owner.metadata.uid.context("a CloneSet without a UID")?;
        let pods = namespace.pods();
        let list = pods.list(&ListParams::default()).await?;
        let version = list
            .metadata
            .resource_version
            .context("a list without a resourceVersion")?;
        let record = Record::new(uid, subject, limits, list.items);
        ensure!(
            record.objections.is_empty(),
            "before anything moved: {}",
            record.objections.join("\n")
        );
        let record = Arc::new(Mutex::new(record));
        let watching = tokio::spawn(watch(pods.clone(), version, Arc::clone(&record)));
        Ok(Self {
            pods,
            record,
            watching,
        })
    }

    /// Limits from now on. Widen them before the change that allows more, narrow them when all has settled.
    pub fn promise(&self, limits: Limits) {
        lock(&self.record).limits = limits;
    }

    /// Waits until all that happened so far was seen, and gives the testimony, or every violation.
    pub async fn finish(self) -> Result<Testimony> {
        let caught_up = until(
            "the witness to have seen the present state of every pod",
            async || {
                let mut now = self.pods.list(&ListParams::default()).await?.items;
                let record = lock(&self.record);
                if let Some(error) = &record.blind {
                    return Ok(Seen::Yes(Err(error.clone())));
                }
                now.retain(|pod| record.is_ours(pod));
                Ok(if record.agrees_with(&now) {
                    Seen::Yes(Ok(()))
                } else {
                    Seen::NotYet(outline(&now))
                })
            },
        )
        .await?;
        self.watching.abort();
        if let Err(error) = caught_up {
            bail!("the witness could not watch: {error}");
        }
        let record = lock(&self.record);
        ensure!(
            record.objections.is_empty(),
            "limits were broken:\n{}",
            record.objections.join("\n")
        );
        Ok(Testimony {
            sightings: record.sightings.clone(),
        })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not kube's watcher: a relist would skip what happened in between, and a witness must not skip anything. A watch
/// that cannot go on where the last one ended makes the witness blind, and that fails the test.
async fn watch(pods: Api<Pod>, mut version: String, record: Arc<Mutex<Record>>) {
    loop {
        if let Err(error) = watch_once(&pods, &mut version, &record).await {
            lock(&record).blind = Some(format!("{error:#}"));
            return;
        }
    }
}

async fn watch_once(pods: &Api<Pod>, version: &mut String, record: &Mutex<Record>) -> Result<()> {
    let parameters = WatchParams::default().timeout(WATCH_SECONDS);
    let mut events = pods.watch(&parameters, version).await?.boxed();
    while let Some(event) = events.try_next().await? {
        let (change, pod) = match event {
            WatchEvent::Added(pod) => ("added", pod),
            WatchEvent::Modified(pod) => ("modified", pod),
            WatchEvent::Deleted(pod) => ("deleted", pod),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) => bail!("{status}"),
        };
        if let Some(seen) = pod.resource_version() {
            *version = seen;
        }
        lock(record).see(change, pod, Timestamp::now());
    }
    Ok(())
}

/// What the witness has seen so far.
struct Record {
    owner: String,
    subject: Subject,
    limits: Limits,
    pods: BTreeMap<String, Pod>,
    sightings: Vec<Sighting>,
    objections: Vec<String>,
    blind: Option<String>,
}

impl Record {
    fn new(owner: String, subject: Subject, limits: Limits, present: Vec<Pod>) -> Self {
        let mut record = Self {
            owner,
            subject,
            limits,
            pods: BTreeMap::new(),
            sightings: Vec::new(),
            objections: Vec::new(),
            blind: None,
        };
        let ours = present
            .into_iter()
            .filter(|pod| controller_uid(pod) == Some(&record.owner));
        record.pods = ours.map(|pod| (uid(&pod), pod)).collect();
        record.judge(record.tally(Timestamp::now()));
        record
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        controller_uid(pod) == Some(&self.owner)
    }

    fn see(&mut self, change: &'static str, pod: Pod, now: Timestamp) {
        if !self.is_ours(&pod) {
            return;
        }
        if change == "deleted" {
            self.pods.remove(&uid(&pod));
        } else {
            self.pods.insert(uid(&pod), pod.clone());
        }
        let tally = self.tally(now);
        self.sightings.push(Sighting {
            pod,
            change,
            seen: now,
            tally,
        });
        self.judge(tally);
    }

    fn tally(&self, now: Timestamp) -> Tally {
        let count = |holds: &dyn Fn(&Pod) -> bool| {
            self.pods
                .values()
                .filter(|pod| is_live(pod) && holds(pod))
                .count()
        };
        Tally {
            live: count(&|_| true),
            available: count(&|pod| is_available(pod, self.subject.min_ready, now)),
            updated: count(&|pod| image(pod) == self.subject.updated_image),
        }
    }

    fn judge(&mut self, tally: Tally) {
        let Limits {
            live,
            available,
            updated,
        } = self.limits;
        let mut broken = Vec::new();
        if tally.live > live {
            broken.push(format!("{} live pods, at most {live} were promised", tally.live));
        }
        if tally.available < available {
            broken.push(format!(
                "{} available pods, at least {available} were promised",
                tally.available
            ));
        }
        if tally.updated > updated {
            broken.push(format!(
                "{} updated pods, at most {updated} were promised",
                tally.updated
            ));
        }
        if !broken.is_empty() {
            self.objections.push(format!(
                "{}; seen up to then:\n{}",
                broken.join(" and "),
                self.recently()
            ));
        }
    }

    fn recently(&self) -> String {
        let mut text = String::new();
        for Sighting {
            pod, change, tally, ..
        } in self.sightings.iter().rev().take(CONTEXT).rev()
        {
            let line = outline(std::slice::from_ref(pod));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {change} {line} -> {tally:?}");
        }
        text
    }

    fn agrees_with(&self, now: &[Pod]) -> bool {
        let versions = |pods: &mut dyn Iterator<Item = &Pod>| -> BTreeMap<String, Option<String>> {
            pods.map(|pod| (uid(pod), pod.resource_version())).collect()
        };
        versions(&mut now.iter()) == versions(&mut self.pods.values())
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, image: &str, ready_since: Option<&str>) -> Pod {
        let condition =
            ready_since.map(|since| json!({"type": "Ready", "status": "True", "lastTransitionTime": since}));
        let manifest = json!({
            "metadata": {
                "name": name,
                "uid": name,
                "ownerReferences": [
                    {"apiVersion": "a/v1", "kind": "CloneSet", "name": "web", "uid": "web-uid", "controller": true}
                ]
            },
            "spec": {"containers": [{"name": "main", "image": image}]},
            "status": {"phase": "Running", "conditions": condition.into_iter().collect::<Vec<_>>()}
        });
        serde_json::from_value(manifest).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    /// Two available old pods, of which one may be missing and one updated.
    fn record() -> Record {
        let subject = Subject {
            cloneset: "web".into(),
            updated_image: "new".into(),
            min_ready: SignedDuration::from_secs(10),
        };
        let old = |name| pod(name, "old", Some("2026-01-01T00:00:00Z"));
        let limits = Limits {
            live: 2,
            available: 1,
            updated: 1,
        };
        Record::new("web-uid".into(), subject, limits, vec![old("a"), old("b")])
    }

    #[test]
    fn a_rollout_within_its_limits_gives_no_objection() {
        let mut record = record();
        record.see("deleted", pod("a", "old", None), now());
        record.see("added", pod("c", "new", None), now());
        record.see("modified", pod("c", "new", Some("2026-01-01T00:00:50Z")), now());
        assert_eq!(record.objections, [] as [&str; 0]);
        let tallies: Vec<_> = record.sightings.iter().map(|sighting| sighting.tally).collect();
        let tally = |live, available, updated| Tally {
            live,
            available,
            updated,
        };
        assert_eq!(tallies, [tally(1, 1, 0), tally(2, 1, 1), tally(2, 2, 1)]);
    }

    #[test]
    fn each_limit_is_watched_on_its_own() {
        let mut surplus = record();
        surplus.see("added", pod("c", "old", None), now());
        assert!(
            surplus.objections[0].starts_with("3 live pods, at most 2"),
            "{:?}",
            surplus.objections
        );

        let mut missing = record();
        missing.see("modified", pod("a", "old", None), now());
        // Ready, but not for minReadySeconds.
        missing.see("modified", pod("b", "old", Some("2026-01-01T00:00:55Z")), now());
        assert_eq!(missing.objections.len(), 1);
        assert!(
            missing.objections[0].starts_with("0 available pods, at least 1"),
            "{:?}",
            missing.objections
        );

        let mut ahead = record();
        ahead.see("modified", pod("a", "new", Some("2026-01-01T00:00:00Z")), now());
        ahead.see("modified", pod("b", "new", Some("2026-01-01T00:00:00Z")), now());
        assert!(
            ahead.objections[0].starts_with("2 updated pods, at most 1"),
            "{:?}",
            ahead.objections
        );
    }

    #[test]
    fn pods_of_others_do_not_count() {
        let mut record = record();
        let mut foreign = pod("c", "new", None);
        foreign.metadata.owner_references = None;
        record.see("added", foreign, now());
        assert!(record.sightings.is_empty());
    }
}
