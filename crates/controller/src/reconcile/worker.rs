//! A worker: takes one CloneSet at a time from the queue and reconciles it.

use crate::cache::wake::CaughtUp;
use crate::queue::Queue;
use crate::reconcile::reconciler::Reconciler;
use std::sync::Arc;

/// Works until the queue is closed. What is still queued when this replica stops leading is dropped: its next term queues
/// every CloneSet again.
pub async fn work(queue: Arc<Queue>, caught_up: Arc<CaughtUp>, reconciler: Arc<Reconciler>) {
    while let Some(key) = queue.next().await {
        if caught_up.is_current() {
            reconciler.reconcile(key.clone()).await;
        }
        queue.done(&key);
    }
}
