//! The status that the CRD's schema gives an object that has none is never taken for one that the controller wrote.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

use cloneset_api::CloneSetStatus;
use cloneset_status::Runaway;
use cloneset_status::phase::{Phase, Standing, phase};

fn schema_default() -> CloneSetStatus {
    let crd = serde_json::to_value(cloneset_api::crd()).unwrap();
    let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    serde_json::from_value(status["default"].clone()).unwrap()
}

#[test]
fn a_defaulted_status_is_unobserved_whatever_the_generation() {
    let status = schema_default();
    for (generation, replicas) in [(0, 0), (1, 0), (1, 3), (i64::MAX, 0)] {
        let standing = Standing {
            deleting: false,
            generation,
            replicas,
            held: None,
            awaiting_confirmation: false,
            status: &status,
        };
        assert_eq!(phase(&standing), Phase::Unobserved, "generation {generation}");
        assert_eq!(Runaway::told(&status, generation), None);
    }
}
