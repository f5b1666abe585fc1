//! volumeClaimTemplates: parsed, checked, and recorded on revisions.
//!
//! A template is the user's: nothing in it is changed. PVCs are made from it in `new_claim`.

use cloneset_api::names::annotations;
use cloneset_api::{CloneSetSpec, Value};
use cloneset_status::Revision;
use cloneset_status::why::{Problem, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of the templates that a revision records at the most: all its annotations together may have 256 KiB.
const MAX_RECORD: usize = 64 * 1024;

/// A template with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimTemplate {
    /// Its name: that of the volume in every pod, and the first part of every claim's.
    pub name: String,
    /// All of it, as written.
    pub(crate) object: Value,
}

pub(crate) fn name_of(template: &Value) -> &str {
    template
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What is wrong with the templates of a spec. Without names of their own, pods could not mount the PVCs.
pub(crate) fn problem(spec: &CloneSetSpec) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    let mut names = written(spec).iter().map(name_of);
    let unfit = names.find(|name| name.is_empty() || !seen.insert(*name));
    unfit.map(|name| Problem {
        field: "spec.volumeClaimTemplates",
        value: format!("metadata.name {name:?}"),
        rule: "a name that no other template has; pods mount their claim by it".to_owned(),
        verdict: Verdict::InvalidBlocking,
    })
}

/// The templates as they are written.
pub(crate) fn written(spec: &CloneSetSpec) -> &[Value] {
    spec.volume_claim_templates.as_deref().unwrap_or_default()
}

/// The templates, in their order.
pub(crate) fn parse(templates: &[Value]) -> Vec<Arc<ClaimTemplate>> {
    let template = |object: &Value| {
        Arc::new(ClaimTemplate {
            name: name_of(object).to_owned(),
            object: object.clone(),
        })
    };
    templates.iter().map(template).collect()
}

/// The annotation by which a revision records the templates; `None` when they are too large for it.
///
/// A revision's data cannot hold them: it never changes, while volumeClaimTemplates change without a new revision.
pub(crate) fn record(templates: &[Value]) -> Option<String> {
    let text = Value::Array(templates.to_vec()).to_string();
    (text.len() <= MAX_RECORD).then_some(text)
}

/// The templates that a revision records. `None`: it does not, as with a revision that Kruise wrote.
pub(crate) fn recorded(revision: &Revision) -> Option<Vec<Value>> {
    let annotations = revision.metadata.annotations.as_ref()?;
    if let Some(text) = annotations.get(annotations::CLAIM_TEMPLATES) {
        let templates: Value = text.parse().ok()?;
        return templates.as_array().cloned();
    }
    // The hash of no templates.
    let hash = annotations.get(annotations::CLAIM_TEMPLATE_HASH)?;
    hash.is_empty().then(Vec::new)
}
