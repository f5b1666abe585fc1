//! What a ControllerRevision records, kept as text.
//!
//! A parsed template takes more than ten times the memory of its text, and of most revisions only one thing is asked: is its
//! template equal to another one? So the text is parsed when a template is needed, and the answer to that question is kept.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};

/// `{"spec":{"template":…}}`, as stored.
#[derive(Clone, Debug, Default)]
pub struct RevisionData {
    text: Arc<str>,
    digest: OnceLock<Option<[u8; 32]>>,
}

impl RevisionData {
    /// The pod template, if there is one.
    pub fn template(&self) -> Option<Value> {
        let mut data: Value = serde_json::from_str(&self.text).ok()?;
        let template = data.pointer_mut("/spec/template")?.take();
        template.is_object().then_some(template)
    }

    /// The digest of the pod template, computed by `of` at the first call.
    pub fn digest(&self, of: impl FnOnce(&Value) -> [u8; 32]) -> Option<[u8; 32]> {
        *self.digest.get_or_init(|| self.template().as_ref().map(of))
    }
}

impl PartialEq for RevisionData {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<'de> Deserialize<'de> for RevisionData {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(input)?;
        Ok(Self {
            text: text.get().into(),
            digest: OnceLock::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_template_is_what_was_stored_and_its_digest_is_computed_once() {
        let template = json!({"spec": {"containers": [{"name": "main"}]}});
        let data: RevisionData = serde_json::from_value(json!({"spec": {"template": template}})).unwrap();
        assert_eq!(data.template(), Some(template));
        assert_eq!(data.digest(|_| [1; 32]), Some([1; 32]));
        assert_eq!(data.digest(|_| [2; 32]), Some([1; 32]));
        let text = r#"{"spec": {"template": "none"}}"#;
        let data: RevisionData = serde_json::from_str(text).unwrap();
        assert_eq!((data.template(), data.digest(|_| [1; 32])), (None, None));
    }
}
