//! What holds when the controller, the API server or etcd fail: killed at random moments, replaced by another replica,
//! stopped and continued, restarted and paused.
//!
//! A binary of its own, whose name puts it after the ordinary tests: it takes the installed controllers away and
//! breaks the cluster for everybody. Its tests take turns (`in_place_of_the_installed`).

mod beside_kruise;
mod failover;
mod kills;
mod moments;
mod outages;
mod rollout;
