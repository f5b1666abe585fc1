//! The condition `UnknownFields`: fields of the template that the API server does not know, and drops from every pod.
//!
//! Nothing is held up for them, as with the warning that kubectl prints for a Deployment. How they are found is the
//! controller's business.

use crate::conditions::{self, Wanted};
use cloneset_api::names::conditions as types;
use cloneset_api::{CloneSetStatus, Condition};
use jiff::Timestamp;

/// Paths named in one message; the others are counted.
const NAMED: usize = 5;

/// Sets or clears the condition. `found` are the paths in the template of the update revision; `None`, when nobody has
/// asked since this process began to lead, keeps what an earlier one found in the same revision.
pub fn set(status: &mut CloneSetStatus, found: Option<&[String]>, now: Timestamp) {
    let revision = status.update_revision.clone().unwrap_or_default();
    // A list that is not there, or empty, stays so: else every reconcile would write it again.
    let list = status.conditions.as_mut();
    match (found, list) {
        (Some([]), Some(list)) => conditions::clear(list, types::UNKNOWN_FIELDS),
        (Some([]) | None, None) => {}
        (None, Some(list)) => list
            .retain(|condition| condition.type_ != types::UNKNOWN_FIELDS || is_about(condition, &revision)),
        (Some(paths), _) => {
            let wanted = Wanted {
                type_: types::UNKNOWN_FIELDS,
                status: true,
                reason: types::UNKNOWN_FIELDS,
                message: message(&revision, paths),
            };
            conditions::set(status.conditions.get_or_insert_default(), wanted, now);
        }
    }
}

/// The message of the condition, if it is set.
pub fn told(status: &CloneSetStatus) -> Option<&str> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == types::UNKNOWN_FIELDS)?;
    condition.message.as_deref()
}

fn is_about(condition: &Condition, revision: &str) -> bool {
    let message = condition.message.as_deref().unwrap_or_default();
    message.ends_with(&of_revision(revision))
}

fn of_revision(revision: &str) -> String {
    format!(" (revision {revision})")
}

fn message(revision: &str, paths: &[String]) -> String {
    let named = paths.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match paths.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (fields, them) = if paths.len() == 1 {
        ("field", "it")
    } else {
        ("fields", "them")
    };
    format!(
        "the API server does not know {} {fields} of the template and creates pods without {them}: {named}{more}; correct \
         the spelling, or remove {them}{}",
        paths.len(),
        of_revision(revision)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(status: &mut CloneSetStatus, revision: &str, found: Option<&[&str]>) -> Option<String> {
        status.update_revision = Some(revision.to_owned());
        let found: Option<Vec<String>> =
            found.map(|paths| paths.iter().map(|&path| path.to_owned()).collect());
        set(status, found.as_deref(), Timestamp::UNIX_EPOCH);
        told(status).map(str::to_owned)
    }

    #[test]
    fn the_condition_names_the_paths_and_goes_with_the_revision_that_had_them() {
        let mut status = CloneSetStatus::default();
        let text = "the API server does not know 1 field of the template and creates pods without it: \
                    spec.template.spec.containers[0].resource; correct the spelling, or remove it (revision web-a)";
        let typo = ["spec.template.spec.containers[0].resource"];
        assert_eq!(after(&mut status, "web-a", Some(&typo)).as_deref(), Some(text));
        assert_eq!(
            after(&mut status, "web-a", None).as_deref(),
            Some(text),
            "another leader keeps it"
        );
        assert_eq!(
            after(&mut status, "web-b", None),
            None,
            "another revision was not asked about"
        );
        assert_eq!(status.conditions, Some(Vec::new()), "an empty list stays one");
        after(&mut status, "web-a", Some(&typo));
        assert_eq!(after(&mut status, "web-a", Some(&[])), None);
    }

    #[test]
    fn many_paths_are_counted() {
        let mut status = CloneSetStatus::default();
        let paths = ["a", "b", "c", "d", "e", "f", "g"];
        let text = after(&mut status, "web-a", Some(&paths)).unwrap();
        assert!(
            text.contains("7 fields") && text.contains("without them: a, b, c, d, e and 2 more;"),
            "{text}"
        );
    }
}
