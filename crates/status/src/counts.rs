//! The counters of `status` (`behaviour.md` 7.1), from the pods of one CloneSet.
//!
//! Adds up and looks at no pod: what ready and available mean is `facts`' to say.

/// How many pods there are of each kind. Only active pods are ever counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are available.
    pub available: i32,
    /// Pods of the update revision.
    pub updated: i32,
    /// Pods of the update revision that are ready.
    pub updated_ready: i32,
    /// Pods of the update revision that are available.
    pub updated_available: i32,
}

/// What is counted of an active pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Is it ready?
    pub ready: bool,
    /// Is it available?
    pub available: bool,
    /// Does it have the update revision?
    pub updated: bool,
}

impl Counts {
    /// Counts pods, all of them active.
    pub fn of(pods: impl IntoIterator<Item = Counted>) -> Self {
        let mut counts = Self::default();
        for pod in pods {
            counts.replicas += 1;
            counts.ready += i32::from(pod.ready);
            counts.available += i32::from(pod.available);
            if pod.updated {
                counts.updated += 1;
                counts.updated_ready += i32::from(pod.ready);
                counts.updated_available += i32::from(pod.available);
            }
        }
        counts
    }
}
