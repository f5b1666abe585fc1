//! A second judge of every write, which knows a CloneSet only as the clients of its Service do.
//!
//! Clients reach the Ready pods behind the Service. The judge lists them before and after a write of the controller and
//! holds the difference against what users are promised. It shares no code and no terms with `plan`, `status` or the
//! first judge (`oracle`): it reads the stored fields of a pod and does its own arithmetic, so a mistake in their idea of
//! "available" or "budget" is not repeated here.
//!
//! With R for `replicas` and U for `maxUnavailable`, as [`Limits`] reads them from the spec, the promises are:
//!
//! 1. **Floor.** A write that takes a pod away from the clients leaves at least R − U that serve. Where fewer than that
//!    serve already, no write takes another one. Pods that the user named for deletion are no exception: they wait.
//! 2. **Stand-ins.** Of the pods that are left, only those count that can stand in for the pod that is taken. For an
//!    available pod these are the available ones. For a pod that serves but is not available yet, they are also the
//!    pods of its own version and the pods that are older than it and have been Ready for at least as long.
//! 3. **Updates.** To make place for another version, a write takes a serving pod only while at least R − U
//!    *available* pods are left. (A surplus pod, or one that the user named, makes place for nothing.)
//!
//!    A pod that serves but that no passing of time makes available (a hook keeps it out of normal service) is only
//!    protected by promise 1: nobody has said that it is any good, and otherwise it could never be replaced.
//! 4. **Abandoned versions go first.** While the old versions have more pods than the partition leaves them, a pod of
//!    the template's version that serves is neither deleted as surplus nor replaced. After a rollback the template's
//!    version is the stable one.
//!
//! Where all pods are of one version, promises 1 and 2 are the same: surplus Ready pods can be deleted at once, whatever
//! `minReadySeconds` is. A pod that does not serve can always be deleted. That the way out is never closed cannot be seen
//! in a single write; [`stuck`] looks for it where the controller has come to rest.
//!
//! A pod **serves** when it carries the labels of the Service, runs, is Ready and not terminating, and no label announces
//! that it is about to leave (`PreparingDelete`, `PreparingUpdate`): whoever drains pods acts on these labels, so the
//! write that sets one takes the pod away from the clients. A pod is **available** when it serves, is in normal service,
//! and has been Ready for longer than `minReadySeconds`.

use crate::limits::Limits;
use cloneset_api::CloneSet;
use cloneset_status::Pod;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Says what a pod is about to do, for those who drain pods.
const STATE: &str = "lifecycle.apps.kruise.io/state";
/// Asks for a pod to be deleted.
const SPECIFIED_DELETE: &str = "apps.kruise.io/specified-delete";

/// A pod as its clients know it.
#[derive(Clone, Copy, Debug)]
struct Endpoint<'a> {
    uid: &'a str,
    name: &'a str,
    version: &'a str,
    created: Timestamp,
    ready_since: Timestamp,
    serves: bool,
    available: bool,
    /// It is in normal service, as far as its label says.
    is_normal: bool,
    /// It exists, has not run to an end, and is not about to be deleted.
    stays: bool,
    /// It is on its way to another version.
    is_changing: bool,
    /// The user asked for this pod to be deleted.
    named: bool,
}

/// The pods at one moment, and what the spec promises about them.
struct View<'a> {
    limits: Limits,
    /// The version in the template.
    wanted: &'a str,
    is_paused: bool,
    pods: Vec<Endpoint<'a>>,
}

impl<'a> View<'a> {
    fn of(cloneset: &'a CloneSet, pods: &'a [Arc<Pod>], now: Timestamp) -> Self {
        let limits = Limits::of(&cloneset.spec);
        let pods = pods.iter().map(|pod| endpoint(cloneset, pod, limits, now));
        Self {
            limits,
            wanted: version_in(&cloneset.spec.template.0),
            is_paused: cloneset.spec.update_strategy.paused == Some(true),
            pods: pods.collect(),
        }
    }

    /// The number that rules 1 to 3 protect.
    fn floor(&self) -> i32 {
        self.limits.replicas.saturating_sub(self.limits.unavailable)
    }

    fn count(&self, is_counted: impl Fn(&Endpoint<'_>) -> bool) -> i32 {
        let counted = self.pods.iter().filter(|pod| is_counted(pod));
        i32::try_from(counted.count()).unwrap_or(i32::MAX)
    }

    fn find(&self, uid: &str) -> Option<&Endpoint<'a>> {
        self.pods.iter().find(|pod| pod.uid == uid)
    }
}

/// Holds one write against the promises. `before` and `after` are the pods right before and right after it, `now` is
/// the moment at which the controller decided on it.
pub(crate) fn judge(
    cloneset: &CloneSet,
    before: &[Arc<Pod>],
    after: &[Arc<Pod>],
    now: Timestamp,
) -> Result<(), String> {
    // Most writes change no pod that serves; comparing pointers tells without looking at every pod.
    let is_changed = |pod: &&Arc<Pod>| !after.iter().any(|left| Arc::ptr_eq(left, pod));
    if !before.iter().any(|pod| is_changed(&pod)) {
        return Ok(());
    }
    let (before, after) = (View::of(cloneset, before, now), View::of(cloneset, after, now));
    for pod in before.pods.iter().filter(|pod| pod.serves) {
        let left = after.find(pod.uid);
        if left.is_some_and(|left| left.serves) {
            continue;
        }
        keeps_the_floor(pod, &before, &after)?;
        if pod.is_normal {
            has_stand_ins(pod, &after)?;
        }
        if !pod.named {
            let is_changed = left.is_some_and(|left| left.stays);
            if pod.is_normal {
                makes_place_for_an_update(pod, is_changed, &after)?;
            }
            goes_in_order(pod, &before)?;
        }
    }
    Ok(())
}

/// Promise 1.
fn keeps_the_floor(pod: &Endpoint<'_>, before: &View<'_>, after: &View<'_>) -> Result<(), String> {
    let (had, left, floor) = (
        before.count(|pod| pod.serves),
        after.count(|pod| pod.serves),
        after.floor(),
    );
    rule(left >= floor, || {
        format!(
            "client, floor: without {} {left} of {had} pods serve, replicas - maxUnavailable is {floor}",
            pod.name
        )
    })
}

/// Promise 2.
fn has_stand_ins(pod: &Endpoint<'_>, after: &View<'_>) -> Result<(), String> {
    let stands_in = |other: &Endpoint<'_>| {
        let is_as_good = other.version == pod.version
            || (other.created <= pod.created && other.ready_since <= pod.ready_since);
        other.available || (!pod.available && other.serves && is_as_good)
    };
    let (left, floor) = (after.count(stands_in), after.floor());
    rule(left >= floor, || {
        let proof = if pod.available { "available" } else { "Ready" };
        format!(
            "client, stand-ins: {left} pods can stand in for {}, which is {proof}; replicas - maxUnavailable is {floor}",
            pod.name
        )
    })
}

/// Promise 3. A pod that stays has been taken out of service to be changed; one that goes and leaves fewer than the
/// replicas behind is going to be replaced.
fn makes_place_for_an_update(pod: &Endpoint<'_>, is_changed: bool, after: &View<'_>) -> Result<(), String> {
    let is_surplus = !is_changed && after.count(|pod| pod.stays) >= after.limits.replicas;
    let (left, floor) = (after.count(|pod| pod.available), after.floor());
    rule(is_surplus || left >= floor, || {
        format!(
            "client, update: {left} available pods are left when {} makes place, replicas - maxUnavailable is {floor}",
            pod.name
        )
    })
}

/// Promises 4 and 5.
fn goes_in_order(pod: &Endpoint<'_>, before: &View<'_>) -> Result<(), String> {
    let Limits {
        replicas, partition, ..
    } = before.limits;
    let counts = |other: &Endpoint<'_>| other.stays && !other.named;
    let is_wanted = |other: &Endpoint<'_>| other.is_changing || other.version == before.wanted;
    let wanted = before.count(|other| counts(other) && is_wanted(other));
    let old = before.count(|other| counts(other) && !is_wanted(other));
    let is_old = pod.version != before.wanted;
    if before.is_paused {
        let is_younger = |other: &Endpoint<'_>| other.created > pod.created;
        let younger = before.count(|other| counts(other) && is_wanted(other) && is_younger(other));
        let must_stay = is_old && wanted > 0 && younger == wanted && old <= replicas;
        return rule(!must_stay, || {
            format!(
                "client, paused: {} of an old version goes while there are {wanted} younger pods of the template's version",
                pod.name
            )
        });
    }
    let others_go_first = old > partition && wanted <= replicas.saturating_sub(partition);
    rule(is_old || !others_go_first, || {
        format!(
            "client, abandoned: {} of the template's version goes while there are {old} pods of other versions, to which \
             the partition leaves {partition}",
            pod.name
        )
    })
}

/// Is there a pod that keeps the set from being as the spec says, and that serves nobody? Looked at where the controller
/// has come to rest: nothing stands in the way of deleting such a pod, so it must not be there any more.
///
/// `is_kept` says which pods cannot be deleted, because a hook holds them or the API server denies it.
pub(crate) fn stuck(
    cloneset: &CloneSet,
    pods: &[Arc<Pod>],
    is_kept: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<(), String> {
    let view = View::of(cloneset, pods, now);
    let (staying, most) = (
        view.count(|pod| pod.stays),
        view.limits.replicas.saturating_add(view.limits.surge),
    );
    if staying <= most {
        return Ok(());
    }
    let mut broken = view
        .pods
        .iter()
        .filter(|pod| pod.stays && !pod.serves && !is_kept(pod.name));
    match broken.next() {
        None => Ok(()),
        Some(pod) => Err(format!(
            "client, way out: {} serves nobody and stays, although there are {staying} pods and replicas + maxSurge is \
             {most}",
            pod.name
        )),
    }
}

fn endpoint<'a>(cloneset: &'a CloneSet, pod: &'a Pod, limits: Limits, now: Timestamp) -> Endpoint<'a> {
    let (metadata, status) = (&pod.metadata, &pod.status);
    let name = metadata.name.as_deref().unwrap_or_default();
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let state = label(STATE).map_or("", String::as_str);
    let ready = status.conditions.iter().find(|found| found.type_ == "Ready");
    let is_ready = ready.is_some_and(|ready| ready.status == "True");
    let ready_since = ready.and_then(|ready| ready.last_transition_time.as_ref());
    let ready_since = ready_since.map_or(Timestamp::MAX, |time| time.0);
    let created = metadata.creation_timestamp.as_ref();
    let is_terminating = metadata.deletion_timestamp.is_some();
    let phase = status.phase.as_deref().unwrap_or_default();
    let of_service = cloneset.spec.selector.match_labels.as_ref();
    let is_behind = of_service
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == Some(value));
    let is_leaving = matches!(state, "PreparingDelete" | "PreparingUpdate");
    let serves = is_behind && phase == "Running" && is_ready && !is_terminating && !is_leaving;
    let is_normal = matches!(state, "" | "Normal");
    let least = SignedDuration::from_secs(limits.min_ready_seconds.into());
    let is_proven = limits.min_ready_seconds == 0 || now.duration_since(ready_since) > least;
    let scale = cloneset.spec.scale_strategy.as_ref();
    let names = scale.and_then(|scale| scale.pods_to_delete.as_ref());
    Endpoint {
        uid: metadata.uid.as_deref().unwrap_or_default(),
        name,
        version: version_of(pod),
        created: created.map_or(Timestamp::MAX, |time| time.0),
        ready_since,
        serves,
        available: serves && is_proven && is_normal,
        is_normal,
        stays: !is_terminating && !matches!(phase, "Succeeded" | "Failed") && state != "PreparingDelete",
        is_changing: matches!(state, "PreparingUpdate" | "Updating"),
        named: label(SPECIFIED_DELETE).is_some() || names.into_iter().flatten().any(|found| found == name),
    }
}

/// What a pod runs: the image of its first container, or the annotation `version` where templates differ in nothing else.
fn version_of(pod: &Pod) -> &str {
    let annotations: Option<&BTreeMap<String, String>> = pod.metadata.annotations.as_ref();
    let annotation = annotations.and_then(|annotations| annotations.get("version"));
    let image = || pod.spec.containers.first().map(|container| &container.image);
    annotation.or_else(image).map_or("", String::as_str)
}

/// The same of a template.
fn version_in(template: &serde_json::Value) -> &str {
    let annotation = || {
        template
            .get("metadata")?
            .get("annotations")?
            .get("version")?
            .as_str()
    };
    let image = || {
        let containers = template.get("spec")?.get("containers")?;
        containers.get(0)?.get("image")?.as_str()
    };
    annotation().or_else(image).unwrap_or_default()
}

fn rule(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

#[cfg(test)]
mod tests;
