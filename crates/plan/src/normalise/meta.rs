//! Tables of the types that several parts of a pod template share: metadata, selectors, references. It must
//! NOT hold logic beyond a type's own rule.

use super::shape::{Kind, Preset, Shape, field};
use serde_json::{Map, Value};

/// Metadata as it stands in any object.
pub(super) static OBJECT_META: Shape = META;

/// Metadata of a pod template.
pub(super) static TEMPLATE_META: Shape = Shape {
    rule: Some(drop_dead_annotations),
    ..META
};

const META: Shape = Shape {
    text: &[
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
    ],
    number: &["generation"],
    pointer: &[
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ],
    text_list: &["finalizers"],
    text_map: &["labels", "annotations"],
    fields: &[
        field("ownerReferences", Kind::ListOf(&OWNER_REFERENCE)),
        field("managedFields", Kind::ListOf(&MANAGED_FIELDS_ENTRY)),
    ],
    ..Shape::new("ObjectMeta")
};

pub(super) static LABEL_SELECTOR: Shape = Shape {
    text_map: &["matchLabels"],
    fields: &[field(
        "matchExpressions",
        Kind::ListOf(&LABEL_SELECTOR_REQUIREMENT),
    )],
    ..Shape::new("LabelSelector")
};

static LABEL_SELECTOR_REQUIREMENT: Shape = Shape {
    text: &["key", "operator"],
    text_list: &["values"],
    ..Shape::new("LabelSelectorRequirement")
};

pub(super) static LOCAL_OBJECT_REFERENCE: Shape = Shape {
    text: &["name"],
    ..Shape::new("LocalObjectReference")
};

pub(super) static OBJECT_FIELD_SELECTOR: Shape = Shape {
    text: &["fieldPath"],
    fields: &[field("apiVersion", Kind::Text).or(Preset::Text("v1"))],
    ..Shape::new("ObjectFieldSelector")
};

pub(super) static RESOURCE_FIELD_SELECTOR: Shape = Shape {
    text: &["containerName", "resource"],
    fields: &[field("divisor", Kind::Divisor)],
    ..Shape::new("ResourceFieldSelector")
};

static OWNER_REFERENCE: Shape = Shape {
    text: &["apiVersion", "kind", "name", "uid"],
    pointer: &["controller", "blockOwnerDeletion"],
    ..Shape::new("OwnerReference")
};

static MANAGED_FIELDS_ENTRY: Shape = Shape {
    text: &["manager", "operation", "apiVersion", "fieldsType", "subresource"],
    pointer: &["time", "fieldsV1"],
    ..Shape::new("ManagedFieldsEntry")
};

/// Annotations of Kubernetes 1.5 that carried init containers; the API server drops them from every template.
fn drop_dead_annotations(metadata: &mut Map<String, Value>) {
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else {
        return;
    };
    for stage in ["alpha", "beta"] {
        annotations.remove(&format!("pod.{stage}.kubernetes.io/init-containers"));
        annotations.remove(&format!("pod.{stage}.kubernetes.io/init-container-statuses"));
    }
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}
