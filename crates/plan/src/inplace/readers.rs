//! The containers that read a template's labels and annotations and do not see a changed value by themselves.
//!
//! Works on a canonical pod spec. What that means for an update is `difference`'s to say. A mounted downward API volume
//! needs nothing: the kubelet refreshes its files while the container runs.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Variables that Kruise's sidecar sets read; they do not count as reading.
const NOT_READING: [&str; 2] = ["SIDECARSET_VERSION", "SIDECARSET_VERSION_ALT"];

/// Labels or annotations, and the key; no key: all of them.
type Source = (&'static str, Option<String>);

/// A container that sees a changed value only when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// Its name.
    pub(super) container: String,
    /// Is it one of `initContainers`? Those never start again in the same pod, or cannot be changed in place.
    pub(super) is_init: bool,
    /// `labels` or `annotations`.
    pub(super) field: &'static str,
    /// The key it reads; `None`: all of them.
    pub(super) key: Option<String>,
}

impl Reader {
    /// Does it read this key?
    pub(super) fn reads(&self, key: &str) -> bool {
        self.key.as_deref().is_none_or(|own| own == key)
    }
}

/// The readers in a pod spec.
pub(super) fn readers(spec: &Map<String, Value>) -> Vec<Reader> {
    let files = files(spec);
    let mut readers = Vec::new();
    for (list, is_init) in [("containers", false), ("initContainers", true)] {
        for container in items(spec.get(list)) {
            let name = text(container, "name").unwrap_or_default();
            let mut sources = read_by_env(container);
            // A native sidecar sees its files change, like a regular container; another init container reads them once.
            let starts_once = is_init && text(container, "restartPolicy") != Some("Always");
            for mount in items(container.get("volumeMounts")) {
                // The kubelet does not refresh a file that is mounted by its path in the volume.
                let is_fixed = ["subPath", "subPathExpr"]
                    .iter()
                    .any(|field| text(mount, field).is_some_and(|path| !path.is_empty()));
                let volume = text(mount, "name").unwrap_or_default();
                if (starts_once || is_fixed)
                    && let Some(in_files) = files.get(volume)
                {
                    sources.extend(in_files.iter().cloned());
                }
            }
            readers.extend(sources.into_iter().map(|(field, key)| Reader {
                container: name.to_owned(),
                is_init,
                field,
                key,
            }));
        }
    }
    readers
}

/// What the files of each downward API volume hold, and those of projected volumes.
fn files(spec: &Map<String, Value>) -> BTreeMap<&str, Vec<Source>> {
    let mut files: BTreeMap<&str, Vec<Source>> = BTreeMap::new();
    for volume in items(spec.get("volumes")) {
        let projected = items(volume.pointer("/projected/sources"));
        let projections = projected.filter_map(|source| source.get("downwardAPI"));
        let sources = volume.get("downwardAPI").into_iter().chain(projections);
        let held = sources.flat_map(|source| items(source.get("items")));
        let held = held.filter_map(|item| source(item.pointer("/fieldRef/fieldPath")?.as_str()?));
        files
            .entry(text(volume, "name").unwrap_or_default())
            .or_default()
            .extend(held);
    }
    files
}

fn read_by_env(container: &Value) -> Vec<Source> {
    let reads = |variable: &Value| {
        if NOT_READING.contains(&text(variable, "name")?) {
            return None;
        }
        source(variable.pointer("/valueFrom/fieldRef/fieldPath")?.as_str()?)
    };
    items(container.get("env")).filter_map(reads).collect()
}

/// `metadata.labels`, `metadata.annotations['key']` and the like.
fn source(path: &str) -> Option<Source> {
    let path = path.strip_prefix("metadata.")?;
    ["labels", "annotations"].into_iter().find_map(|field| {
        let rest = path.strip_prefix(field)?;
        if rest.is_empty() {
            return Some((field, None));
        }
        let key = rest.strip_prefix("['")?.strip_suffix("']")?;
        Some((field, Some(key.to_owned())))
    })
}

fn items(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}
