//! What the spec of a CloneSet promises, in numbers of pods.
//!
//! Written from `docs/explanation/numbers.md` and the field reference alone, and deliberately not on top of the
//! controller's own arithmetic: a mistake there must not judge itself.

use jiff::SignedDuration;
use serde_json::Value;

/// Limits that hold for the controller's writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    /// Pods wanted.
    pub(super) replicas: i128,
    /// A pod is created only while so many live pods, itself included, are not exceeded.
    pub(super) live: i128,
    /// An available pod is taken only while at least so many others are available.
    pub(super) available: i128,
    /// At most so many pods are brought to the template of the spec.
    pub(super) updated: i128,
    /// Is every pod to be updated, as written?
    pub(super) updates_all: bool,
    /// How long a pod has to be ready to be available.
    pub(super) min_ready: SignedDuration,
}

impl Promise {
    /// Of a spec. Nothing when the number of replicas is not one, as no limit follows from it then. Any other wrong
    /// value stands for the most cautious one.
    pub(super) fn of(spec: &Value) -> Option<Self> {
        let replicas = match &spec["replicas"] {
            Value::Null => 1,
            written => i128::from(written.as_i64().filter(|count| *count >= 0)?),
        };
        let strategy = &spec["updateStrategy"];
        let on_delete = strategy["type"] == "OnDelete";
        let known = matches!(
            strategy["type"].as_str(),
            None | Some("" | "ReCreate" | "InPlaceIfPossible" | "InPlaceOnly")
        );
        let paused = strategy["paused"] == true || !known;

        let surge = Amount::of(&strategy["maxSurge"], Amount::ZERO);
        let surge = surge
            .filter(|_| !paused)
            .map_or(0, |surge| surge.rounded_up(replicas));
        let unavailable = match Amount::of(&strategy["maxUnavailable"], Amount::A_FIFTH) {
            _ if on_delete => Amount::A_FIFTH.rounded_down(replicas),
            None => 0,
            Some(amount) if surge > 0 => amount.rounded_down(replicas),
            Some(amount) => amount.rounded_up(replicas),
        };
        let partition = Amount::of(&strategy["partition"], Amount::ZERO);
        let kept = match &partition {
            _ if on_delete => 0,
            None => replicas,
            Some(amount) => kept(amount, &strategy["partition"], replicas),
        };
        Some(Self {
            replicas,
            live: replicas + surge,
            available: replicas - unavailable,
            updated: replicas - kept,
            updates_all: on_delete || partition.is_some_and(|amount| amount.value == 0),
            min_ready: SignedDuration::from_secs(spec["minReadySeconds"].as_i64().unwrap_or(0).max(0)),
        })
    }
}

/// Pods that stay: a percentage below `"100%"` moves at least one of several.
fn kept(amount: &Amount, written: &Value, replicas: i128) -> i128 {
    let count = amount.rounded_up(replicas);
    let moves_one = written.as_str().is_some_and(|text| text != "100%");
    if moves_one && replicas > 1 && count == replicas {
        replicas - 1
    } else {
        count.min(replicas)
    }
}

/// A number of pods, or a share of the replicas: `value` parts of `parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount {
    value: i128,
    /// Nothing for a plain number.
    parts: Option<i128>,
}

impl Amount {
    const ZERO: Self = Self {
        value: 0,
        parts: None,
    };
    const A_FIFTH: Self = Self {
        value: 20,
        parts: Some(100),
    };

    /// An integer, or digits with perhaps a fraction and a percent sign.
    fn of(written: &Value, absent: Self) -> Option<Self> {
        match written {
            Value::Null => Some(absent),
            Value::Number(number) => number.as_i64().filter(|value| *value >= 0).map(|value| Self {
                value: value.into(),
                parts: None,
            }),
            Value::String(text) => Self::percent(text),
            _ => None,
        }
    }

    fn percent(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let complete = !whole.is_empty() && (number.len() == whole.len() || !fraction.is_empty());
        // Longer fractions than anybody writes would only overflow.
        if !complete || !digits(whole) || !digits(fraction) || number.len() > 18 {
            return None;
        }
        Some(Self {
            value: format!("{whole}{fraction}").parse().ok()?,
            parts: Some(100 * 10_i128.pow(u32::try_from(fraction.len()).ok()?)),
        })
    }

    fn rounded_up(self, replicas: i128) -> i128 {
        self.parts
            .map_or(self.value, |parts| (self.value * replicas + parts - 1) / parts)
    }

    fn rounded_down(self, replicas: i128) -> i128 {
        self.parts
            .map_or(self.value, |parts| self.value * replicas / parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn promise(replicas: i32, strategy: &Value) -> Promise {
        Promise::of(&json!({"replicas": replicas, "updateStrategy": strategy})).unwrap()
    }

    #[test]
    fn percentages_are_rounded_as_the_reference_says() {
        let limits = |replicas, strategy: Value| {
            let promise = promise(replicas, &strategy);
            (promise.live, promise.available, promise.updated)
        };
        assert_eq!(limits(5, json!({})), (5, 4, 5));
        assert_eq!(
            limits(4, json!({"maxUnavailable": "30%"})),
            (4, 2, 4),
            "up without surge"
        );
        let surge = json!({"maxUnavailable": "30%", "maxSurge": "30%"});
        assert_eq!(
            limits(4, surge),
            (6, 3, 4),
            "down with surge, which is rounded up"
        );
        let paused = json!({"maxUnavailable": "30%", "maxSurge": "30%", "paused": true});
        assert_eq!(limits(4, paused), (4, 2, 4), "paused, there is no surge");
        let on_delete = json!({"type": "OnDelete", "maxUnavailable": 3, "maxSurge": 1, "partition": 2});
        assert_eq!(limits(9, on_delete), (9, 8, 9));
    }

    #[test]
    fn a_partition_keeps_what_the_reference_says() {
        let kept = |replicas: i32, partition: Value| {
            let promise = promise(replicas, &json!({"partition": partition}));
            promise.replicas - promise.updated
        };
        let cases = [
            ("99%", 9, 8),
            ("90%", 10, 9),
            ("1%", 10, 1),
            ("99%", 99, 98),
            ("100%", 99, 99),
            ("0%", 99, 0),
            ("99%", 0, 0),
            ("0.01%", 9, 1),
            ("99.99%", 999, 998),
            ("1%", 1, 1),
        ];
        for (text, replicas, count) in cases {
            assert_eq!(kept(replicas, json!(text)), count, "{text} of {replicas}");
        }
        assert_eq!(kept(10, json!(5)), 5);
        assert_eq!(kept(5, json!(7)), 5);
    }

    #[test]
    fn a_wrong_value_stands_for_the_most_cautious_one() {
        for wrong in ["99", "abc", "%", "1.%", ".5%", "-1%", "90#"] {
            let written = json!({"partition": wrong, "maxUnavailable": wrong, "maxSurge": wrong});
            let promise = promise(5, &written);
            assert_eq!(
                (promise.live, promise.available, promise.updated),
                (5, 5, 0),
                "{wrong}"
            );
            assert!(!promise.updates_all, "{wrong}");
        }
        assert_eq!(Promise::of(&json!({"replicas": -1})), None);
    }
}
