//! Feature gates: what `--feature-gates` asks for.
//!
//! Parsing only. Which names there are, and what they mean to people, is in [`cloneset_api::switches`].

use cloneset_api::switches::{GATES, KRUISE_GATES, Switch};
use cloneset_plan::Features;

/// What the feature gates ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// The gates we have.
    pub features: Features,
    /// Gates of Kruise that were set and change nothing here.
    pub without_effect: Vec<Switch>,
}

/// Parses `--feature-gates`. The last of two settings of one gate holds, as with Kruise.
///
/// # Errors
/// A sentence naming the gate that is unknown or the value that is neither true nor false.
pub fn parse(text: &str) -> Result<Gates, String> {
    let mut gates = Gates::default();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, value) = entry
            .split_once('=')
            .ok_or_else(|| format!("feature gate {entry:?} must be written Name=true or Name=false"))?;
        let on: bool = value
            .trim()
            .parse()
            .map_err(|_| format!("feature gate {name}: {value:?} must be true or false"))?;
        let name = name.trim();
        if let Some(field) = feature(&mut gates.features, name) {
            *field = on;
        } else if name == "StatusConditions" {
            gates.features.kruise_conditions_only = !on;
        } else if let Some(gate) = KRUISE_GATES.iter().find(|gate| gate.name == name) {
            gates.without_effect.push(*gate);
        } else {
            return Err(unknown(name));
        }
    }
    Ok(gates)
}

/// What a gate of Kruise's that we have switches.
fn feature<'a>(features: &'a mut Features, name: &str) -> Option<&'a mut bool> {
    match name {
        "CloneSetPartitionRollback" => Some(&mut features.partition_rollback),
        "CloneSetShortHash" => Some(&mut features.short_hash),
        "InPlaceWorkloadVerticalScaling" => Some(&mut features.in_place_resize),
        "PreparingUpdateAsUpdate" => Some(&mut features.preparing_update_as_update),
        "RecreatePodWhenChangeVCTInCloneSetGate" => Some(&mut features.recreate_for_claims),
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = GATES.iter().map(|gate| gate.name).collect();
    format!(
        "feature gate {name:?} is unknown; there are {}. Other gates of Kruise change nothing here and only give a warning; \
         this is none of them",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_switches_something_of_its_own_and_kruises_others_nothing() {
        let switched: Vec<Features> = GATES
            .iter()
            .map(|gate| {
                let off_by_default = gate.name != "StatusConditions";
                parse(&format!("{}={off_by_default}", gate.name))
                    .unwrap()
                    .features
            })
            .collect();
        for (at, features) in switched.iter().enumerate() {
            assert_ne!(*features, Features::default(), "{}", GATES[at].name);
            assert!(!switched[..at].contains(features), "{}", GATES[at].name);
        }
        for gate in KRUISE_GATES {
            for value in [true, false] {
                let gates = parse(&format!("{}={value}", gate.name)).unwrap();
                assert_eq!(gates.features, Features::default(), "{}", gate.name);
                assert_eq!(gates.without_effect, [*gate]);
            }
        }
    }

    #[test]
    fn several_gates_are_read_and_the_last_setting_holds() {
        let gates =
            parse("CloneSetShortHash=true, KruiseDaemon=false,CloneSetPartitionRollback=true,").unwrap();
        assert!(gates.features.short_hash && gates.features.partition_rollback);
        assert_eq!(gates.without_effect[0].name, "KruiseDaemon");
        let twice = parse("CloneSetShortHash=true,CloneSetShortHash=false").unwrap();
        assert!(!twice.features.short_hash);
    }

    #[test]
    fn an_unknown_gate_is_refused_with_the_known_ones_and_a_bad_value_with_the_rule() {
        for (text, error) in [
            (
                "CloneSetShortHash",
                "feature gate \"CloneSetShortHash\" must be written Name=true or Name=false",
            ),
            (
                "CloneSetShortHash=yes",
                "feature gate CloneSetShortHash: \"yes\" must be true or false",
            ),
            (
                "CloneSetShrotHash=true",
                "feature gate \"CloneSetShrotHash\" is unknown; there are CloneSetPartitionRollback, CloneSetShortHash, \
                 InPlaceWorkloadVerticalScaling, PreparingUpdateAsUpdate, RecreatePodWhenChangeVCTInCloneSetGate, \
                 StatusConditions. Other gates of Kruise change nothing here and only give a warning; this is none of them",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }
}
