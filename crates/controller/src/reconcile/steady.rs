//! Keeps the message about a pod that cannot start the same for a while: kubelets and schedulers write a slightly
//! different detail at each attempt, and a status that follows each of them costs a write each time.
//!
//! What is wrong (pod, container, reason) is reported at once, only a new detail is delayed.

use cloneset_status::{NotStarting, Wait};
use std::time::Duration;
use tokio::time::Instant;

/// How long a detail is kept although the kubelet writes another one.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// What was reported last.
#[derive(Debug, Default)]
pub struct Steady {
    reported: Option<(NotStarting, Instant)>,
}

impl Steady {
    /// Replaces a new detail by the one that was reported less than a minute ago, and no detail by any.
    pub fn apply(&mut self, waits: &mut [Wait]) {
        let now = Instant::now();
        for wait in waits {
            let Wait::NotStarting(found) = wait else { continue };
            match &self.reported {
                Some((before, _)) if is_same(before, found) && before.failure == found.failure => {}
                Some((before, at))
                    if is_same(before, found)
                        && (found.failure.detail.is_none() || now.duration_since(*at) < KEPT_FOR) =>
                {
                    found.failure.detail.clone_from(&before.failure.detail);
                }
                _ => self.reported = Some((found.clone(), now)),
            }
        }
    }
}

fn is_same(one: &NotStarting, other: &NotStarting) -> bool {
    one.pod == other.pod
        && one.failure.container == other.failure.container
        && one.failure.reason == other.failure.reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_status::StartFailure;

    fn failing(pod: &str, detail: Option<&str>) -> Wait {
        Wait::NotStarting(NotStarting {
            pods: 1,
            pod: pod.into(),
            revision: "web-1".into(),
            failure: StartFailure {
                container: Some("main".into()),
                reason: "ErrImagePull".into(),
                detail: detail.map(str::to_owned),
            },
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_detail_is_kept_for_a_minute_and_never_lost_and_another_pod_is_named_at_once() {
        let mut steady = Steady::default();
        let mut said = |pod: &str, detail: Option<&str>| {
            let mut waits = [failing(pod, detail)];
            steady.apply(&mut waits);
            let [wait] = waits;
            wait
        };
        assert_eq!(said("web-a", Some("timeout")), failing("web-a", Some("timeout")));
        assert_eq!(
            said("web-a", Some("not found")),
            failing("web-a", Some("timeout"))
        );
        assert_eq!(said("web-a", None), failing("web-a", Some("timeout")));
        tokio::time::advance(KEPT_FOR).await;
        assert_eq!(said("web-a", None), failing("web-a", Some("timeout")));
        assert_eq!(
            said("web-a", Some("not found")),
            failing("web-a", Some("not found"))
        );
        assert_eq!(said("web-b", None), failing("web-b", None));
    }
}
