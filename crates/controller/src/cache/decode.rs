//! Reads the JSON of one object into the record that the cache keeps of it.
//!
//! One object at a time, so that an object that cannot be read harms its own CloneSet only. Sends no request and keeps
//! nothing.

use crate::key::{Key, Kind};
use cloneset_api::{CloneSet, CloneSetSpec};
use cloneset_status::facts::KeptMetadata;
use cloneset_status::{Claim, Pod, Revision};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod as WholePod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What the cache keeps of an object.
pub trait Record: Sized + Send + Sync + 'static {
    /// The resource, for its URL.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>;
    /// The kind of objects.
    const KIND: Kind;

    /// The record of an object.
    ///
    /// # Errors
    /// When a part of the object that is kept cannot be read.
    fn read(json: &str) -> serde_json::Result<Self>;

    /// The record of an object of which only the metadata can be read, and why.
    fn unreadable(metadata: ObjectMeta, error: String) -> Self;

    /// The metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// Why only the metadata could be read, if so.
    fn error(&self) -> Option<&str>;
}

/// A CloneSet in the cache.
#[derive(Clone, Debug)]
pub enum Known {
    /// Readable.
    Readable(Arc<CloneSet>),
    /// Only its metadata can be read. It is kept, so that nothing takes it for deleted.
    Unreadable {
        /// Its metadata.
        metadata: Box<ObjectMeta>,
        /// Why the rest cannot be read.
        error: String,
    },
}

impl Known {
    /// Its UID; empty only in broken input.
    pub fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// Its resourceVersion as a number.
    pub fn version(&self) -> u64 {
        version_of(self.metadata())
    }
}

impl Record for Known {
    type Object = CloneSet;
    const KIND: Kind = Kind::CloneSet;

    fn read(json: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            metadata: KeptMetadata,
            spec: CloneSetSpec,
            #[serde(borrow)]
            status: Option<&'a RawValue>,
        }
        let wire: Wire<'_> = serde_json::from_str(json)?;
        Ok(Self::Readable(Arc::new(CloneSet {
            metadata: wire.metadata.0,
            spec: wire.spec,
            // The status is the controller's own: where another client broke it, it is written anew.
            status: wire
                .status
                .and_then(|status| serde_json::from_str(status.get()).ok()),
        })))
    }

    fn unreadable(metadata: ObjectMeta, error: String) -> Self {
        Self::Unreadable {
            metadata: Box::new(metadata),
            error,
        }
    }

    fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Readable(cloneset) => &cloneset.metadata,
            Self::Unreadable { metadata, .. } => metadata,
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Readable(_) => None,
            Self::Unreadable { error, .. } => Some(error),
        }
    }
}

macro_rules! record {
    ($record:ident of $object:ident, $kind:ident) => {
        impl Record for $record {
            type Object = $object;
            const KIND: Kind = Kind::$kind;

            fn read(json: &str) -> serde_json::Result<Self> {
                serde_json::from_str(json)
            }

            fn unreadable(metadata: ObjectMeta, error: String) -> Self {
                let mut record = Self::default();
                record.metadata = metadata;
                record.unreadable = Some(error.into());
                record
            }

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn error(&self) -> Option<&str> {
                self.unreadable.as_deref()
            }
        }
    };
}

record!(Pod of WholePod, Pod);
record!(Revision of ControllerRevision, Revision);
record!(Claim of PersistentVolumeClaim, Pvc);

/// The record of one object.
///
/// # Errors
/// When not even its metadata can be read.
pub fn decode<R: Record>(json: &RawValue) -> serde_json::Result<R> {
    R::read(json.get()).or_else(|error| Ok(R::unreadable(metadata(json)?, error.to_string())))
}

/// The metadata of one object.
///
/// # Errors
/// When it cannot be read.
pub fn metadata(json: &RawValue) -> serde_json::Result<ObjectMeta> {
    let object: OnlyMetadata = serde_json::from_str(json.get())?;
    Ok(object.metadata.0)
}

/// An object of which only the metadata is read.
#[derive(Debug, Deserialize)]
pub struct OnlyMetadata {
    /// The metadata.
    pub metadata: KeptMetadata,
}

/// The UID; empty only in broken input.
pub fn uid_of(metadata: &ObjectMeta) -> String {
    metadata.uid.clone().unwrap_or_default()
}

/// The resourceVersion as a number; 0 when it is none (older or foreign API servers).
pub fn version_of(metadata: &ObjectMeta) -> u64 {
    let version = metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Namespace and name.
pub fn key_of(metadata: &ObjectMeta) -> Key {
    Key {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"x":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn a_cloneset_that_is_nested_too_deeply_is_kept_with_its_metadata() {
        let object = format!(
            r#"{{"metadata":{{"name":"odd","uid":"u"}},"spec":{{"selector":{{}},"template":{}}}}}"#,
            nested(200)
        );
        let known: Known = decode(&raw(&object)).unwrap();
        assert_eq!(known.metadata().name.as_deref(), Some("odd"));
        assert!(known.error().unwrap().contains("recursion limit"), "{known:?}");
    }

    #[test]
    fn a_status_that_cannot_be_read_does_not_make_the_cloneset_unreadable() {
        let object = json!({"metadata": {"name": "web"}, "spec": {"selector": {}, "template": {}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "9999-12-31T23:59:59Z"}]}});
        let known: Known = decode(&raw(&object.to_string())).unwrap();
        assert_eq!(known.error(), None);
    }

    #[test]
    fn times_after_the_last_one_we_know_are_the_last_one() {
        let pod = json!({"metadata": {"name": "web-a", "managedFields": [{"time": "9999-12-31T23:59:59Z"}],
                "creationTimestamp": "9999-12-31T23:59:59Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "9999-12-31T23:59:59Z"}]}});
        let pod: Pod = decode(&raw(&pod.to_string())).unwrap();
        assert_eq!(pod.error(), None);
        assert_eq!(pod.ready_since(), Some(jiff::Timestamp::MAX));
    }

    #[test]
    fn an_object_without_metadata_is_an_error() {
        assert!(decode::<Pod>(&raw(r#"{"metadata": 1}"#)).is_err());
    }
}
