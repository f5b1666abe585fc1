//! What stands for a pod where pods are put in an order: the pod itself, or what a pass knows of it.
//!
//! In a file of its own, so that the spec's parse, which holds the user's orders, compiles alone for its mutations.

use cloneset_status::Pod;

/// Something that stands for a pod.
pub(crate) trait OfPod<'a>: Copy {
    /// The pod.
    fn pod(self) -> &'a Pod;
}

impl<'a> OfPod<'a> for &'a Pod {
    fn pod(self) -> &'a Pod {
        self
    }
}
