//! Label selectors: whether they are valid, what they match, and their canonical text for `status.labelSelector`.
//!
//! The rules are those of the label selector API type; nothing here knows about CloneSets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::{BTreeMap, BTreeSet};

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Equals(String, String),
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

/// A valid selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    /// Parses the API type.
    ///
    /// # Errors
    /// The rule that is broken, as text that completes "spec.selector: …".
    pub fn parse(selector: &LabelSelector) -> Result<Self, String> {
        let labels = selector.match_labels.iter().flatten();
        let mut requirements: Vec<_> = labels
            .map(|(key, value)| Requirement::Equals(key.clone(), value.clone()))
            .collect();
        for expression in selector.match_expressions.iter().flatten() {
            let key = expression.key.clone();
            let values: BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
            let requirement = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Requirement::In(key, values),
                ("NotIn", false) => Requirement::NotIn(key, values),
                ("Exists", true) => Requirement::Exists(key),
                ("DoesNotExist", true) => Requirement::DoesNotExist(key),
                ("In" | "NotIn", true) => {
                    return Err(format!(
                        "operator {} on {key:?} needs values",
                        expression.operator
                    ));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(format!(
                        "operator {} on {key:?} takes no values",
                        expression.operator
                    ));
                }
                (other, _) => {
                    return Err(format!(
                        "operator {other:?} must be In, NotIn, Exists or DoesNotExist"
                    ));
                }
            };
            requirements.push(requirement);
        }
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
        Ok(Self { requirements })
    }

    /// Does it select everything? Such a selector is refused where pods are owned by it.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Do these labels meet every requirement?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::Equals(key, value) => labels.get(key) == Some(value),
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Self::Equals(key, _)
            | Self::In(key, _)
            | Self::NotIn(key, _)
            | Self::Exists(key)
            | Self::DoesNotExist(key) => key,
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::Equals(key, value) => write!(f, "{key}={value}")?,
                Requirement::In(key, values) => write!(f, "{key} in ({})", joined(values))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", joined(values))?,
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: serde_json::Value) -> Result<Selector, String> {
        Selector::parse(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn text_is_canonical_whatever_the_order_of_writing() {
        let cases = [
            (json!({"matchLabels": {"app": "sample"}}), "app=sample"),
            (json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2"),
            (
                json!({"matchLabels": {"m": "1"}, "matchExpressions": [
                    {"key": "z", "operator": "DoesNotExist"},
                    {"key": "k", "operator": "NotIn", "values": ["y", "x"]},
                    {"key": "e", "operator": "Exists", "values": []},
                    {"key": "i", "operator": "In", "values": ["b", "a"]}
                ]}),
                "e,i in (a,b),k notin (x,y),m=1,!z",
            ),
            (json!({}), ""),
        ];
        for (selector, text) in cases {
            assert_eq!(parse(selector).unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_requirements_are_refused_with_the_rule() {
        for (operator, values, rule) in [
            ("In", json!([]), "operator In on \"k\" needs values"),
            ("Exists", json!(["a"]), "operator Exists on \"k\" takes no values"),
            (
                "Like",
                json!(["a"]),
                "operator \"Like\" must be In, NotIn, Exists or DoesNotExist",
            ),
        ] {
            let selector =
                json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]});
            assert_eq!(parse(selector).unwrap_err(), rule);
        }
    }

    #[test]
    fn requirements_match_as_in_kubernetes() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let not_in = json!({"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["x"]}]});
        let not_in = parse(not_in).unwrap();
        assert!(not_in.matches(&labels(&[])), "NotIn holds for an absent label");
        assert!(not_in.matches(&labels(&[("k", "y")])));
        assert!(!not_in.matches(&labels(&[("k", "x")])));
        let both = parse(json!({"matchLabels": {"a": "1", "b": "2"}})).unwrap();
        assert!(both.matches(&labels(&[("a", "1"), ("b", "2"), ("c", "3")])));
        assert!(!both.matches(&labels(&[("a", "1")])));
    }
}
