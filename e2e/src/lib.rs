//! What the end-to-end tests share: a namespace for each test, waits with a deadline, a witness that watches
//! limits from outside, traffic that must not suffer, an oracle that judges every write of the controller, the audit
//! log's account of our writes, and a dump of the state when a test fails.
//!
//! The tests run against a real cluster with the controller installed by Helm, and reach both only as a user
//! would: through the API server, `kubectl` and `helm`. Nothing here may look inside the controller, and nothing
//! may sleep: a test waits for a condition, or watches that one holds.
//!
//! `cargo xtask test --only e2e` starts a cluster and sets the variables that [`Cluster::connect`] reads.

pub mod audit;
mod cluster;
pub mod crd;
mod dump;
mod faults;
pub mod fixtures;
pub mod install;
mod namespace;
mod oracle;
pub mod pods;
mod replica;
mod replicas;
mod sent;
mod status;
mod traffic;
pub mod waits;
pub mod witness;

pub use cluster::{Cluster, Image};
pub use faults::Faults;
pub use namespace::{Namespace, in_namespace};
pub use replica::Replica;
pub use replicas::{Replicas, in_place_of_the_installed};
pub use sent::{Sent, SentLog};
pub use status::{Counters, condition, failures};
pub use traffic::Traffic;
pub use witness::{Limits, Witness};
