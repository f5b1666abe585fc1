//! Label selectors of queries, as far as the controller uses them.
//!
//! Sets of values (`in`, `notin`) are not supported: the server answers such a request with an error and reports it.

/// Requirements, all of which a selected object meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    DoesNotExist(String),
    Equals(String, String),
    Differs(String, String),
}

impl Selector {
    /// Parses a selector; the error names the requirement that is not supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let requirements = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        requirements.map(requirement).collect::<Result<_, _>>().map(Self)
    }

    /// Does it match an object, whose labels are looked up by `label`?
    pub(super) fn matches(&self, label: impl Fn(&str) -> Option<String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::DoesNotExist(key) => label(key).is_none(),
            Requirement::Equals(key, value) => label(key).as_ref() == Some(value),
            Requirement::Differs(key, value) => label(key).as_ref() != Some(value),
        })
    }
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let pair = |separator: &str| {
        let (key, value) = text.split_once(separator)?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    if text.contains(['(', ')', '<', '>', ' ']) {
        return Err(format!("label selector {text:?} is not supported"));
    }
    if let Some((key, value)) = pair("!=") {
        return Ok(Requirement::Differs(key, value));
    }
    if let Some((key, value)) = pair("==").or_else(|| pair("=")) {
        return Ok(Requirement::Equals(key, value));
    }
    Ok(match text.strip_prefix('!') {
        Some(key) => Requirement::DoesNotExist(key.to_owned()),
        None => Requirement::Exists(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str) -> bool {
        let label = |key: &str| (key == "app").then(|| "web".to_owned());
        Selector::parse(selector).expect("a selector").matches(label)
    }

    #[test]
    fn every_requirement_must_hold() {
        for selector in [
            "",
            "app",
            "app=web",
            "app==web",
            "!tier",
            "app!=db",
            "tier!=db",
            "app,app=web",
        ] {
            assert!(matches(selector), "{selector}");
        }
        for selector in ["tier", "app=db", "!app", "app!=web", "app=web,tier"] {
            assert!(!matches(selector), "{selector}");
        }
    }

    #[test]
    fn sets_of_values_are_not_supported() {
        let error = Selector::parse("app in (web)").expect_err("a set");
        assert!(error.contains("app in (web)"), "{error}");
    }
}
