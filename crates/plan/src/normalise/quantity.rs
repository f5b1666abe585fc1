//! Quantities (`500m`, `1Gi`, `1e3`) as exact decimals, read the way Kubernetes reads them. It must NOT round
//! anything that Kubernetes keeps: two quantities get the same text only where Kubernetes itself counts them as
//! equal. (It prints those beyond 10^21 wrongly, `5000E` as `5`; here they keep their value.)

use serde_json::Value;

/// The finest step that a quantity can have, as a power of ten.
const NANO: i32 = -9;
/// The finest step of a resource list: the API server rounds requests and limits up to it.
pub(super) const MILLI: i32 = -3;
/// The finest step of a single quantity.
pub(super) const EXACT: i32 = NANO;
/// Kubernetes caps binary quantities here.
const BINARY_CAP: u128 = i64::MAX as u128;
/// The most digits written without an exponent; what is written must be readable again.
const MAX_PLAIN_DIGITS: i32 = 38;

/// `digits * 10^exponent`; never ends in a zero digit, and zero has exponent zero.
struct Decimal {
    negative: bool,
    digits: u128,
    exponent: i32,
}

/// The one text for all quantities of the same value: plain decimals, no suffix. What is no quantity, or has
/// more digits than any real one, is left as it is.
pub(super) fn canonical(value: &Value, finest: i32) -> Value {
    match read(value, finest) {
        Some(decimal) => Value::String(decimal.text()),
        None => value.clone(),
    }
}

/// Is it a quantity of zero or more?
pub(super) fn is_amount(value: &Value) -> bool {
    read(value, EXACT).is_some_and(|decimal| !decimal.negative)
}

fn read(value: &Value, finest: i32) -> Option<Decimal> {
    match value {
        Value::String(text) => parse(text.trim(), finest),
        Value::Number(number) => parse(&number.to_string(), finest),
        _ => None,
    }
}

fn parse(text: &str, finest: i32) -> Option<Decimal> {
    if text.is_empty() {
        return None;
    }
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, rest) = split_digits(unsigned);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    let written = format!("{whole}{fraction}");
    let significant = written.trim_end_matches('0');
    // Kubernetes reads a number without digits ("m", "+") as zero.
    let digits = if significant.is_empty() {
        0
    } else {
        significant.parse().ok()?
    };
    let dropped = i32::try_from(written.len() - significant.len()).ok()?;
    let exponent = dropped.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let decimal = match scale(suffix)? {
        Scale::Decimal(power) => Decimal {
            negative,
            digits,
            exponent: exponent.checked_add(power)?,
        }
        .rounded(finest),
        Scale::Binary(power) => Decimal {
            negative,
            digits: digits.checked_mul(1 << power)?,
            exponent,
        }
        .rounded(finest)
        .capped(),
    };
    Some(decimal.reduced())
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// What a suffix multiplies by.
enum Scale {
    /// A power of ten.
    Decimal(i32),
    /// A power of two.
    Binary(u32),
}

fn scale(suffix: &str) -> Option<Scale> {
    let decimal = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        "Ki" => return Some(Scale::Binary(10)),
        "Mi" => return Some(Scale::Binary(20)),
        "Gi" => return Some(Scale::Binary(30)),
        "Ti" => return Some(Scale::Binary(40)),
        "Pi" => return Some(Scale::Binary(50)),
        "Ei" => return Some(Scale::Binary(60)),
        _ => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
    };
    Some(Scale::Decimal(decimal))
}

impl Decimal {
    /// Away from zero, to a multiple of `10^finest`: who asks for a little gets a little, not nothing.
    fn rounded(self, finest: i32) -> Self {
        if self.exponent >= finest {
            return self;
        }
        let divisor = 10_u128.checked_pow(finest.abs_diff(self.exponent));
        let digits = divisor.map_or(u128::from(self.digits > 0), |divisor| {
            self.digits.div_ceil(divisor)
        });
        Self {
            digits,
            exponent: finest,
            ..self
        }
    }

    fn capped(self) -> Self {
        let factor = 10_u128.checked_pow(self.exponent.unsigned_abs());
        let beyond = if self.exponent < 0 {
            factor
                .and_then(|factor| BINARY_CAP.checked_mul(factor))
                .is_some_and(|cap| self.digits > cap)
        } else {
            let value = factor.and_then(|factor| self.digits.checked_mul(factor));
            self.digits > 0 && value.is_none_or(|value| value > BINARY_CAP)
        };
        if beyond {
            Self {
                digits: BINARY_CAP,
                exponent: 0,
                ..self
            }
        } else {
            self
        }
    }

    fn reduced(mut self) -> Self {
        if self.digits == 0 {
            return Self {
                negative: false,
                digits: 0,
                exponent: 0,
            };
        }
        while self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.exponent = self.exponent.saturating_add(1);
        }
        self
    }

    fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.digits.to_string();
        let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        if self.exponent >= 0 {
            return if length.saturating_add(self.exponent) <= MAX_PLAIN_DIGITS {
                let zeros = "0".repeat(usize::try_from(self.exponent).unwrap_or_default());
                format!("{sign}{digits}{zeros}")
            } else {
                format!("{sign}{digits}e{}", self.exponent)
            };
        }
        let places = usize::try_from(self.exponent.unsigned_abs()).unwrap_or_default();
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded
            .split_at_checked(padded.len() - places)
            .unwrap_or((&padded, ""));
        format!("{sign}{whole}.{fraction}")
    }
}
