//! The numbers: how many pods a CloneSet is short of or has too many of, per revision, and how many may be
//! touched now. `docs/explanation/numbers.md` tells the same to users.
//!
//! Pure arithmetic over counts: it must not know the API types, how a percentage is rounded (`desired`), which
//! pods are chosen (`order`, `scale`, `update`) or what time it is. It uses nothing but std, because `cargo xtask
//! mutants` compiles this file alone, once for every term that could be wrong.

/// What the spec asks for, resolved to numbers of pods: each 0 or more, `partition` at most `replicas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Pods wanted in total.
    pub replicas: i32,
    /// Pods that stay at an old revision.
    pub partition: i32,
    /// Pods that may be unavailable at a time.
    pub max_unavailable: i32,
    /// Pods allowed above `replicas` while pods are being replaced; 0 while paused.
    pub max_surge: i32,
    /// Scale-out stops while this many pods are unavailable; `i32::MAX` when unlimited.
    pub scale_max_unavailable: i32,
    /// Pods in `PreparingDelete` no longer count as replicas, so they are replaced before they are gone.
    pub exclude_preparing_delete: bool,
    /// Surplus new pods may go back to the current revision (gate `CloneSetPartitionRollback`, and there is a
    /// current revision other than the update revision).
    pub may_roll_back: bool,
}

/// One pod as the formulas see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodFact {
    /// It has the update revision; every other pod is old.
    pub is_new: bool,
    /// A `preDelete` hook holds its deletion.
    pub preparing_delete: bool,
    /// The user asked to delete this pod.
    pub specified_delete: bool,
    /// It was chosen for an update, which a hook holds.
    pub preparing_update: bool,
    /// The user took it out by its labels: it is released in this reconcile, and keeps its place until then.
    pub released: bool,
    /// It is Ready, so that clients reach it, and is not leaving.
    pub serves: bool,
    /// It serves, is in lifecycle state Normal, and has been Ready for longer than `minReadySeconds`.
    pub available: bool,
    /// Time alone makes it available once it is Ready: no hook holds it, and its lifecycle state is known.
    pub in_service: bool,
}

/// What separates the pods that exist from the pods that are wanted. All fields but `update_num` and
/// `update_max_unavailable` are 0 or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Pods missing.
    pub up: i32,
    /// Old pods missing; may exceed `up`, then all `up` pods are made of the current revision.
    pub up_old: i32,
    /// How many of the missing pods may be created now.
    pub up_limit: i32,
    /// Pods too many that are not leaving already.
    pub down: i32,
    /// Old pods too many; may exceed `down`, then all `down` pods are taken from the old ones.
    pub down_old: i32,
    /// Pods wanted above `replicas` for now.
    pub surge: i32,
    /// How many of the surge pods are of the current revision.
    pub surge_old: i32,
    /// Pods that change revision: above 0 to the update revision, below 0 back to the current one.
    pub update_num: i32,
    /// Updates may proceed while fewer pods than this are unavailable; 0 or below: not now.
    pub update_max_unavailable: i32,
}

/// Compares pods with targets. Nothing here depends on the order of the pods.
#[must_use]
pub fn diff(targets: &Targets, pods: impl IntoIterator<Item = PodFact>) -> Diff {
    let targets = Wide::from(*targets);
    let pods = Tally::of(pods);
    let excess = Excess::of(&targets, &pods);
    let surge = Surge::of(&targets, &pods, &excess);
    let up = scale_up(&targets, &pods, &surge);
    let down = scale_down(&targets, &pods, &surge);
    // One of the two is 0: the same side cannot have too many pods and too few.
    let update_num = excess.forward() - excess.back();
    Diff {
        up: narrow(up.total),
        up_old: narrow(up.old),
        up_limit: narrow(up.now),
        down: narrow(down.total),
        down_old: narrow(down.old),
        surge: narrow(surge.total),
        surge_old: narrow(surge.old),
        update_num: narrow(update_num),
        update_max_unavailable: narrow(update_max_unavailable(&targets, &pods, update_num)),
    }
}

/// [`Targets`] as 64-bit numbers: the formulas add a handful of 32-bit values, so nothing here can overflow and
/// no intermediate result is cut off.
struct Wide {
    replicas: i64,
    partition: i64,
    max_unavailable: i64,
    max_surge: i64,
    scale_max_unavailable: i64,
    exclude_preparing_delete: bool,
    may_roll_back: bool,
}

impl From<Targets> for Wide {
    fn from(targets: Targets) -> Self {
        Self {
            replicas: targets.replicas.into(),
            partition: targets.partition.into(),
            max_unavailable: targets.max_unavailable.into(),
            max_surge: targets.max_surge.into(),
            scale_max_unavailable: targets.scale_max_unavailable.into(),
            exclude_preparing_delete: targets.exclude_preparing_delete,
            may_roll_back: targets.may_roll_back,
        }
    }
}

/// Back to the width of the API. Only the upper edge can be passed (a huge `maxUnavailable` and a surge pod): every
/// result is at least −2147483647, as no target is below 0 and each is subtracted once at most.
fn narrow(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// The pods of one side (new or old), counted. Every pod is in one of `active`, `preparing_delete` and `released`.
///
/// Of five new pods, one in `PreparingDelete`, one specified to delete and one not available:
/// `preparing_delete` 1, `active` 4, of these `to_delete` 1 and `unavailable` 1.
#[derive(Default)]
struct Side {
    released: i64,
    preparing_delete: i64,
    active: i64,
    to_delete: i64,
    unavailable: i64,
}

impl Side {
    /// Each pod is counted once: released, else leaving behind a hook, else to be deleted, else unavailable.
    fn count(&mut self, pod: PodFact) {
        if pod.released {
            self.released += 1;
            return;
        }
        if pod.preparing_delete {
            self.preparing_delete += 1;
            return;
        }
        self.active += 1;
        if pod.specified_delete {
            self.to_delete += 1;
        } else if !pod.available {
            self.unavailable += 1;
        }
    }
}

/// All pods, counted.
#[derive(Default)]
struct Tally {
    new: Side,
    old: Side,
}

impl Tally {
    fn of(pods: impl IntoIterator<Item = PodFact>) -> Self {
        let mut tally = Self::default();
        for pod in pods {
            let side = if pod.is_new {
                &mut tally.new
            } else {
                &mut tally.old
            };
            side.count(pod);
        }
        tally
    }

    fn active(&self) -> i64 {
        self.new.active + self.old.active
    }

    fn preparing_delete(&self) -> i64 {
        self.new.preparing_delete + self.old.preparing_delete
    }

    fn to_delete(&self) -> i64 {
        self.new.to_delete + self.old.to_delete
    }

    fn released(&self) -> i64 {
        self.new.released + self.old.released
    }

    /// Every pod, whatever its state.
    fn pods(&self) -> i64 {
        self.active() + self.preparing_delete() + self.released()
    }

    /// Pods that are not available and that the user did not ask to delete; those that are leaving are among them.
    fn unavailable(&self) -> i64 {
        self.preparing_delete() + self.released() + self.new.unavailable + self.old.unavailable
    }
}

/// Active pods above (below 0: short of) the number the partition gives each revision.
///
/// R=5, partition 3, 4 old + 1 new: old 4 − 3 = 1 too many, new 1 − (5 − 3) = −1, one missing.
struct Excess {
    old: i64,
    new: i64,
    may_roll_back: bool,
}

impl Excess {
    fn of(targets: &Wide, pods: &Tally) -> Self {
        Self {
            old: pods.old.active - targets.partition,
            new: pods.new.active - (targets.replicas - targets.partition),
            may_roll_back: targets.may_roll_back,
        }
    }

    /// Pods to move to the update revision: each is an old one too many *and* stands in for a missing new one.
    ///
    /// 2 old too many, 1 new missing: 1. With an old one missing too, nothing moves: the partition holds, and
    /// creating the missing pods settles the rest.
    fn forward(&self) -> i64 {
        self.old.min(-self.new).max(0)
    }

    /// Pods to move back to the current revision, by the same rule with the sides changed; none without permission:
    /// a pod that has the update revision keeps it.
    ///
    /// R=5, partition 4, 1 old + 4 new: min(3, 3) = 3 with permission, else 0.
    fn back(&self) -> i64 {
        if self.may_roll_back {
            self.new.min(-self.old).max(0)
        } else {
            0
        }
    }
}

/// Pods wanted above the replicas: never more than `maxSurge`, and only while a pod has to be replaced.
struct Surge {
    total: i64,
    old: i64,
}

impl Surge {
    /// Deleting and updating share the surge; the larger need wins, they are not added.
    ///
    /// S=2, one pod to delete beyond what may be unavailable and three pods to update: surge 2, both new.
    fn of(targets: &Wide, pods: &Tally, excess: &Excess) -> Self {
        let scale = Self::to_replace_deleted(targets, pods);
        let update = Self::to_update(targets, excess);
        let need = if scale.total >= update.total {
            scale
        } else {
            update
        };
        let total = need.total.min(targets.max_surge);
        Self {
            total,
            old: need.old.min(total),
        }
    }

    /// One for every pod specified to delete that `maxUnavailable` cannot cover: it goes when its stand-in serves.
    ///
    /// U=0, 1 of 5 pods to delete, all serving: 0 + 1 − 0 = 1. With U=1 there is no need: 0. New pods are
    /// replaced first, so the need is for old ones only where it exceeds the new pods to delete.
    fn to_replace_deleted(targets: &Wide, pods: &Tally) -> Self {
        let to_delete = pods.to_delete();
        let uncovered = pods.unavailable() + to_delete - targets.max_unavailable;
        let total = uncovered.max(0).min(to_delete);
        Self {
            total,
            old: (total - pods.new.to_delete).max(0),
        }
    }

    /// Towards the update revision: one new pod ahead of each old pod that has to go, up to `maxSurge`, until the
    /// last of them (Kruise's surge decays as the rollout ends). R=198, S=50, 176 new + 44 old: 44.
    ///
    /// Back to the current revision: one old pod ahead of each new pod that changes. R=5, partition 4,
    /// 1 old + 4 new: min(3, 3) = 3.
    fn to_update(targets: &Wide, excess: &Excess) -> Self {
        if excess.forward() > 0 {
            return Self {
                total: excess.old.min(targets.max_surge),
                old: 0,
            };
        }
        let back = excess.back();
        Self {
            total: back,
            old: back,
        }
    }
}

/// Missing pods: in total, old pods among them (unclamped), and how many now.
#[derive(Default)]
struct Missing {
    total: i64,
    old: i64,
    now: i64,
}

/// Surplus pods: in total, and old pods among them (unclamped).
#[derive(Default)]
struct Surplus {
    total: i64,
    old: i64,
}

/// Missing pods: what is wanted less what exists, throttled so that never more than
/// `scaleStrategy.maxUnavailable` pods are on their way up.
///
/// R=6, scale limit 2, 2 serving + 1 not: 3 missing, 2 − 1 = 1 of them now. Pods specified to delete still hold
/// their place, and so do pods in `PreparingDelete` unless they are excluded.
fn scale_up(targets: &Wide, pods: &Tally, surge: &Surge) -> Missing {
    let mut counted = pods.pods();
    let mut counted_old = pods.old.active + pods.old.preparing_delete + pods.old.released;
    if targets.exclude_preparing_delete {
        counted -= pods.preparing_delete();
        counted_old -= pods.old.preparing_delete;
    }
    let missing = targets.replicas + surge.total - counted;
    if missing <= 0 {
        return Missing::default();
    }
    let missing_old = targets.partition + surge.old - counted_old;
    let room = targets.scale_max_unavailable - pods.unavailable();
    Missing {
        total: missing,
        old: missing_old.max(0),
        now: room.max(0).min(missing),
    }
}

/// Surplus pods, not counting those on their way out already. Which of them may go now is the floor's business.
///
/// R=5, U=1, 6 serving: 1 surplus. With one of the 6 to be deleted anyway, or in `PreparingDelete`: none (Kruise counts
/// the latter as one, and then waits for it).
fn scale_down(targets: &Wide, pods: &Tally, surge: &Surge) -> Surplus {
    let total = (pods.active() - pods.to_delete() - targets.replicas - surge.total).max(0);
    if total == 0 {
        return Surplus::default();
    }
    let old = pods.old.active - pods.old.to_delete - targets.partition - surge.old;
    Surplus {
        total,
        old: old.max(0),
    }
}

/// The unavailable pods an update may bring it to: surge pods add to the allowance, missing pods use it up.
///
/// U=1, R=5: 1 with 5 pods, 2 with a surge pod, 0 (nothing now) with 4 pods.
fn update_max_unavailable(targets: &Wide, pods: &Tally, update_num: i64) -> i64 {
    if update_num == 0 {
        0
    } else {
        targets.max_unavailable + pods.pods() - targets.replicas
    }
}

/// How many pods of the update revision may be created now, where there are pods of another revision to fall back on:
/// never more than U plus the surge of them are unproven, so that scaling out does not multiply a version that does not
/// work; and always at least one, so that a release goes on.
///
/// R=10, U=1, 4 old + 1 new that is not available, no surge: (1 + 0) − 1 = 0. Once it is available: 1.
#[must_use]
pub fn creation_limit(max_unavailable: i32, surge: i32, unproven: i32) -> i32 {
    let most = max_unavailable.saturating_add(surge).max(1);
    most.saturating_sub(unproven).max(0)
}
