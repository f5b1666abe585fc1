//! The release this project started from: 5 replicas, partition 3, change the image, exactly 2 pods move.

use anyhow::{Context as _, Result};
use cloneset_api::{CloneSet, CloneSetStatus};
use e2e::fixtures::{NEW, OLD};
use e2e::pods::{Identity, image, revision};
use e2e::witness::Subject;
use e2e::{Counters, Limits, Witness, failures, in_namespace};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// The manifest that the README and the demo use.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sample.yaml");

#[tokio::test]
async fn the_seed_release_moves_two_pods_then_four_then_all() -> Result<()> {
    in_namespace(async |ns| {
        ns.kubectl(&["apply", "--filename", SAMPLE]).await?;
        let created = ns
            .reaches(
                "sample",
                Counters {
                    expected_updated: 2,
                    ..Counters::at_rest(5, 5)
                },
            )
            .await?;
        let first = status(&created)?;
        assert_eq!(first.observed_generation, Some(1));
        assert_eq!(first.label_selector.as_deref(), Some("app=sample"));
        assert_eq!(first.update_revision, first.current_revision);
        assert_is_revision_of_sample(first.update_revision.as_deref());
        assert_eq!(failures(&created), [] as [&_; 0]);
        let originals = ns.pods_of("sample").await?;
        assert_images(&originals, 5, 0);

        let witness = Witness::start(ns, subject(), limits(2)).await?;
        ns.set_image("sample", NEW).await?;
        let moved = ns.reaches("sample", Counters::at_rest(5, 2)).await?;
        let second = status(&moved)?;
        assert_eq!(second.replicas, 5);
        assert_eq!(second.ready_replicas, 5);
        assert_eq!(second.available_replicas, 5);
        assert_eq!(second.updated_replicas, 2);
        assert_eq!(second.updated_ready_replicas, 2);
        assert_eq!(second.updated_available_replicas, 2);
        assert_eq!(second.expected_updated_replicas, 2);
        assert_eq!(second.observed_generation, Some(2));
        assert_is_revision_of_sample(second.update_revision.as_deref());
        assert_ne!(second.update_revision, first.update_revision);
        assert_eq!(
            second.current_revision, first.current_revision,
            "three pods are still on it"
        );
        assert_eq!(second.label_selector.as_deref(), Some("app=sample"));
        assert_eq!(second.collision_count, None);
        assert_eq!(failures(&moved), [] as [&_; 0]);
        let after_two = ns.pods_of("sample").await?;
        assert_images(&after_two, 3, 2);
        assert_survivors(&originals, &after_two, 3);
        assert_revisions(&after_two, second);
        ns.leaves_alone("sample", &after_two).await?;

        witness.promise(limits(4));
        ns.patch("sample", json!({"spec": {"updateStrategy": {"partition": 1}}}))
            .await?;
        let moved = ns.reaches("sample", Counters::at_rest(5, 4)).await?;
        let third = status(&moved)?;
        assert_eq!(third.observed_generation, Some(3));
        assert_eq!(third.update_revision, second.update_revision);
        assert_eq!(third.current_revision, first.current_revision);
        assert_eq!(failures(&moved), [] as [&_; 0]);
        let after_four = ns.pods_of("sample").await?;
        assert_images(&after_four, 1, 4);
        assert_survivors(&after_two, &after_four, 3);
        assert_revisions(&after_four, third);

        witness.promise(limits(5));
        ns.patch("sample", json!({"spec": {"updateStrategy": {"partition": 0}}}))
            .await?;
        ns.reaches("sample", Counters::at_rest(5, 5)).await?;
        let complete = "the current revision to be the updated one";
        let moved = ns
            .until_cloneset("sample", complete, |object| {
                object
                    .status
                    .as_ref()
                    .is_some_and(|status| status.current_revision == second.update_revision)
            })
            .await?;
        let last = status(&moved)?;
        assert_eq!(last.observed_generation, Some(4));
        assert_eq!(last.update_revision, second.update_revision);
        assert_eq!(failures(&moved), [] as [&_; 0]);
        let after_all = ns.pods_of("sample").await?;
        assert_images(&after_all, 0, 5);
        assert_survivors(&after_four, &after_all, 4);
        witness.finish().await?;
        ns.leaves_alone("sample", &after_all).await
    })
    .await
}

fn subject() -> Subject {
    Subject {
        cloneset: "sample".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    }
}

/// No surge, and the default of 20 % of 5 unavailable.
fn limits(updated: usize) -> Limits {
    Limits {
        live: 5,
        available: 4,
        updated,
    }
}

fn status(cloneset: &CloneSet) -> Result<&CloneSetStatus> {
    cloneset.status.as_ref().context("a CloneSet without a status")
}

#[track_caller]
fn assert_is_revision_of_sample(name: Option<&str>) {
    let hash = name.and_then(|name| name.strip_prefix("sample-"));
    assert!(
        hash.is_some_and(|hash| !hash.is_empty()),
        "{name:?} is not sample-<hash>"
    );
}

#[track_caller]
fn assert_images(pods: &[Pod], old: usize, new: usize) {
    let count = |wanted| pods.iter().filter(|pod| image(pod) == wanted).count();
    assert_eq!((count(OLD), count(NEW), pods.len()), (old, new, old + new));
}

/// Pods that are not moved are not touched: same UIDs, labels and all.
#[track_caller]
fn assert_survivors(before: &[Pod], after: &[Pod], survivors: usize) {
    let before = Identity::of_all(before);
    let untouched = Identity::of_all(after)
        .into_iter()
        .filter(|pod| before.contains(pod))
        .count();
    assert_eq!(untouched, survivors, "pods that stayed as they were");
}

/// The labels agree with the images and with the names in the status.
#[track_caller]
fn assert_revisions(pods: &[Pod], status: &CloneSetStatus) {
    for pod in pods {
        let expected = if image(pod) == NEW {
            &status.update_revision
        } else {
            &status.current_revision
        };
        assert_eq!(
            Some(revision(pod)),
            expected.as_deref(),
            "revision of a pod with image {}",
            image(pod)
        );
    }
}
