//! The bad values of this test: one for each rule, with what is said about it and a value that is good.
//!
//! Says nothing about how they get past the rules, or what must not happen then.

use anyhow::Result;
use cloneset_api::CloneSet;
use cloneset_api::names::{conditions, reasons};
use e2e::fixtures::Change;
use e2e::{Counters, condition};
use kube::ResourceExt as _;
use serde_json::{Value, json};

/// Stands in values and messages for the name of the CloneSet.
const NAME: &str = "NAME";

/// A bad value, what the condition says about it, and a good one.
pub(crate) struct Slip {
    pub(crate) name: &'static str,
    bad: Vec<Change>,
    pub(crate) message: &'static str,
    good: Vec<Change>,
    /// Does a new image come with it? Then no pod may move to that until the value is good.
    pub(crate) released: bool,
}

impl Slip {
    fn new(name: &'static str, place: &'static str, bad: Value, message: &'static str, good: Value) -> Self {
        Self {
            name,
            bad: vec![(place, bad)],
            message,
            good: vec![(place, good)],
            released: false,
        }
    }

    /// The bad values for a CloneSet of this name.
    pub(crate) fn bad(&self, name: &str) -> Result<Vec<Change>> {
        named(&self.bad, name)
    }

    /// The good values for a CloneSet of this name.
    pub(crate) fn good(&self, name: &str) -> Result<Vec<Change>> {
        named(&self.good, name)
    }

    /// Does the status tell of the bad value, for the present generation?
    pub(crate) fn is_told_by(&self, object: &CloneSet) -> bool {
        let message = self.message.replace(NAME, &object.name_any());
        Counters::reported(object).is_some()
            && condition(object, conditions::STALLED).is_some_and(|stalled| {
                stalled.status == "True"
                    && stalled.reason.as_deref() == Some(reasons::INVALID_SPEC)
                    && stalled
                        .message
                        .as_deref()
                        .is_some_and(|told| told.contains(&message))
            })
    }

    fn with_a_release(mut self) -> Self {
        self.released = true;
        self
    }
}

fn named(changes: &[Change], name: &str) -> Result<Vec<Change>> {
    let named = |(place, value): &Change| {
        let value = serde_json::from_str(&value.to_string().replace(NAME, name))?;
        Ok((*place, value))
    };
    changes.iter().map(named).collect()
}

/// One for each rule.
pub(crate) fn slips() -> Vec<Slip> {
    let mut slips = limits();
    slips.extend(whole_numbers());
    slips.extend(templates());
    slips.extend(priorities());
    slips
}

/// Values that say how far a release may go.
fn limits() -> Vec<Slip> {
    let strategy =
        |name, place, bad, message, good| Slip::new(name, place, bad, message, good).with_a_release();
    let (partition, unavailable) = (
        "spec.updateStrategy.partition",
        "spec.updateStrategy.maxUnavailable",
    );
    vec![
        strategy(
            "partition-abc",
            partition,
            json!("abc"),
            r#"spec.updateStrategy.partition: "abc" must be an integer, or text like "20%" or "12.5%""#,
            json!(1),
        ),
        strategy(
            "partition-negative",
            partition,
            json!(-1),
            "spec.updateStrategy.partition: -1 must be 0 or more",
            json!(1),
        ),
        strategy(
            "partition-text",
            partition,
            json!("5"),
            r#"spec.updateStrategy.partition: "5" must be an integer, or text like "20%" or "12.5%""#,
            json!("50%"),
        ),
        strategy(
            "unavailable-abc",
            unavailable,
            json!("abc"),
            r#"spec.updateStrategy.maxUnavailable: "abc" must be an integer, or text like "20%" or "12.5%""#,
            json!("12.5%"),
        ),
        strategy(
            "unavailable-negative",
            unavailable,
            json!("-1%"),
            r#"spec.updateStrategy.maxUnavailable: "-1%" must be 0 or more"#,
            json!(1),
        ),
        strategy(
            "both-zero",
            unavailable,
            json!(0),
            "spec.updateStrategy.maxUnavailable: 0 must be above 0 while maxSurge is 0: with both 0 no pod could ever be \
             updated",
            json!(1),
        ),
        strategy(
            "unknown-type",
            "spec.updateStrategy.type",
            json!("RollingUpdate"),
            r#"spec.updateStrategy.type: "RollingUpdate" must be ReCreate, InPlaceIfPossible, InPlaceOnly or OnDelete"#,
            json!("ReCreate"),
        ),
        Slip::new(
            "surge-abc",
            "spec.updateStrategy.maxSurge",
            json!("abc"),
            r#"spec.updateStrategy.maxSurge: "abc" must be an integer, or text like "20%" or "12.5%""#,
            json!(0),
        ),
        Slip::new(
            "scale-text",
            "spec.scaleStrategy",
            json!({"maxUnavailable": "2"}),
            r#"spec.scaleStrategy.maxUnavailable: "2" must be an integer, or text like "20%" or "12.5%""#,
            json!(null),
        ),
        Slip {
            name: "in-place-surge",
            bad: vec![
                ("spec.updateStrategy.type", json!("InPlaceOnly")),
                ("spec.updateStrategy.maxSurge", json!(1)),
            ],
            message: "spec.updateStrategy.maxSurge: 1 must be 0 with type InPlaceOnly",
            good: vec![
                ("spec.updateStrategy.type", json!("ReCreate")),
                ("spec.updateStrategy.maxSurge", json!(0)),
            ],
            released: true,
        },
    ]
}

fn whole_numbers() -> Vec<Slip> {
    let number =
        |name, place, bad: i32, message, good: Value| Slip::new(name, place, json!(bad), message, good);
    vec![
        number(
            "replicas-negative",
            "spec.replicas",
            -3,
            "spec.replicas: -3 must be 0 or more",
            json!(2),
        ),
        number(
            "min-ready-negative",
            "spec.minReadySeconds",
            -1,
            "spec.minReadySeconds: -1 must be 0 or more",
            json!(0),
        ),
        number(
            "history-negative",
            "spec.revisionHistoryLimit",
            -1,
            "spec.revisionHistoryLimit: -1 must be 0 or more",
            json!(3),
        ),
        number(
            "deadline-zero",
            "spec.progressDeadlineSeconds",
            0,
            "spec.progressDeadlineSeconds: 0 must be greater than spec.minReadySeconds (0)",
            json!(null),
        ),
    ]
}

/// What nothing sensible can stand in for.
fn templates() -> Vec<Slip> {
    vec![
        Slip::new(
            "empty-selector",
            "spec.selector",
            json!({}),
            "spec.selector: {} must be a selector with at least one requirement; an empty one would match every pod",
            json!({"matchLabels": {"app": NAME}}),
        )
        .with_a_release(),
        Slip::new(
            "selector-values",
            "spec.selector",
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": []}]}),
            r#"spec.selector: operator In on "app" needs values must be a valid label selector"#,
            json!({"matchLabels": {"app": NAME}}),
        ),
        Slip::new(
            "other-labels",
            "spec.template.metadata.labels",
            json!({"app": "other"}),
            r#"spec.template.metadata.labels: {"app": "other"} must be labels that spec.selector matches (app=NAME)"#,
            json!({"app": NAME}),
        )
        .with_a_release(),
        Slip::new(
            "no-containers",
            "spec.template.spec.containers",
            json!([]),
            "spec.template.spec.containers: [] must be at least one container",
            json!([{"name": "main", "image": e2e::fixtures::OLD}]),
        ),
        Slip::new(
            "label-value",
            "spec.template.metadata.labels",
            json!({"app": NAME, "tier": "front end"}),
            "spec.template.metadata.labels: tier=\"front end\" must be at most 63 letters, digits, '-', '_' and '.'",
            json!({"app": NAME}),
        ),
        Slip::new(
            "restart-never",
            "spec.template.spec.restartPolicy",
            json!("Never"),
            r#"spec.template.spec.restartPolicy: "Never" must be Always or absent"#,
            json!("Always"),
        )
        .with_a_release(),
        Slip::new(
            "active-deadline",
            "spec.template.spec.activeDeadlineSeconds",
            json!(60),
            "spec.template.spec.activeDeadlineSeconds: 60 must be absent",
            json!(null),
        )
        .with_a_release(),
    ]
}

fn priorities() -> Vec<Slip> {
    let place = "spec.updateStrategy.priorityStrategy";
    let weight = |weight: i32, selector: Value| json!({"weightPriority": [{"weight": weight, "matchSelector": selector}]});
    let selector = || json!({"matchLabels": {"zone": "a"}});
    let mut both = weight(1, selector());
    both["orderPriority"] = json!([{"orderedKey": "zone"}]);
    let scatter = "spec.updateStrategy.scatterStrategy";
    vec![
        Slip::new(
            "weight-101",
            place,
            weight(101, selector()),
            "spec.updateStrategy.priorityStrategy.weightPriority: weight 101 must be 0 to 100",
            json!(null),
        ),
        Slip::new(
            "weight-for-all",
            place,
            weight(1, json!({})),
            "spec.updateStrategy.priorityStrategy.weightPriority: matchSelector {} must be a selector with at least one \
             requirement",
            json!(null),
        ),
        Slip::new(
            "both-priorities",
            place,
            both,
            "spec.updateStrategy.priorityStrategy: 1 weights and 1 keys must be weightPriority or orderPriority, not both",
            json!(null),
        ),
        Slip::new(
            "order-by-nothing",
            place,
            json!({"orderPriority": [{"orderedKey": ""}]}),
            r#"spec.updateStrategy.priorityStrategy.orderPriority: orderedKey "" must be the key of a label"#,
            json!(null),
        ),
        Slip::new(
            "scattered-twice",
            scatter,
            json!([{"key": "zone", "value": "a"}, {"key": "zone", "value": "a"}]),
            "spec.updateStrategy.scatterStrategy: zone=a must be given once",
            json!(null),
        ),
        Slip::new(
            "delete-twice",
            "spec.scaleStrategy",
            json!({"podsToDelete": ["x", "x"]}),
            r#"spec.scaleStrategy.podsToDelete: "x" must be named once"#,
            json!(null),
        ),
    ]
}
