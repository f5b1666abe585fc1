//! The answer to one watch: the changes since a resourceVersion, then each further change, with bookmarks in between.
//!
//! It must not lag, and it ends only at the time limit that the request sets.

use super::objects::Form;
use super::population::Item;
use super::query::{Query, Selection};
use super::state::State;
use axum::body::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Time between two bookmarks, as in a real API server.
const BOOKMARKS_EVERY: Duration = Duration::from_mins(1);
/// How long a watch without a time limit lasts.
const LONGEST: Duration = Duration::from_mins(30);
/// Objects in one piece of an answer. Only one piece of an answer is in memory at a time.
pub(super) const PIECE: usize = 8;

/// A watch.
struct Watching {
    state: Arc<State>,
    selection: Selection,
    form: Form,
    /// The numbers of the objects whose initial events are still to be sent.
    initial: Range<usize>,
    /// Whether a bookmark marks the end of the initial events.
    marks_end: bool,
    with_bookmarks: bool,
    /// How many changes of the cluster were sent or skipped.
    position: usize,
    /// The resourceVersion up to which everything was sent.
    sent: u64,
    latest: watch::Receiver<u64>,
    next_bookmark: Instant,
    ends: Instant,
}

/// Answers a watch.
pub(super) fn watch(
    state: &Arc<State>,
    selection: Selection,
    form: Form,
    query: &Query,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let latest = state.subscribe();
    let from = query.version.parse().unwrap_or(0);
    let begins_anywhere = from == 0 || query.with_initial_events;
    let now = state.version();
    let last = if begins_anywhere {
        state.objects.population.count(selection.kind)
    } else {
        0
    };
    let sent = if begins_anywhere { now } else { from };
    let lasts = query.timeout_seconds.map_or(LONGEST, Duration::from_secs);
    let watching = Watching {
        position: state.changes_up_to(sent),
        state: Arc::clone(state),
        selection,
        form,
        initial: 0..last,
        marks_end: query.with_initial_events && query.with_bookmarks,
        with_bookmarks: query.with_bookmarks,
        sent,
        latest,
        next_bookmark: Instant::now() + BOOKMARKS_EVERY,
        ends: Instant::now() + lasts,
    };
    futures::stream::unfold(watching, |mut watching| async {
        let piece = watching.next().await?;
        Some((Ok(Bytes::from(piece)), watching))
    })
}

impl Watching {
    /// The next piece of the answer; `None` at the end of the watch.
    async fn next(&mut self) -> Option<String> {
        loop {
            if !self.initial.is_empty() {
                let piece = self.initial_events();
                if !piece.is_empty() {
                    return Some(piece);
                }
                continue;
            }
            if std::mem::take(&mut self.marks_end) {
                return Some(self.bookmark(true));
            }
            if let Some(piece) = self.changes() {
                return Some(piece);
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.ends) => return None,
                () = tokio::time::sleep_until(self.next_bookmark), if self.with_bookmarks => {
                    self.next_bookmark += BOOKMARKS_EVERY;
                    return Some(self.bookmark(false));
                }
                changed = self.latest.changed() => changed.ok()?,
            }
        }
    }

    fn initial_events(&mut self) -> String {
        let kind = self.selection.kind;
        let items = self.initial.by_ref().take(PIECE);
        let items = items.map(|index| Item { kind, index });
        let selected = items.filter(|item| self.selection.holds(&self.state.objects, *item));
        let begin = |out: &mut String| out.push_str(r#"{"type":"ADDED","object":"#);
        let mut piece = String::new();
        self.state.render(selected, self.form, &mut piece, begin, "}\n");
        piece
    }

    /// The selected changes that were not sent yet; `None` when there are none.
    fn changes(&mut self) -> Option<String> {
        let mut piece = String::new();
        while piece.is_empty() {
            let (changes, complete) = self.state.changes(self.position, PIECE);
            self.position += changes.len();
            self.sent = complete;
            if changes.is_empty() {
                return None;
            }
            for change in changes {
                if self.selection.holds(&self.state.objects, change.item) {
                    piece.push_str(r#"{"type":"MODIFIED","object":"#);
                    self.state.render_change(change, self.form, &mut piece);
                    piece.push_str("}\n");
                }
            }
        }
        Some(piece)
    }

    fn bookmark(&self, ends_initial_events: bool) -> String {
        let (api_version, kind) = match self.form {
            Form::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadata"),
            Form::Listed | Form::Whole => self.selection.kind.names(),
        };
        let mut metadata =
            json!({"resourceVersion": self.sent.to_string(), "creationTimestamp": Value::Null});
        if ends_initial_events && let Some(fields) = metadata.as_object_mut() {
            fields.insert("annotations".into(), json!({"k8s.io/initial-events-end": "true"}));
        }
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::objects::Objects;
    use crate::bench::population::{Kind, Population};
    use futures::StreamExt as _;

    fn state() -> Arc<State> {
        let objects = Objects::new(Population {
            clonesets: 2,
            revisions: 1,
            pods: 5,
        });
        Arc::new(State::new(objects.expect("objects")))
    }

    /// Type, name and version of the first events of a watch of pods.
    async fn events(state: &Arc<State>, query: &str, count: usize) -> Vec<(String, String, u64)> {
        let query = Query::parse(query).expect("a query");
        let selection = Selection {
            kind: Kind::Pod,
            namespace: None,
            selector: query.selector.clone(),
        };
        let mut stream = std::pin::pin!(watch(state, selection, Form::Whole, &query));
        let mut found = Vec::new();
        while found.len() < count
            && let Some(Ok(piece)) = stream.next().await
        {
            for line in String::from_utf8_lossy(&piece).lines() {
                let event: Value = serde_json::from_str(line).expect("JSON");
                let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let version = text("/object/metadata/resourceVersion")
                    .parse()
                    .expect("a version");
                found.push((
                    text("/type").to_owned(),
                    text("/object/metadata/name").to_owned(),
                    version,
                ));
            }
        }
        found
    }

    #[tokio::test]
    async fn a_watch_shows_what_changed_since_its_version_and_only_what_it_selects() {
        let state = state();
        let before = state.version();
        for index in [1, 7, 2] {
            let kind = Kind::Pod;
            state.touch(Item { kind, index });
        }
        let query = format!("watch=true&labelSelector=app%3Dcheckout-00000&resourceVersion={before}");
        let seen = events(&state, &query, 2).await;
        assert_eq!(
            seen.iter().map(|event| event.2).collect::<Vec<_>>(),
            [before + 1, before + 3]
        );
        let query = format!("watch=true&resourceVersion={}", before + 2);
        assert_eq!(
            events(&state, &query, 1).await.first().map(|event| event.2),
            Some(before + 3)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_watch_gives_bookmarks_until_its_time_is_over() {
        let state = state();
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds=150&resourceVersion={}",
            state.version()
        );
        let bookmark = ("BOOKMARK".to_owned(), String::new(), state.version());
        assert_eq!(events(&state, &query, 9).await, [bookmark.clone(), bookmark]);
    }

    #[tokio::test]
    async fn initial_events_end_with_a_bookmark() {
        let state = state();
        let query =
            "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
        let seen = events(&state, query, 11).await;
        let types: Vec<&str> = seen.iter().map(|event| event.0.as_str()).collect();
        assert_eq!(types.iter().filter(|type_| **type_ == "ADDED").count(), 10);
        assert_eq!(types.last(), Some(&"BOOKMARK"));
    }
}
