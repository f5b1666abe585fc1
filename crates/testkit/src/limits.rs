//! What a spec promises, worked out from the API reference alone and not by `Desired`: the oracle must not share
//! a mistake with the code it judges. A value that is not valid promises the most cautious thing.

use cloneset_api::{CloneSetSpec, IntOrString, Rounding};

/// The promises of one spec, as numbers of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pods wanted.
    pub replicas: i32,
    /// Pods above `replicas`.
    pub surge: i32,
    /// Pods that may be unavailable.
    pub unavailable: i32,
    /// Unavailable pods at which no more are created; `i32::MAX` without a limit.
    pub scale_unavailable: i32,
    /// Pods that keep an old version.
    pub partition: i32,
    /// Does the partition, as written, let go of every pod?
    pub updates_all: bool,
    /// Seconds a pod must have been ready before it is available.
    pub min_ready_seconds: i32,
}

impl Limits {
    /// The promises of this spec.
    pub fn of(spec: &CloneSetSpec) -> Self {
        let replicas = spec.replicas.unwrap_or(1).max(0);
        let strategy = &spec.update_strategy;
        let on_delete = strategy.type_.as_deref() == Some("OnDelete");
        let count = |value: &Option<IntOrString>, rounding| {
            value
                .as_ref()
                .map_or(Ok(0), |value| value.resolve(replicas, rounding))
                .unwrap_or(0)
        };
        let held = strategy.paused.unwrap_or(false) || on_delete;
        let surge = if held {
            0
        } else {
            count(&strategy.max_surge, Rounding::Up)
        };
        let fifth = || IntOrString::String("20%".to_owned());
        let unavailable = if on_delete {
            count(&Some(fifth()), Rounding::Down)
        } else {
            let written = Some(strategy.max_unavailable.clone().unwrap_or_else(fifth));
            count(&written, if surge > 0 { Rounding::Down } else { Rounding::Up })
        };
        let partition = match &strategy.partition {
            Some(written) if !on_delete => partition(written, replicas),
            _ => 0,
        };
        let updates_all = on_delete
            || match &strategy.partition {
                None | Some(IntOrString::Int(0)) => true,
                Some(IntOrString::Int(_)) => false,
                Some(IntOrString::String(text)) => {
                    text.ends_with('%') && text.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'%'))
                }
            };
        let throttle = spec.scale_strategy.as_ref();
        let scale_unavailable = match throttle.and_then(|scale| scale.max_unavailable.as_ref()) {
            None => i32::MAX,
            Some(written) => written.resolve(replicas, Rounding::Up).unwrap_or(0),
        };
        let min_ready_seconds = spec.min_ready_seconds.unwrap_or(0).max(0);
        Self {
            replicas,
            surge,
            unavailable,
            scale_unavailable,
            partition,
            updates_all,
            min_ready_seconds,
        }
    }
}

/// `"99%"` of 4 leaves one pod to update; only `"100%"` keeps all.
fn partition(written: &IntOrString, replicas: i32) -> i32 {
    let Ok(count) = written.resolve(replicas, Rounding::Up) else {
        return replicas;
    };
    match written {
        IntOrString::String(text) if text != "100%" && replicas > 1 && count == replicas => replicas - 1,
        _ => count.min(replicas),
    }
}
