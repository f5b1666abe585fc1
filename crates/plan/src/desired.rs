//! The spec, parsed once into numbers that cannot be wrong (`design.md` 4, step 2).
//!
//! The only place that knows a version of the API. A bad value never becomes a silent default: the most cautious
//! value stands in for it and a [`Problem`] names field, value and rule.

use crate::claim_template;
use crate::diff::Targets;
use crate::hooks::Hooks;
use crate::priority::Priority;
use crate::rules;
use crate::scatter::Scatter;
use crate::template_rules;
use cloneset_api::names::labels;
use cloneset_api::{CloneSet, CloneSetSpec, IntOrString, Rounding};
use cloneset_status::Held;
use cloneset_status::selector::Selector;
use cloneset_status::why::{Problem, Verdict};
use std::collections::BTreeSet;

/// Switches of the process, by Kruise's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `CloneSetPartitionRollback`: raising the partition moves pods back to the current revision.
    pub partition_rollback: bool,
    /// `CloneSetShortHash`: pods carry the short form of their revision.
    pub short_hash: bool,
    /// `--cloneset-scaling-exclude-preparing-delete`: for every CloneSet, what the label of that name says for one.
    pub exclude_preparing_delete: bool,
    /// `InPlaceWorkloadVerticalScaling`: resources of containers can be changed in place.
    pub in_place_resize: bool,
    /// `RecreatePodWhenChangeVCTInCloneSetGate`: a pod whose claims are made from other templates is re-created, not
    /// changed in place.
    pub recreate_for_claims: bool,
    /// `PreparingUpdateAsUpdate`: while scaling, a pod that hook `inPlaceUpdate` holds before its update counts as
    /// updated.
    pub preparing_update_as_update: bool,
    /// `StatusConditions` turned off: status carries neither `Ready` nor `Reconciling`, for tools that cannot bear
    /// conditions they do not know.
    pub kruise_conditions_only: bool,
}

/// How pods move to a new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateType {
    /// Delete the pod and create a new one.
    ReCreate,
    /// Change the pod, or re-create it where it cannot be changed.
    InPlaceIfPossible,
    /// Change the pod, and leave it alone where it cannot be changed.
    InPlaceOnly,
    /// Leave pods alone until somebody deletes them.
    OnDelete,
}

/// What the spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Pods there should be.
    pub replicas: i32,
    /// Pods that stay on old revisions, 0 to `replicas`.
    pub partition: i32,
    /// Does the partition, as written, ask for every pod to be updated (0, "0%" or absent)? Only then may the
    /// current revision move (`design.md` 6, deviation 6).
    pub updates_all: bool,
    /// Pods that may be unavailable during an update.
    pub max_unavailable: i32,
    /// Pods that may exist above `replicas`; 0 while paused.
    pub max_surge: i32,
    /// Unavailable pods at which creation stops; `i32::MAX` without a limit.
    pub scale_max_unavailable: i32,
    /// Is the update held?
    pub paused: bool,
    /// How pods move.
    pub update_type: UpdateType,
    /// Seconds a pod is out of service before it is changed in place.
    pub grace_seconds: i32,
    /// Points in a pod's life at which somebody else has a say.
    pub hooks: Hooks,
    /// Seconds a pod must have been ready before it is available.
    pub min_ready_seconds: i32,
    /// Seconds after which an update should be complete; `None` when there is no such deadline.
    pub progress_deadline: Option<i32>,
    /// Revisions without pods that are kept.
    pub revision_history_limit: usize,
    /// Do pods in `PreparingDelete` no longer count as replicas?
    pub exclude_preparing_delete: bool,
    /// Names of pods that somebody asked to go.
    pub pods_to_delete: BTreeSet<String>,
    /// Which pods are updated first.
    pub priority: Priority,
    /// Which pods are spread over the update.
    pub scatter: Scatter,
    /// The labels of nodes over which pods are kept spread on scale-in: the template's `topologySpreadConstraints`.
    pub topology_keys: Vec<String>,
    /// Which pods are ours; `None` when the selector is not valid.
    pub selector: Option<Selector>,
    /// Does the next pod take over the claims of one that vanished?
    pub reuse_claims: bool,
    /// What is wrong with the spec; empty for a good one.
    pub problems: Vec<Problem>,
}

impl Desired {
    /// Parses the spec of a CloneSet that has `existing` active pods.
    ///
    /// Total: whatever is written gives a `Desired`; what was wrong stands in [`Self::problems`].
    #[must_use]
    pub fn parse(cloneset: &CloneSet, existing: i32) -> Self {
        let spec = &cloneset.spec;
        let mut parse = Parse {
            problems: template_rules::broken(cloneset),
        };
        parse.problems.extend(rules::broken(spec));
        let selector = parse.selector(spec);
        let (update_type, known_type) = parse.update_type(spec);
        parse.problems.extend(claim_template::problem(spec));

        let replicas = parse.replicas(spec, existing);
        let paused = spec.update_strategy.paused.unwrap_or(false) || !known_type;
        let rolling = update_type != UpdateType::OnDelete;
        let strategy = &spec.update_strategy;
        let written_surge = parse.count(
            "spec.updateStrategy.maxSurge",
            strategy.max_surge.as_ref(),
            replicas,
            0,
        );
        let max_surge = if paused || !rolling { 0 } else { written_surge };
        let max_unavailable = parse.max_unavailable(spec, replicas, rolling, max_surge);
        // Below 0 means none too, as in Kruise.
        let grace = strategy
            .in_place_update_strategy
            .as_ref()
            .and_then(|details| details.grace_period_seconds)
            .map_or(0, |seconds| seconds.max(0));
        let (partition, updates_all) = parse.partition(spec, replicas, rolling);
        let scale_max_unavailable = match spec
            .scale_strategy
            .as_ref()
            .and_then(|s| s.max_unavailable.as_ref())
        {
            None => i32::MAX,
            written => parse.count("spec.scaleStrategy.maxUnavailable", written, replicas, 0),
        };
        let exclude = cloneset
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(labels::EXCLUDE_PREPARING_DELETE));
        Self {
            replicas,
            partition,
            updates_all,
            max_unavailable,
            max_surge,
            scale_max_unavailable,
            paused,
            update_type,
            grace_seconds: grace,
            hooks: Hooks::of(spec.lifecycle.as_ref()),
            min_ready_seconds: parse.non_negative("spec.minReadySeconds", spec.min_ready_seconds, 0),
            // A negative value is told by the rules; no deadline is the cautious one.
            progress_deadline: spec
                .progress_deadline_seconds
                .filter(|seconds| (0..i32::MAX).contains(seconds)),
            revision_history_limit: usize::try_from(parse.non_negative(
                "spec.revisionHistoryLimit",
                spec.revision_history_limit,
                10,
            ))
            .unwrap_or(0),
            exclude_preparing_delete: exclude.is_some_and(|value| value == "true"),
            pods_to_delete: spec
                .scale_strategy
                .iter()
                .flat_map(|scale| scale.pods_to_delete.iter().flatten().cloned())
                .collect(),
            priority: Priority::of(strategy.priority_strategy.as_ref()),
            scatter: Scatter::of(strategy.scatter_strategy.as_deref()),
            topology_keys: spec.template.topology_keys(),
            selector,
            reuse_claims: spec
                .scale_strategy
                .as_ref()
                .is_none_or(|scale| scale.disable_pvc_reuse != Some(true)),
            problems: parse.problems,
        }
    }

    /// Must no pod be changed?
    pub fn is_blocked(&self) -> bool {
        self.problems.iter().any(Problem::blocks)
    }

    /// Is the update held because somebody wants it so?
    pub fn held(&self) -> Option<Held> {
        if self.paused {
            Some(Held::Paused)
        } else if self.update_type == UpdateType::OnDelete {
            Some(Held::OnDelete)
        } else {
            None
        }
    }

    /// Pods that should have the update revision.
    pub fn expected_updated(&self) -> i32 {
        self.replicas.saturating_sub(self.partition)
    }

    /// The numbers the formulas start from.
    pub fn targets(&self, features: Features, current_is_update: bool) -> Targets {
        Targets {
            replicas: self.replicas,
            partition: self.partition,
            max_unavailable: self.max_unavailable,
            max_surge: self.max_surge,
            scale_max_unavailable: self.scale_max_unavailable,
            exclude_preparing_delete: self.exclude_preparing_delete || features.exclude_preparing_delete,
            may_roll_back: features.partition_rollback && !current_is_update,
        }
    }
}

/// Collects problems while values are read.
struct Parse {
    problems: Vec<Problem>,
}

impl Parse {
    fn problem(&mut self, field: &'static str, value: String, rule: impl Into<String>, verdict: Verdict) {
        self.problems.push(Problem {
            field,
            value,
            rule: rule.into(),
            verdict,
        });
    }

    fn selector(&mut self, spec: &CloneSetSpec) -> Option<Selector> {
        let field = "spec.selector";
        let selector = match Selector::parse(&spec.selector) {
            Ok(selector) if selector.is_empty() => {
                let rule = "a selector with at least one requirement; an empty one would match every pod";
                self.problem(field, "{}".into(), rule, Verdict::InvalidBlocking);
                return None;
            }
            Ok(selector) => selector,
            Err(rule) => {
                self.problem(field, rule, "a valid label selector", Verdict::InvalidBlocking);
                return None;
            }
        };
        if !selector.matches(&spec.template.labels()) {
            self.problem(
                "spec.template.metadata.labels",
                format!("{:?}", spec.template.labels()),
                format!("labels that spec.selector matches ({selector})"),
                Verdict::InvalidBlocking,
            );
        }
        Some(selector)
    }

    /// The type, and whether it is one. A type that nobody knows counts as paused: the partition still says which
    /// revision new pods get, and no pod moves.
    fn update_type(&mut self, spec: &CloneSetSpec) -> (UpdateType, bool) {
        let field = "spec.updateStrategy.type";
        match spec.update_strategy.type_.as_deref() {
            None | Some("" | "ReCreate") => (UpdateType::ReCreate, true),
            Some("OnDelete") => (UpdateType::OnDelete, true),
            Some("InPlaceIfPossible") => (UpdateType::InPlaceIfPossible, true),
            Some("InPlaceOnly") => (UpdateType::InPlaceOnly, true),
            Some(written) => {
                let rule = "ReCreate, InPlaceIfPossible, InPlaceOnly or OnDelete";
                self.problem(field, format!("{written:?}"), rule, Verdict::InvalidCautious);
                (UpdateType::ReCreate, false)
            }
        }
    }

    /// Negative or absurd replicas: as many as exist.
    fn replicas(&mut self, spec: &CloneSetSpec, existing: i32) -> i32 {
        match spec.replicas {
            None => 1,
            Some(count) if count >= 0 => count,
            Some(count) => {
                self.problem(
                    "spec.replicas",
                    count.to_string(),
                    "0 or more",
                    Verdict::InvalidCautious,
                );
                existing
            }
        }
    }

    /// Without a rolling update (OnDelete) the limit is Kruise's 20 %, rounded down. Otherwise a percentage is
    /// rounded up, or down where surge pods keep the rollout moving.
    fn max_unavailable(&mut self, spec: &CloneSetSpec, replicas: i32, rolling: bool, max_surge: i32) -> i32 {
        let default = IntOrString::String("20%".into());
        let field = "spec.updateStrategy.maxUnavailable";
        let rounding = if max_surge > 0 {
            Rounding::Down
        } else {
            Rounding::Up
        };
        let written = spec.update_strategy.max_unavailable.as_ref().unwrap_or(&default);
        // A wrong value is told even where it is not used.
        let limit = self.resolve(field, written, replicas, rounding).unwrap_or(0);
        if rolling {
            limit
        } else {
            default.resolve(replicas, Rounding::Down).unwrap_or(0)
        }
    }

    /// The partition as a number of pods, and whether the text asks for all pods to be updated
    /// (`behaviour.md` 5.2). Below `"100%"` a percentage leaves at least one pod to update.
    fn partition(&mut self, spec: &CloneSetSpec, replicas: i32, rolling: bool) -> (i32, bool) {
        let Some(written) = spec.update_strategy.partition.as_ref() else {
            return (0, true);
        };
        let resolved = self.resolve("spec.updateStrategy.partition", written, replicas, Rounding::Up);
        if !rolling {
            return (0, true);
        }
        let Some(count) = resolved else {
            return (replicas, false);
        };
        let at_least_one = matches!(written, IntOrString::String(text) if text != "100%");
        let partition = if at_least_one && replicas > 1 && count == replicas {
            replicas - 1
        } else {
            count.min(replicas)
        };
        // Of a large enough set every percentage above zero keeps a pod back, so this asks the text, not the
        // present number of replicas.
        let updates_all = written.resolve(i32::MAX, Rounding::Up) == Ok(0);
        (partition, updates_all)
    }

    /// A count or percentage rounded up; `cautious` stands in for a bad or absent one.
    fn count(
        &mut self,
        field: &'static str,
        written: Option<&IntOrString>,
        replicas: i32,
        cautious: i32,
    ) -> i32 {
        written
            .and_then(|value| self.resolve(field, value, replicas, Rounding::Up))
            .unwrap_or(cautious)
    }

    fn resolve(
        &mut self,
        field: &'static str,
        written: &IntOrString,
        replicas: i32,
        rounding: Rounding,
    ) -> Option<i32> {
        match written.resolve(replicas, rounding) {
            Ok(count) => Some(count),
            Err(rule) => {
                self.problem(
                    field,
                    written.to_string(),
                    rule.to_string(),
                    Verdict::InvalidCautious,
                );
                None
            }
        }
    }

    fn non_negative(&mut self, field: &'static str, written: Option<i32>, default: i32) -> i32 {
        match written {
            None => default,
            Some(value) if value >= 0 => value,
            Some(value) => {
                self.problem(field, value.to_string(), "0 or more", Verdict::InvalidCautious);
                default
            }
        }
    }
}
