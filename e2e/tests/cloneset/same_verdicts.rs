//! The API server and the controller judge alike: specs drawn from good and bad values are sent as dry runs, and
//! `Desired` must find an invalid value in exactly those that are refused.
//!
//! The seed is printed; `CLONESET_E2E_SEED` repeats a run. Nothing is created.

use anyhow::{Context as _, Result, ensure};
use cloneset_api::CloneSet;
use cloneset_plan::Desired;
use e2e::fixtures::{Change, changed, cloneset};
use e2e::{Namespace, in_namespace};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::env;

/// Specs in one run.
const SPECS: usize = 400;
/// Requests under way at a time.
const AT_ONCE: usize = 16;

#[tokio::test]
async fn the_api_server_refuses_exactly_what_the_controller_calls_invalid() -> Result<()> {
    in_namespace(async |ns| {
        let seed = match env::var("CLONESET_E2E_SEED") {
            Ok(text) => text.parse().context("CLONESET_E2E_SEED must be a number")?,
            Err(_) => Timestamp::now().as_millisecond().unsigned_abs(),
        };
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let corpus: Vec<_> = (0..SPECS).map(|_| draw(&mut dice)).collect();
        let judged: Vec<_> = stream::iter(&corpus)
            .map(|object| judge(ns, object))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let refused = judged.iter().filter(|judged| judged.server.is_err()).count();
        println!("{refused} of {SPECS} refused");
        // A corpus of one kind would prove nothing.
        ensure!(
            refused > SPECS / 5 && refused < SPECS * 4 / 5,
            "seed {seed}: {refused} of {SPECS} refused"
        );
        let apart: Vec<_> = judged
            .iter()
            .filter(|judged| judged.server.is_err() == judged.invalid.is_empty())
            .collect();
        ensure!(
            apart.is_empty(),
            "seed {seed}: {} disagreements: {apart:#?}",
            apart.len()
        );
        Ok(())
    })
    .await
}

/// What both said about an object.
#[derive(Debug)]
struct Judged {
    #[expect(dead_code, reason = "for the message of a failure")]
    object: String,
    server: Result<(), String>,
    invalid: Vec<String>,
}

async fn judge(ns: &Namespace, object: &Value) -> Result<Judged> {
    let typed: CloneSet = serde_json::from_value(object.clone()).with_context(|| object.to_string())?;
    let problems = Desired::parse(&typed, 0).problems;
    let server = match ns.send(http::Method::POST, "?dryRun=All", object).await {
        Ok(_) => Ok(()),
        // Only the verdict of the rules counts; a server that is not there has none.
        Err(error) => match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if status.code == 422 => Err(status.message.clone()),
            _ => return Err(error),
        },
    };
    Ok(Judged {
        object: object.to_string(),
        server,
        invalid: problems.iter().map(ToString::to_string).collect(),
    })
}

/// A CloneSet with one to three values drawn from the lists below.
fn draw(dice: &mut Dice) -> Value {
    let fields = fields();
    let count = 1 + dice.below(3);
    let changes: Vec<Change> = (0..count)
        .filter_map(|_| {
            let (place, values) = dice.pick(&fields)?;
            Some((*place, dice.pick(values)?.clone()))
        })
        .collect();
    changed(cloneset("drawn", 3, &json!({})), &changes)
}

/// Fields that a rule looks at, each with values on both sides of the rule. Good ones stand more often: a spec with
/// several bad values tells little about each.
fn fields() -> Vec<(&'static str, Vec<Value>)> {
    let mut fields = numbers();
    fields.extend(strategies());
    fields.extend(selectors());
    fields.extend(templates());
    fields
}

fn values(values: Value) -> Vec<Value> {
    match values {
        Value::Array(values) => values,
        one => vec![one],
    }
}

fn numbers() -> Vec<(&'static str, Vec<Value>)> {
    let counts = || {
        values(json!([
            0,
            1,
            5,
            "0%",
            "0.0%",
            "00%",
            "20%",
            "12.5%",
            "150%",
            "999999999%",
            "0.000000001%",
            null,
            2_147_483_648_i64,
            -1,
            "-1%",
            "abc",
            "5",
            "",
            "%",
            "+5%",
            " 5%",
            "5%\n",
            ".5%",
            "5.%",
            "1e2%",
            "٥%",
            "1000000000%",
            "0.0000000001%"
        ]))
    };
    vec![
        ("spec.replicas", values(json!([0, 0, 1, 2_147_483_647, null, -1]))),
        ("spec.revisionHistoryLimit", values(json!([0, 10, null, -1]))),
        ("spec.minReadySeconds", values(json!([0, 5, 10, null, -1]))),
        (
            "spec.progressDeadlineSeconds",
            values(json!([1, 6, 600, 2_147_483_647, null, 0, 5, -1])),
        ),
        ("spec.scaleStrategy.maxUnavailable", counts()),
        ("spec.updateStrategy.partition", counts()),
        ("spec.updateStrategy.maxUnavailable", counts()),
        ("spec.updateStrategy.maxUnavailable", values(json!([0, "0%"]))),
        ("spec.updateStrategy.maxSurge", counts()),
    ]
}

fn strategies() -> Vec<(&'static str, Vec<Value>)> {
    let labels = json!({"matchLabels": {"a": "b"}});
    let weight = |weight: i32, selector: &Value| json!({"weight": weight, "matchSelector": selector});
    let list = |operator: &str, with: Value| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": with}]});
    let priorities = json!([
        {}, null,
        {"weightPriority": [], "orderPriority": []},
        {"weightPriority": null, "orderPriority": [{"orderedKey": "a"}]},
        {"weightPriority": [weight(0, &labels), weight(100, &labels)]},
        {"weightPriority": [weight(50, &list("In", json!(["b"])))], "orderPriority": []},
        {"weightPriority": [weight(1, &labels)], "orderPriority": [{"orderedKey": "a"}]},
        {"weightPriority": [weight(101, &labels)]},
        {"weightPriority": [weight(-1, &labels)]},
        {"weightPriority": [weight(1, &json!({}))]},
        {"weightPriority": [weight(1, &json!({"matchLabels": {}, "matchExpressions": null}))]},
        {"weightPriority": [weight(1, &list("In", json!([])))]},
        {"weightPriority": [weight(1, &list("Exists", json!(["b"])))]},
        {"weightPriority": [weight(1, &list("Like", json!(["b"])))]},
        {"orderPriority": [{"orderedKey": ""}]}
    ]);
    let scatter = json!([
        [], null, [{"key": "a", "value": ""}], [{"key": "a", "value": "b"}, {"key": "a", "value": "c"}],
        [{"key": "a", "value": "b"}, {"key": "a", "value": "b"}], [{"key": "", "value": "b"}]
    ]);
    let types = json!([
        "ReCreate",
        "OnDelete",
        "InPlaceOnly",
        "InPlaceIfPossible",
        null,
        "",
        "Recreate",
        "RollingUpdate"
    ]);
    vec![
        ("spec.updateStrategy.type", values(types)),
        (
            "spec.updateStrategy.type",
            values(json!(["OnDelete", "InPlaceOnly"])),
        ),
        ("spec.updateStrategy.priorityStrategy", values(priorities)),
        ("spec.updateStrategy.scatterStrategy", values(scatter)),
        (
            "spec.scaleStrategy.podsToDelete",
            values(json!([[], null, ["a", "b"], ["a", "a"]])),
        ),
    ]
}

fn selectors() -> Vec<(&'static str, Vec<Value>)> {
    let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    let mixed = json!({"matchLabels": {"app": "drawn"}, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]});
    vec![(
        "spec.selector",
        vec![
            mixed,
            json!({"matchLabels": {"app": "drawn"}, "matchExpressions": null}),
            expression("app", "In", json!(["other", "drawn"])),
            expression("app", "NotIn", json!(["other"])),
            expression("absent", "NotIn", json!(["other"])),
            expression("app", "Exists", json!([])),
            expression("absent", "DoesNotExist", json!(null)),
            json!({}),
            json!({"matchLabels": {}, "matchExpressions": []}),
            json!({"matchLabels": null}),
            json!({"matchLabels": {"app": "other"}}),
            json!({"matchLabels": {"app": "drawn", "absent": ""}}),
            expression("app", "In", json!(["other"])),
            expression("app", "In", json!([])),
            expression("app", "NotIn", json!(["drawn"])),
            expression("app", "Exists", json!(["drawn"])),
            expression("app", "DoesNotExist", json!([])),
            expression("absent", "Exists", json!(null)),
            expression("app", "Like", json!(["drawn"])),
        ],
    )]
}

fn templates() -> Vec<(&'static str, Vec<Value>)> {
    let labels = json!([
        {"app": "drawn"}, {"app": "drawn", "more": ""}, {"app": "other"}, {}, null,
        {"app": "drawn", "more": "two words"}, {"app": "drawn", "apps.kruise.io/specified-delete": ""}
    ]);
    let main = json!({"name": "main", "image": "web:v1"});
    let containers = json!([
        [main], [main], [main, {"name": "other", "image": "web:v1"}],
        [], [main, main], [{"name": "main"}], [{"name": "main", "image": ""}], [{"name": "", "image": "web:v1"}]
    ]);
    vec![
        ("spec.template.metadata.labels", values(labels)),
        (
            "spec.template.metadata",
            values(json!([{"labels": {"app": "drawn"}, "creationTimestamp": null}, null])),
        ),
        ("spec.template.spec.containers", values(containers)),
        (
            "spec.template.spec.restartPolicy",
            values(json!(["Always", "", null, "Never", "OnFailure", "always"])),
        ),
        (
            "spec.template.spec.activeDeadlineSeconds",
            values(json!([null, null, 0, 5])),
        ),
    ]
}

/// Numbers that depend on the seed alone (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}
