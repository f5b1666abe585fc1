//! What a CloneSet does on a real cluster: one module a subject, one namespace a test.
//!
//! One binary, so that tests of all subjects share the threads. Nothing here may disturb another test: what
//! changes the controller's installation lives in `zz_helm`.

mod account;
mod causes;
mod claims;
mod columns;
mod delete_protection;
mod deletion;
mod drain;
mod ended_pods;
mod evictions;
mod go_clients;
mod hand_edits;
mod helm_wait;
mod hooks;
mod identity;
mod in_place;
mod in_place_exceptions;
mod invalid_values;
mod limits;
mod named_pods;
mod notes;
mod order;
mod partitions;
mod pause;
mod policy;
mod refusals;
mod roll_back;
mod runaway;
mod same_verdicts;
mod scale;
mod seed_walk;
mod service;
mod serving;
mod trouble;
mod writes;
