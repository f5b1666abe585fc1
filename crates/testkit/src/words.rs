//! The words tests are written in: pods as `"3 v1 available, 2 v2 unavailable"`, deeds as
//! `"create 2 v2, delete 1 v1 for update"`. A version is the tag of the image, the only thing templates differ in.
//!
//! Only text in and text out. A word nobody knows ends the test: this is the one place that panics.

use cloneset_plan::DeleteReason;
use std::fmt;

/// The version an image stands for: its tag.
pub(crate) fn version_of(image: &str) -> String {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag).to_owned()
}

/// The image of a version.
pub(crate) fn image_of_version(version: &str) -> String {
    format!("registry.local/web:{version}")
}

/// One write, in terms of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A revision was created.
    Record(String),
    /// An old revision became the newest.
    Renumber(String),
    /// An annotation of a revision was changed.
    Annotate(String),
    /// A revision was deleted.
    Forget(String),
    /// A pod was created.
    Create(String),
    /// A pod was deleted.
    Delete(String, DeleteReason),
    /// A pod was put in service.
    Serve(String),
    /// A pod was given up.
    Release(String),
    /// A claim of this template was created.
    CreateClaim(String),
    /// A claim was deleted.
    DeleteClaim(String),
    /// A claim was made to go with its pod.
    HandOverClaim(String),
    /// So many names were taken off `podsToDelete`.
    Prune(usize),
    /// A pod of this version was taken out of service for an in-place update.
    Begin(String),
    /// A pod was changed in place, or a step further.
    Change(String),
    /// A hook holds a pod's update or deletion.
    Hold(String, &'static str),
}

impl Deed {
    fn phrase(&self, count: &str) -> String {
        match self {
            Self::Record(version) => format!("record {count}{version}"),
            Self::Renumber(version) => format!("renumber {count}{version}"),
            Self::Annotate(version) => format!("annotate {count}{version}"),
            Self::Forget(version) => format!("forget {count}{version}"),
            Self::Create(version) => format!("create {count}{version}"),
            Self::Serve(version) => format!("serve {count}{version}"),
            Self::Release(version) => format!("release {count}{version}"),
            Self::CreateClaim(template) => format!("claim {count}{template}"),
            Self::DeleteClaim(template) => format!("unclaim {count}{template}"),
            Self::HandOverClaim(template) => format!("hand over {count}{template}"),
            Self::Prune(names) => format!("drop {names} of podsToDelete"),
            Self::Begin(version) => format!("take out {count}{version}"),
            Self::Change(version) => format!("change {count}{version}"),
            Self::Hold(version, what) => format!("hold {what} of {count}{version}"),
            Self::Delete(version, why) => {
                let why = match why {
                    DeleteReason::ScaleIn => "as surplus",
                    DeleteReason::Specified => "as asked",
                    DeleteReason::Update => "for update",
                    DeleteReason::Finished => "as finished",
                };
                format!("delete {count}{version} {why}")
            }
        }
    }

    /// The version of a pod that was deleted or taken out of service for an update.
    pub(crate) fn updated_version(&self) -> Option<&str> {
        match self {
            Self::Delete(version, DeleteReason::Update) | Self::Begin(version) => Some(version),
            _ => None,
        }
    }

    fn is_counted(&self) -> bool {
        matches!(
            self,
            Self::CreateClaim(_)
                | Self::DeleteClaim(_)
                | Self::HandOverClaim(_)
                | Self::Create(_)
                | Self::Delete(..)
                | Self::Serve(_)
                | Self::Release(_)
                | Self::Begin(_)
                | Self::Change(_)
                | Self::Hold(..)
        )
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.phrase(""))
    }
}

/// Equal deeds counted, in the order of the first of each; `"nothing"` for none.
pub(crate) fn summary(deeds: &[Deed]) -> String {
    let mut kinds: Vec<(&Deed, usize)> = Vec::new();
    for deed in deeds {
        match kinds.iter_mut().find(|(kind, _)| *kind == deed) {
            Some((_, count)) => *count += 1,
            None => kinds.push((deed, 1)),
        }
    }
    let phrase = |(deed, count): (&Deed, usize)| {
        deed.phrase(&if deed.is_counted() {
            format!("{count} ")
        } else {
            String::new()
        })
    };
    let phrases: Vec<String> = kinds.into_iter().map(phrase).collect();
    if phrases.is_empty() {
        "nothing".to_owned()
    } else {
        phrases.join(", ")
    }
}

/// A state a pod can be put in by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In service since an hour.
    Available,
    /// In service, but Ready only since now.
    Fresh,
    /// Runs, not ready, and will not become it.
    Unavailable,
    /// Has no node.
    Pending,
    /// Somebody asked for it to go.
    Marked,
    /// Lifecycle state `PreparingDelete`.
    Leaving,
    /// Being deleted.
    Terminating,
    /// Has run to an end.
    Failed,
}

/// So many pods of a version, in these states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) count: usize,
    pub(crate) version: String,
    pub(crate) states: Vec<State>,
}

/// Reads `"3 v1 available, 1 v2 unavailable marked"`.
pub(crate) fn groups(text: &str) -> Vec<Group> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| group(part, text))
        .collect()
}

fn group(part: &str, text: &str) -> Group {
    let mut words = part.split_whitespace();
    let count = words.next().and_then(|word| word.parse().ok());
    let (Some(count), Some(version)) = (count, words.next()) else {
        reject(&format!("{part:?} in {text:?} must read like \"3 v1 available\""));
    };
    let states = words.map(|word| state(word, text)).collect();
    Group {
        count,
        version: version.to_owned(),
        states,
    }
}

fn state(word: &str, text: &str) -> State {
    match word {
        "available" => State::Available,
        "fresh" => State::Fresh,
        "unavailable" => State::Unavailable,
        "pending" => State::Pending,
        "marked" => State::Marked,
        "leaving" => State::Leaving,
        "terminating" => State::Terminating,
        "failed" => State::Failed,
        _ => reject(&format!("{word:?} in {text:?} is no state of a pod")),
    }
}

/// Ends a test that is written wrongly.
#[expect(
    clippy::panic,
    reason = "a test that cannot be understood must fail, not pass by accident"
)]
pub(crate) fn reject(why: &str) -> ! {
    panic!("{why}")
}
