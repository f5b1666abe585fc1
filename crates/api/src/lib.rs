//! The `apps.kruise.io` API as Rust types, its CRD, and the constants every other crate names things by.
//!
//! This crate must stay pure: no client, no runtime, no clock, no environment. It says what the wire looks
//! like and nothing about what to do with it; deciding lives in `cloneset-plan`.

pub mod int_or_percent;
pub mod names;
mod schema;
pub mod strategy;
pub mod switches;
pub mod template;
pub mod v1alpha1;
mod validation;

pub use int_or_percent::{IntOrString, Rounding, ValueError};
/// What is kept as written, such as templates.
pub use serde_json::Value;
pub use strategy::{
    InPlaceUpdateStrategy, Lifecycle, LifecycleHook, OrderTerm, PriorityStrategy, ScaleStrategy, ScatterTerm,
    UpdateStrategy, WeightTerm,
};
pub use template::PodTemplate;
pub use v1alpha1::{CloneSet, CloneSetSpec, CloneSetStatus, Condition, crd};
