//! The one strict parser for fields that are "an integer or a percentage" (`design.md` 6, deviation 3).
//!
//! It turns text into numbers or a reason why not; it never falls back to a default. Which default or cautious
//! value stands in for a bad one is decided by `Desired` in `cloneset-plan`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An integer or a string as it stands on the wire, unjudged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number of pods.
    Int(i64),
    /// Text that should be a percentage.
    String(String),
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::String(text) => write!(f, "{text:?}"),
        }
    }
}

/// Which way a percentage of the replicas is rounded to whole pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards more pods.
    Up,
    /// Towards fewer pods.
    Down,
}

/// Why a value is neither a count nor a percentage. The text completes "must be …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Below zero.
    Negative,
    /// An integer that does not fit into 32 bits: no Go client could read it.
    TooLarge,
    /// Text that does not end in `%`, or whose rest is not an unsigned decimal number.
    NotAPercentage,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Negative => "0 or more",
            Self::TooLarge => "2147483647 or less",
            Self::NotAPercentage => "an integer, or text like \"20%\" or \"12.5%\"",
        })
    }
}

/// Digits kept after the decimal point; more are refused rather than silently dropped.
const MAX_DECIMALS: usize = 9;
/// Digits allowed before the decimal point: 999,999,999 % is beyond any use and far from overflow.
const MAX_INTEGER_DIGITS: usize = 9;

impl IntOrString {
    /// The number of pods this value means for `replicas`.
    ///
    /// An integer is taken as it is; a percentage may have decimals and is rounded as asked, exactly (integer
    /// arithmetic: `"99.99%"` of 999 is 998.9001, not a nearby float). A percentage beyond `i32` saturates.
    ///
    /// # Errors
    /// [`ValueError`] for negative numbers, for those beyond `i32`, and for text that is not an unsigned percentage.
    pub fn resolve(&self, replicas: i32, rounding: Rounding) -> Result<i32, ValueError> {
        match self {
            Self::Int(value) if *value < 0 => Err(ValueError::Negative),
            Self::Int(value) => i32::try_from(*value).map_err(|_| ValueError::TooLarge),
            Self::String(text) => percent_of(text, replicas, rounding),
        }
    }
}

fn percent_of(text: &str, replicas: i32, rounding: Rounding) -> Result<i32, ValueError> {
    let number = text.strip_suffix('%').ok_or(ValueError::NotAPercentage)?;
    if number.starts_with('-') {
        return Err(ValueError::Negative);
    }
    let (integer, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(integer)
        || !is_digits(decimals)
        || integer.len() > MAX_INTEGER_DIGITS
        || decimals.len() > MAX_DECIMALS
    {
        return Err(ValueError::NotAPercentage);
    }
    // Both parts are at most nine digits, so none of this can overflow an i128.
    let scale = 10_i128.pow(u32::try_from(decimals.len()).unwrap_or(0));
    let parse = |part: &str| part.parse::<i128>().map_err(|_| ValueError::NotAPercentage);
    let scaled = (parse(integer)? * scale + parse(decimals)?) * i128::from(replicas.max(0));
    let divisor = 100 * scale;
    let count = match rounding {
        Rounding::Up => (scaled + divisor - 1) / divisor,
        Rounding::Down => scaled / divisor,
    };
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> IntOrString {
        IntOrString::String(value.to_owned())
    }

    #[test]
    fn percentages_round_exactly_in_both_directions() {
        let cases = [
            ("90%", 95, 86, 85),
            ("0.01%", 95, 1, 0),
            ("99.99%", 999, 999, 998),
            ("12.5%", 8, 1, 1),
            ("150%", 4, 6, 6),
            ("0%", 7, 0, 0),
            ("100%", 0, 0, 0),
            ("33.333333333%", 3, 1, 0),
        ];
        for (value, replicas, up, down) in cases {
            assert_eq!(
                text(value).resolve(replicas, Rounding::Up),
                Ok(up),
                "{value} of {replicas} up"
            );
            assert_eq!(
                text(value).resolve(replicas, Rounding::Down),
                Ok(down),
                "{value} of {replicas} down"
            );
        }
    }

    #[test]
    fn text_that_is_not_an_unsigned_percentage_is_refused() {
        for value in [
            "%", "90#", "#%", "90", "", "abc", "+5%", " 5%", "5 %", "1e2%", ".5%", "5.%", "٥%", "5%%",
        ] {
            assert_eq!(
                text(value).resolve(10, Rounding::Up),
                Err(ValueError::NotAPercentage),
                "{value:?}"
            );
        }
        assert_eq!(text("-1%").resolve(10, Rounding::Up), Err(ValueError::Negative));
        assert_eq!(
            text(&format!("{}%", "9".repeat(40))).resolve(10, Rounding::Up),
            Err(ValueError::NotAPercentage)
        );
    }

    #[test]
    fn integers_are_taken_as_they_are_and_those_beyond_32_bits_are_rejected() {
        assert_eq!(IntOrString::Int(5).resolve(1, Rounding::Up), Ok(5));
        assert_eq!(
            IntOrString::Int(-1).resolve(1, Rounding::Up),
            Err(ValueError::Negative)
        );
        assert_eq!(
            IntOrString::Int(1 << 31).resolve(1, Rounding::Up),
            Err(ValueError::TooLarge)
        );
        assert_eq!(text("999999999%").resolve(i32::MAX, Rounding::Down), Ok(i32::MAX));
    }
}
