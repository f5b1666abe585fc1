//! The state of a container as the kubelet reports it, as far as deciding and explaining need it.
//!
//! Of texts only the beginning and the end are kept: thousands of pods may fail at once, each with a long message.

use super::Resources;
use super::parse::{null_as_default, shortened, time};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// Bytes that are kept of the beginning of a text that is too long, and of its end, which often says why.
const KEPT_HEAD: usize = 160;
const KEPT_TAIL: usize = 320;

/// What the kubelet reports of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Does it pass its probes?
    pub ready: bool,
    /// Has it passed its startup probe?
    pub started: Option<bool>,
    /// How often it was restarted.
    pub restart_count: i32,
    /// The image by name; one of its names, if it has several.
    pub image: String,
    /// What the image is, whatever its name.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// The running instance; empty before the first.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// What the kubelet has given it (Kubernetes 1.33 and later).
    pub resources: Option<Resources>,
    /// What it does now.
    #[serde(deserialize_with = "null_as_default")]
    pub state: ContainerState,
    /// How the instance before it ended.
    #[serde(deserialize_with = "null_as_default")]
    pub last_state: LastState,
}

/// What a container does now: one of three, or none before the kubelet has reported it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    /// It does not run yet, or not again.
    pub waiting: Option<Box<Cause>>,
    /// It runs.
    pub running: Option<Running>,
    /// It has ended.
    pub terminated: Option<Box<Termination>>,
}

/// How the instance of a container before the present one ended, if there was one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastState {
    /// It has ended.
    pub terminated: Option<Box<Termination>>,
}

/// A container that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since when; second precision.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
}

/// A container that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Termination {
    /// Its exit code.
    pub exit_code: i32,
    /// One word.
    pub reason: Option<String>,
    /// What the container runtime, or the container itself, says; shortened.
    #[serde(deserialize_with = "shortened")]
    pub message: Option<String>,
    /// When it had started; second precision.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
}

/// A reason and a message, as in a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cause {
    /// One word.
    pub reason: Option<String>,
    /// A sentence, shortened.
    #[serde(deserialize_with = "shortened")]
    pub message: Option<String>,
}

impl Cause {
    /// The reason; empty when there is none.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }
}

/// Init containers that have ended well say nothing about why a pod does not start.
pub(super) fn failed_ones<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<ContainerStatus>, D::Error> {
    let mut all: Vec<ContainerStatus> = null_as_default(input)?;
    all.retain(|status| match (&status.state.waiting, &status.state.terminated) {
        (Some(waiting), _) => waiting.reason() != "PodInitializing",
        (None, Some(terminated)) => terminated.exit_code != 0,
        (None, None) => status.last_state.terminated.is_some() && !status.ready,
    });
    Ok(all)
}

/// The text, or its beginning and its end with `…` between them.
pub(super) fn short(text: String) -> String {
    if text.len() <= KEPT_HEAD + KEPT_TAIL {
        return text;
    }
    let head = (0..=KEPT_HEAD)
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default();
    let tail = (text.len() - KEPT_TAIL..=text.len())
        .find_map(|start| text.get(start..))
        .unwrap_or_default();
    format!("{head}…{tail}")
}
