//! Labels that several metrics share.

use prometheus_client::encoding::EncodeLabelSet;
use std::borrow::Cow;

/// What Kruise calls this controller in labels, and so do dashboards.
pub(super) const CONTROLLER: &str = "cloneset-controller";

/// The label that every metric of controller-runtime carries.
pub(super) fn controller() -> (Cow<'static, str>, Cow<'static, str>) {
    ("controller".into(), CONTROLLER.into())
}

/// Label of what is counted by resource.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ResourceLabel {
    /// Resource.
    pub resource: &'static str,
}

/// Label of something that is not done.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabel {
    /// What blocks it.
    pub reason: &'static str,
}
