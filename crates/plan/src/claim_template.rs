//! Volume claim templates as the spec has them: parsed, and what is wrong with them told.
//!
//! A template is the user's: nothing in it is changed. Claims are made from it in `new_claim`.

use cloneset_api::{CloneSetSpec, Value};
use cloneset_status::why::{Problem, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;

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

/// The templates of a spec, in their order, and what is wrong with them. Without names of their own, pods could not
/// mount the claims.
pub(crate) fn parse(spec: &CloneSetSpec) -> (Vec<Arc<ClaimTemplate>>, Option<Problem>) {
    let written = spec.volume_claim_templates.as_deref().unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut names = written.iter().map(name_of);
    let unfit = names.find(|name| name.is_empty() || !seen.insert(*name));
    let problem = unfit.map(|name| Problem {
        field: "spec.volumeClaimTemplates",
        value: format!("metadata.name {name:?}"),
        rule: "a name that no other template has; pods mount their claim by it".to_owned(),
        verdict: Verdict::InvalidBlocking,
    });
    let template = |object: &Value| {
        Arc::new(ClaimTemplate {
            name: name_of(object).to_owned(),
            object: object.clone(),
        })
    };
    (written.iter().map(template).collect(), problem)
}
