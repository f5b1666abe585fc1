//! Takes CloneSets from the queue and reconciles each in a task of its own.
//!
//! A reconcile that waits for the API server costs a task, so however many hang, the others start at once. How many plans
//! are made side by side is bounded by the reconciler, and how many writes are under way by the writer.

use crate::cache::wake::CaughtUp;
use crate::queue::Queue;
use crate::reconcile::reconciler::Reconciler;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Reconciles under way at once.
const RECONCILES: usize = 1024;

/// Works until the queue is closed and the reconciles under way have ended. What is still queued when this replica stops
/// leading is dropped: its next term queues every CloneSet again.
pub async fn work(queue: Arc<Queue>, caught_up: Arc<CaughtUp>, reconciler: Arc<Reconciler>) {
    let mut reconciles = JoinSet::new();
    loop {
        let is_full = reconciles.len() >= RECONCILES;
        let key = tokio::select! {
            Some(_) = reconciles.join_next() => continue,
            key = queue.next(), if !is_full => key,
        };
        let Some(key) = key else { break };
        if !caught_up.is_current() {
            queue.done(&key);
            continue;
        }
        let (queue, reconciler) = (Arc::clone(&queue), Arc::clone(&reconciler));
        reconciles.spawn(async move {
            reconciler.reconcile(key.clone()).await;
            queue.done(&key);
        });
    }
    while reconciles.join_next().await.is_some() {}
}
