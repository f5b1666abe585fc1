//! What a test is told when the world breaks a rule: the rule, and the story that led there.

use std::fmt;

/// A promise was broken, or the world never came to rest.
#[derive(Clone)]
pub struct Failure {
    /// Which rule, and how it was broken.
    pub rule: String,
    /// What happened until then, a line a happening.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nwhat happened:\n{}", self.rule, self.story)
    }
}

/// As [`fmt::Display`], so that `unwrap` in a test shows the story readably.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
