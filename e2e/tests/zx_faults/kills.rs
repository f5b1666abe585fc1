//! The controller killed at random moments of scale-outs and rollouts, and started again at once: it always
//! converges, within its limits, and nothing is doubled or left over.

use crate::moments::Moments;
use crate::rollout::{self, Operation, WEB, carry_out, template};
use anyhow::{Context as _, Result};
use e2e::fixtures::{NEW, OLD};
use e2e::{Counters, Limits, Namespace, Replica, in_place_of_the_installed};
use serde_json::json;
use std::ops::RangeInclusive;

/// How often it is killed.
const KILLS: usize = 30;
/// Changes between two kills. An operation below makes 25 to 60 of them.
const LIFE: RangeInclusive<usize> = 1..=12;
/// CloneSets of a cycle have so many pods at first, and after the scale-out.
const FEW: i32 = 3;
const MANY: i32 = 8;
/// Pods that stay old in the first half of a release.
const HELD: i32 = 3;

/// The controller that is killed.
struct Victim {
    replica: Replica,
    moments: Moments,
    kills: usize,
}

#[tokio::test]
async fn a_controller_killed_at_thirty_random_moments_keeps_every_limit_and_doubles_nothing() -> Result<()> {
    in_place_of_the_installed(async |ns, replicas| {
        let mut victim = Victim {
            replica: replicas.start("victim").await?,
            moments: Moments::of(ns).await?,
            kills: 0,
        };
        let strategy = json!({"maxUnavailable": 2, "maxSurge": 1});
        rollout::create(ns, FEW, &strategy).await?;
        let (mut from, mut to, mut revisions) = (OLD, NEW, 1);
        while victim.kills < KILLS {
            victim.survives(ns, &scale_out(to, revisions)).await?;
            revisions = 2;
            victim.survives(ns, &first_half(to)).await?;
            victim.survives(ns, &second_half(to)).await?;
            ns.patch(WEB, json!({"spec": {"replicas": FEW}})).await?;
            ns.reaches(WEB, Counters::at_rest(FEW, FEW)).await?;
            (from, to) = (to, from);
        }
        println!("killed {} times", victim.kills);
        victim.replica.ends_well().await
    })
    .await
}

impl Victim {
    /// Carries out an operation and kills the controller until it is done, or has been killed often enough.
    async fn survives(&mut self, ns: &Namespace, operation: &Operation) -> Result<()> {
        self.moments.forget_the_past();
        let before = self.kills;
        carry_out(ns, operation, async || {
            let rest = ns.reaches(WEB, operation.rest);
            let mut rest = std::pin::pin!(rest);
            while self.kills < KILLS {
                let life = self.moments.draw(LIFE);
                tokio::select! {
                    done = &mut rest => return done.map(drop),
                    moment = self.moments.after(life) => moment?,
                }
                self.replica.kill().await?;
                self.replica.start()?;
                self.kills += 1;
                println!(
                    "kill {}: {} changes into a life, {}",
                    self.kills, life, operation.what
                );
            }
            rest.await.map(drop)
        })
        .await
        .with_context(|| format!("{}, with kills {} to {}", operation.what, before + 1, self.kills))
    }
}

fn count(pods: i32) -> usize {
    pods.unsigned_abs() as usize
}

fn scale_out(other: &'static str, revisions: usize) -> Operation {
    Operation {
        what: format!("scale-out from {FEW} to {MANY}"),
        change: json!({"spec": {"replicas": MANY}}),
        image: other,
        limits: Limits {
            live: count(MANY),
            available: count(FEW),
            updated: 0,
        },
        created: count(MANY - FEW),
        rest: Counters::at_rest(MANY, MANY),
        revisions,
    }
}

/// As far as a partition allows.
fn first_half(image: &'static str) -> Operation {
    Operation {
        what: format!("release of {image} to all but {HELD}"),
        change: json!({"spec": {"template": template(image), "updateStrategy": {"partition": HELD}}}),
        image,
        limits: Limits {
            live: count(MANY + 1),
            available: count(MANY - 2),
            updated: count(MANY - HELD),
        },
        created: count(MANY - HELD),
        rest: Counters::at_rest(MANY, MANY - HELD),
        revisions: 2,
    }
}

fn second_half(image: &'static str) -> Operation {
    Operation {
        what: format!("release of {image} to the other {HELD}"),
        change: json!({"spec": {"updateStrategy": {"partition": 0}}}),
        limits: Limits {
            updated: count(MANY),
            ..first_half(image).limits
        },
        created: count(HELD),
        rest: Counters::at_rest(MANY, MANY),
        ..first_half(image)
    }
}
