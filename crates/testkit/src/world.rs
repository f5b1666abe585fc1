//! The world itself: what exists, what time it is, and the controller's loop run on it.
//!
//! One pass is what the controller does (observe, decide, act, report) with nothing in between but, if a test
//! asks for it, a kubelet that moves on between deciding and acting. The loop holds no decision.

use crate::act::Acted;
use crate::census::{Census, image_of, template_image};
use crate::claims::ClaimMemory;
use crate::denial::{Denials, Hold};
use crate::failure::Failure;
use crate::kubelet::{Kubelet, later, nodes};
use crate::limits::Limits;
use crate::store::Store;
use crate::trace::Trace;
use crate::words::{Deed, image_of_version, reject, summary, version_of};
use cloneset_api::names::{API_VERSION, KIND};
use cloneset_api::{CloneSet, CloneSetStatus, Condition};
use cloneset_plan::{Creation, Desired, Features, Plan, Snapshot, plan};
use cloneset_status::progress::deadline;
use cloneset_status::{Revision, Wait};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;

/// Passes after which a world that still moves is taken to move for ever.
const MAX_PASSES: usize = 2_000;
/// When every world begins: 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
/// The controller looks again this much after the moment it waits for, as available means *longer than*.
const AFTER_RECHECK: SignedDuration = SignedDuration::from_millis(10);

/// One CloneSet, its pods and revisions, and a clock.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) store: Store,
    pub(crate) kubelet: Kubelet,
    pub(crate) now: Timestamp,
    /// When the pass that is under way was decided.
    pub(crate) decided_at: Timestamp,
    pub(crate) reserved_ids: BTreeSet<String>,
    pub(crate) claim_memory: ClaimMemory,
    /// Claims of pods that were deleted by us, as only the world knows for ever.
    pub(crate) dismissed_claims: BTreeSet<String>,
    /// Writes after which the controller dies.
    pub(crate) dies_after: Option<usize>,
    /// Creating was refused.
    pub(crate) creation_hold: Option<Hold>,
    /// Writes to single pods that are denied.
    pub(crate) denials: Denials,
    /// Creation is stopped while the CloneSet has this generation.
    pub(crate) stopped_at_generation: Option<i64>,
    /// How far the controller's clock is ahead of the kubelets'.
    skew: SignedDuration,
    pub(crate) features: Features,
    lag: SignedDuration,
    trace: Trace,
    extremes: Extremes,
}

/// How far the number of pods went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extremes {
    /// The fewest pods that were available at a time.
    pub fewest_available: i32,
    /// The most pods that existed at a time.
    pub most_pods: i32,
}

/// One pass and what it came to.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What was decided.
    pub plan: Plan,
    /// What was done.
    pub deeds: Vec<Deed>,
    /// Did anything change, so that the next pass follows at once?
    pub changed: bool,
}

fn later_by(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(time)
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&summary(&self.deeds))
    }
}

impl World {
    /// A world with one CloneSet `sample` and no pods. `spec` is merged over: image `v1`, one label, one gate
    /// of ours, defaults of the schema.
    pub fn of(spec: &Value) -> Self {
        let mut world = Self::of_empty_spec();
        world.edit(spec);
        world
            .store
            .change_cloneset(|cloneset| cloneset.metadata.generation = Some(1));
        world.trace = Trace::default();
        world.tell(format!("CloneSet with {spec}"));
        world
    }

    fn of_empty_spec() -> Self {
        let cloneset = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": "sample", "namespace": "shop", "uid": "cloneset-1", "generation": 1},
            "spec": {
                "selector": {"matchLabels": {"app": "sample"}},
                "template": {
                    "metadata": {"labels": {"app": "sample"}},
                    "spec": {"containers": [{"name": "main", "image": image_of_version("v1")}]}
                }
            }
        });
        let cloneset: CloneSet = match serde_json::from_value(cloneset) {
            Ok(cloneset) => cloneset,
            Err(error) => reject(&format!("the CloneSet of every world: {error}")),
        };
        let now = Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            store: Store::new(cloneset),
            kubelet: Kubelet::default(),
            now,
            decided_at: now,
            reserved_ids: BTreeSet::new(),
            claim_memory: ClaimMemory::default(),
            dismissed_claims: BTreeSet::new(),
            dies_after: None,
            creation_hold: None,
            denials: Denials::default(),
            stopped_at_generation: None,
            skew: SignedDuration::ZERO,
            features: Features::default(),
            lag: SignedDuration::ZERO,
            trace: Trace::default(),
            extremes: Extremes::default(),
        }
    }

    /// Sets the switches of the process.
    #[must_use]
    pub fn with(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// Lets so much time pass between deciding and acting, in which the kubelet goes on.
    pub fn set_lag(&mut self, lag: SignedDuration) {
        self.lag = lag;
    }

    /// The controller's clock is set forward, or back below 0: from now on it is so far ahead of the kubelets'.
    pub fn set_skew(&mut self, skew: SignedDuration) {
        self.tell(format!("the controller's clock is set to {skew:#} ahead"));
        self.skew = skew;
    }

    /// What the planner would see now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            cloneset: self.store.cloneset.clone(),
            pods: self.store.pods().cloned().collect(),
            revisions: self.store.revisions().cloned().collect(),
            claims: self.owned_claims(),
            doomed_claims: self.doomed_claims(),
            fresh_claims: self.fresh_claims(),
            reserved_ids: self.reserved_ids.clone(),
            kept_pods: self.kept_pods(),
            creation: match &self.creation_hold {
                _ if self.is_stopped() => Creation::Stopped,
                Some(hold) if hold.holds(&self.store, self.now) => Creation::BackingOff,
                _ => Creation::Allowed,
            },
            nodes: Some(nodes()),
        }
    }

    /// What would be done now.
    pub fn plan(&self) -> Plan {
        let snapshot = self.snapshot();
        let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
        plan(&snapshot, &desired, self.features, self.controllers_now())
    }

    /// The time on the controller's clock.
    pub(crate) fn controllers_now(&self) -> Timestamp {
        later_by(self.now, self.skew)
    }

    /// One pass of the controller.
    pub fn pass(&mut self) -> Result<Pass, Failure> {
        let began = self.now;
        let snapshot = self.snapshot();
        let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
        let now = self.controllers_now();
        let plan = plan(&snapshot, &desired, self.features, now);
        let seen = Census::of(&self.store, now);
        self.decided_at = now;
        let moved_on = !self.lag.is_zero() && self.advance_to(later_by(self.now, self.lag));
        let acted = self.act(&plan, seen)?;
        self.note_extremes();
        let reported = self.report(&desired, &plan, &acted, seen)?;
        self.hold_creation(&acted);
        // What could not be created is held from now on, and updates have their turn.
        let makes_way = acted.refused.is_some() && plan.waits.contains(&Wait::ScalingFirst);
        // What was held when this pass began may be due by now.
        let due = self.denials.next(began).is_some_and(|at| at <= self.now);
        let changed = makes_way
            || due
            || !acted.deeds.is_empty()
            || acted.raced
            || acted.name_collision
            || reported
            || moved_on;
        Ok(Pass {
            plan,
            deeds: acted.deeds,
            changed,
        })
    }

    fn hold_creation(&mut self, acted: &Acted) {
        if acted.refused.is_some() {
            self.creation_hold = Some(Hold::after(self.creation_hold, &self.store, self.now));
            return;
        }
        let decided_at = self.decided_at.checked_sub(self.skew).unwrap_or(self.now);
        let is_over = |hold: &Hold| hold.until.is_some_and(|until| until <= decided_at);
        self.creation_hold = self.creation_hold.filter(|hold| !is_over(hold));
    }

    /// Passes and time go on until nothing is left to do and nothing is going to happen; then a day passes and
    /// still nothing is done.
    pub fn settle(&mut self) -> Result<(), Failure> {
        self.run(None)?;
        self.now = later(self.now, 86_400);
        let lag = std::mem::replace(&mut self.lag, SignedDuration::ZERO);
        let later_pass = self.pass()?;
        self.lag = lag;
        if later_pass.changed {
            return Err(self.failure(format!("it came to rest and a day later did: {later_pass}")));
        }
        self.is_not_stuck()
    }

    /// Passes and time go on for so many seconds.
    pub fn run_for(&mut self, seconds: u32) -> Result<(), Failure> {
        self.run(Some(later(self.now, seconds.into())))
    }

    fn run(&mut self, until: Option<Timestamp>) -> Result<(), Failure> {
        for _ in 0..MAX_PASSES {
            let pass = self.pass()?;
            if pass.changed && until.is_none_or(|until| self.now < until) {
                continue;
            }
            let recheck = pass.plan.recheck_at().map(|at| later_by(at, AFTER_RECHECK));
            let retry = self.creation_hold.and_then(|hold| hold.until);
            let deadline = deadline(&self.status(), self.store.cloneset.spec.progress_deadline_seconds);
            // The controller's times are those of its own clock.
            let [recheck, deadline] = [recheck, deadline].map(|at| Some(later_by(at?, -self.skew)));
            let deadline = deadline.filter(|at| *at > self.now);
            let denied = self.denials.next(self.now);
            let next = [self.kubelet.next(), recheck, retry, denied, deadline];
            let next = next.into_iter().flatten().min();
            if let Some(until) = until
                && (self.now >= until || next.is_none_or(|next| next > until))
            {
                self.advance_to(until);
                return Ok(());
            }
            let Some(next) = next else { return Ok(()) };
            self.advance_to(next);
        }
        Err(self.failure(format!("after {MAX_PASSES} passes it still moves")))
    }

    /// The clock moves on, never back, and the kubelet with it; true if something happened.
    fn advance_to(&mut self, at: Timestamp) -> bool {
        self.now = self.now.max(at);
        let told = self.kubelet.work(&mut self.store, self.now);
        let happened = !told.is_empty();
        for (at, line) in told {
            self.trace.tell(at, line);
        }
        self.note_extremes();
        happened
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Seconds since the world began.
    pub fn seconds(&self) -> i64 {
        self.now.as_second() - START
    }

    /// The CloneSet's status.
    pub fn status(&self) -> CloneSetStatus {
        self.store.cloneset.status.clone().unwrap_or_default()
    }

    /// Its conditions, in order: "Ready=True PartitionReached".
    pub fn conditions(&self) -> Vec<String> {
        let conditions = self.status().conditions.unwrap_or_default();
        let told = |condition: &Condition| {
            let reason = condition.reason.as_deref().unwrap_or_default();
            format!("{}={} {reason}", condition.type_, condition.status)
        };
        conditions.iter().map(told).collect()
    }

    /// The CloneSet.
    pub fn cloneset(&self) -> &CloneSet {
        &self.store.cloneset
    }

    /// The revisions, oldest first.
    pub fn revisions(&self) -> Vec<Revision> {
        let mut revisions: Vec<Revision> = self
            .store
            .revisions()
            .map(|revision| revision.as_ref().clone())
            .collect();
        revisions.sort_by_key(|revision| revision.revision);
        revisions
    }

    /// Versions of the revisions, oldest first.
    pub fn history(&self) -> Vec<String> {
        let template = |revision: &Revision| {
            revision
                .template()
                .as_ref()
                .map_or(String::new(), |t| version_of(image_of(t)))
        };
        self.revisions().iter().map(template).collect()
    }

    /// Version that pods held back by the partition are made from.
    pub fn current_version(&self) -> String {
        let current = self.status().current_revision.unwrap_or_default();
        let revision = self.store.revision(&current).and_then(Revision::template);
        version_of(revision.as_ref().map_or("", image_of))
    }

    /// Version of the template.
    pub fn template_version(&self) -> String {
        version_of(template_image(&self.store))
    }

    /// The live pods in words: `"3 v1 available, 1 v2 unavailable"`.
    pub fn inventory(&self) -> String {
        crate::census::inventory(&self.store, self.now)
    }

    /// What the spec promises.
    pub fn limits(&self) -> Limits {
        Limits::of(&self.store.cloneset.spec)
    }

    /// How far the number of pods went since this was last asked.
    pub fn take_extremes(&mut self) -> Extremes {
        let pods = Census::of(&self.store, self.now).counts;
        let now = Extremes {
            fewest_available: pods.available,
            most_pods: pods.replicas,
        };
        std::mem::replace(&mut self.extremes, now)
    }

    fn note_extremes(&mut self) {
        let pods = Census::of(&self.store, self.now).counts;
        self.extremes.fewest_available = self.extremes.fewest_available.min(pods.available);
        self.extremes.most_pods = self.extremes.most_pods.max(pods.replicas);
    }

    pub(crate) fn tell(&mut self, line: String) {
        self.trace.tell(self.now, line);
    }

    /// What happened so far.
    pub fn story(&self) -> String {
        let start = Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH);
        self.trace.story(start)
    }

    pub(crate) fn failure(&self, rule: String) -> Failure {
        Failure {
            rule,
            story: self.story(),
        }
    }
}
