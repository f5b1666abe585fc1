//! Tests that look at, or change, what all others share: the audit log of the whole run and the Helm release.
//!
//! Cargo runs test binaries one after another in the order of their names, and this one must be the last.

mod audit_of_the_run;
mod helm;
