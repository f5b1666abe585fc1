//! Every rule of `docs/reference/validation.md`, once kept and once broken, before the real API server: a broken one
//! is refused with the field, the value and the rule.
//!
//! Dry runs, as far as a rule does not compare with what is stored. What becomes of values that slipped in before
//! there were rules is judged in `zy_validation`.

use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{Change, changed, cloneset};
use e2e::{Counters, Namespace, in_namespace};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Requests under way at a time.
const AT_ONCE: usize = 8;

/// What breaks a rule, what is said about it, and what keeps it.
struct Rule {
    broken: Vec<Change>,
    message: &'static str,
    kept: Vec<Change>,
}

/// A rule about one field.
fn rule(place: &'static str, broken: Value, message: &'static str, kept: Value) -> Rule {
    Rule {
        broken: vec![(place, broken)],
        message,
        kept: vec![(place, kept)],
    }
}

fn rules() -> Vec<Rule> {
    let mut rules = rules_about_numbers();
    rules.extend(rules_about_counts());
    rules.extend(rules_about_strategies());
    rules.extend(rules_about_priorities());
    rules.extend(rules_about_selectors());
    rules.extend(rules_about_containers());
    rules.extend(rules_about_templates());
    rules
}

fn rules_about_numbers() -> Vec<Rule> {
    vec![
        rule(
            "spec.replicas",
            json!(-3),
            "spec.replicas: Invalid value: -3: spec.replicas in body should be greater than or equal to 0",
            json!(0),
        ),
        rule(
            "spec.revisionHistoryLimit",
            json!(-1),
            "spec.revisionHistoryLimit: Invalid value: -1: spec.revisionHistoryLimit in body should be greater \
             than or equal to 0",
            json!(0),
        ),
        rule(
            "spec.minReadySeconds",
            json!(-1),
            "spec.minReadySeconds: Invalid value: -1: spec.minReadySeconds in body should be greater than or \
             equal to 0",
            json!(0),
        ),
        rule(
            "spec.progressDeadlineSeconds",
            json!(-1),
            "spec.progressDeadlineSeconds: Invalid value: -1: spec.progressDeadlineSeconds in body should be \
             greater than or equal to 0",
            json!(600),
        ),
        Rule {
            broken: vec![
                ("spec.minReadySeconds", json!(30)),
                ("spec.progressDeadlineSeconds", json!(30)),
            ],
            message: "spec.progressDeadlineSeconds: Invalid value: must be greater than spec.minReadySeconds (30), not 30",
            kept: vec![
                ("spec.minReadySeconds", json!(30)),
                ("spec.progressDeadlineSeconds", json!(31)),
            ],
        },
        rule(
            "spec.progressDeadlineSeconds",
            json!(0),
            "spec.progressDeadlineSeconds: Invalid value: must be greater than spec.minReadySeconds (0), not 0",
            // "No deadline", whatever minReadySeconds is.
            json!(i32::MAX),
        ),
    ]
}

fn rules_about_counts() -> Vec<Rule> {
    vec![
        rule(
            "spec.updateStrategy.partition",
            json!("abc"),
            r#"spec.updateStrategy.partition: Invalid value: "abc": must be an integer of 0 or more, or a percentage such as "20%" or "12.5%", not "abc""#,
            json!("12.5%"),
        ),
        rule(
            "spec.updateStrategy.partition",
            json!(-1),
            r#"spec.updateStrategy.partition: Invalid value: -1: must be an integer of 0 or more, or a percentage such as "20%" or "12.5%", not -1"#,
            json!(3),
        ),
        rule(
            "spec.updateStrategy.maxUnavailable",
            json!("5"),
            r#"spec.updateStrategy.maxUnavailable: Invalid value: "5": must be an integer of 0 or more, or a percentage such as "20%" or "12.5%", not "5""#,
            json!("150%"),
        ),
        rule(
            "spec.updateStrategy.maxSurge",
            json!("-1%"),
            r#"spec.updateStrategy.maxSurge: Invalid value: "-1%": must be an integer of 0 or more, or a percentage such as "20%" or "12.5%", not "-1%""#,
            json!("0%"),
        ),
        rule(
            "spec.scaleStrategy.maxUnavailable",
            json!("20"),
            r#"spec.scaleStrategy.maxUnavailable: Invalid value: "20": must be an integer of 0 or more, or a percentage such as "20%" or "12.5%", not "20""#,
            json!("20%"),
        ),
    ]
}

fn rules_about_strategies() -> Vec<Rule> {
    let stuck = || {
        (
            "spec.updateStrategy",
            json!({"maxUnavailable": "0%", "maxSurge": 0}),
        )
    };
    let message = "spec.updateStrategy.maxUnavailable: Invalid value: must be above 0 while maxSurge is 0: with both 0 no \
                   pod could ever be updated";
    vec![
        Rule {
            broken: vec![stuck()],
            message,
            kept: vec![("spec.updateStrategy", json!({"maxUnavailable": 0, "maxSurge": 1}))],
        },
        Rule {
            broken: vec![stuck()],
            message,
            kept: vec![stuck(), ("spec.replicas", json!(0))],
        },
        Rule {
            broken: vec![stuck()],
            message,
            // Nothing is updated there by us, so nothing can be stuck.
            kept: vec![stuck(), ("spec.updateStrategy.type", json!("OnDelete"))],
        },
        rule(
            "spec.updateStrategy.type",
            json!("RollingUpdate"),
            r#"spec.updateStrategy.type: Unsupported value: "RollingUpdate": supported values: "", "ReCreate", "InPlaceIfPossible", "InPlaceOnly", "OnDelete""#,
            json!("OnDelete"),
        ),
        Rule {
            broken: vec![(
                "spec.updateStrategy",
                json!({"type": "InPlaceOnly", "maxSurge": 1}),
            )],
            message: "spec.updateStrategy.maxSurge: Invalid value: must be 0 with type InPlaceOnly: pods updated in place \
                      need no surge",
            kept: vec![(
                "spec.updateStrategy",
                json!({"type": "InPlaceIfPossible", "maxSurge": 1}),
            )],
        },
        rule(
            "spec.scaleStrategy.podsToDelete",
            json!(["web-abcde", "web-abcde"]),
            r#"spec.scaleStrategy.podsToDelete[1]: Duplicate value: "web-abcde""#,
            json!(["web-abcde", "web-fghij"]),
        ),
        rule(
            "spec.updateStrategy.scatterStrategy",
            json!([{"key": "zone", "value": "a"}, {"key": "zone", "value": "a"}]),
            r#"spec.updateStrategy.scatterStrategy[1]: Duplicate value: {"key":"zone","value":"a"}"#,
            json!([{"key": "zone", "value": "a"}, {"key": "zone", "value": ""}]),
        ),
        rule(
            "spec.updateStrategy.scatterStrategy",
            json!([{"key": "", "value": "a"}]),
            r#"spec.updateStrategy.scatterStrategy[0].key: Invalid value: "": spec.updateStrategy.scatterStrategy[0].key in body should be at least 1 chars long"#,
            json!([]),
        ),
    ]
}

fn rules_about_priorities() -> Vec<Rule> {
    let place = "spec.updateStrategy.priorityStrategy";
    let selector = || json!({"matchLabels": {"zone": "a"}});
    let weight = |weight: i32, selector: Value| json!({"weightPriority": [{"weight": weight, "matchSelector": selector}]});
    let values =
        |values: Value| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": values}]});
    let both = changed(
        weight(1, selector()),
        &[("orderPriority", json!([{"orderedKey": "zone"}]))],
    );
    vec![
        rule(
            place,
            weight(101, selector()),
            "spec.updateStrategy.priorityStrategy.weightPriority[0].weight: Invalid value: 101: \
             spec.updateStrategy.priorityStrategy.weightPriority[0].weight in body should be less than or equal to 100",
            weight(100, selector()),
        ),
        rule(
            place,
            weight(-1, selector()),
            "spec.updateStrategy.priorityStrategy.weightPriority[0].weight: Invalid value: -1: \
             spec.updateStrategy.priorityStrategy.weightPriority[0].weight in body should be greater than or equal to 0",
            weight(0, selector()),
        ),
        rule(
            place,
            weight(1, json!({})),
            "spec.updateStrategy.priorityStrategy.weightPriority: Invalid value: every matchSelector must have at least one \
             requirement",
            weight(1, selector()),
        ),
        rule(
            place,
            weight(1, values(json!([]))),
            "spec.updateStrategy.priorityStrategy.weightPriority: Invalid value: operators In and NotIn need \
             values, Exists and DoesNotExist take none",
            weight(1, values(json!(["a"]))),
        ),
        rule(
            place,
            both,
            "spec.updateStrategy.priorityStrategy: Invalid value: weightPriority and orderPriority exclude each other",
            json!({"weightPriority": [], "orderPriority": [{"orderedKey": "zone"}]}),
        ),
        rule(
            place,
            json!({"orderPriority": [{"orderedKey": ""}]}),
            r#"spec.updateStrategy.priorityStrategy.orderPriority[0].orderedKey: Invalid value: "": spec.updateStrategy.priorityStrategy.orderPriority[0].orderedKey in body should be at least 1 chars long"#,
            json!({"orderPriority": [{"orderedKey": "zone"}]}),
        ),
    ]
}

fn rules_about_selectors() -> Vec<Rule> {
    let place = "spec.selector";
    let requirement = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
    let values = "spec.selector.matchExpressions: Invalid value: operators In and NotIn need values, Exists and \
                  DoesNotExist take none";
    vec![
        rule(
            place,
            json!({}),
            "spec.selector: Invalid value: must have at least one requirement: the empty selector {} would match every pod",
            requirement("Exists", json!([])),
        ),
        rule(
            place,
            json!({"matchLabels": {"app": "other"}}),
            "spec.template.metadata.labels: Invalid value: must have label app=other, which spec.selector.matchLabels \
             requires",
            json!({"matchLabels": {"app": "web"}}),
        ),
        rule(
            place,
            requirement("NotIn", json!(["web"])),
            "spec.template.metadata.labels: Invalid value: must meet the requirement app NotIn [web] of \
             spec.selector.matchExpressions",
            requirement("NotIn", json!(["other"])),
        ),
        rule(
            place,
            requirement("DoesNotExist", json!([])),
            "spec.template.metadata.labels: Invalid value: must meet the requirement app DoesNotExist of \
             spec.selector.matchExpressions",
            requirement("In", json!(["other", "web"])),
        ),
        rule(
            place,
            requirement("In", json!([])),
            values,
            requirement("In", json!(["web"])),
        ),
        rule(
            place,
            requirement("Exists", json!(["web"])),
            values,
            requirement("Exists", json!([])),
        ),
        rule(
            place,
            requirement("Gt", json!(["1"])),
            r#"spec.selector.matchExpressions[0].operator: Unsupported value: "Gt": supported values: "In", "NotIn", "Exists", "DoesNotExist""#,
            requirement("Exists", json!(null)),
        ),
    ]
}

fn rules_about_containers() -> Vec<Rule> {
    let containers = "spec.template.spec.containers";
    let main = || json!({"name": "main", "image": "web:v1"});
    let of_env = |value: Value| json!([{"name": "main", "image": "web:v1", "env": [{"name": "PORT", "value": value}]}]);
    let of_cpu =
        |cpu: Value| json!([{"name": "main", "image": "web:v1", "resources": {"limits": {"cpu": cpu}}}]);
    vec![
        rule(
            containers,
            json!([]),
            "spec.template.spec.containers in body should have at least 1 items",
            json!([main()]),
        ),
        rule(
            containers,
            json!([{"name": "main"}]),
            "spec.template.spec.containers[0].image: Required value",
            json!([main()]),
        ),
        rule(
            containers,
            json!([main(), main()]),
            r#"spec.template.spec.containers[1]: Duplicate value: {"name":"main"}"#,
            json!([main(), {"name": "other", "image": "web:v1"}]),
        ),
        rule(
            "spec.template.spec.initContainers",
            json!([main()]),
            "spec.template.spec.initContainers: Invalid value: must not repeat the name of a container: main",
            json!([{"name": "init", "image": "web:v1"}]),
        ),
        rule(
            containers,
            of_env(json!(8080)),
            "spec.template.spec.containers[0].env[0].value in body must be of type string",
            of_env(json!("8080")),
        ),
        rule(
            containers,
            of_cpu(json!("1 core")),
            "spec.template.spec.containers[0].resources.limits.cpu in body should match",
            of_cpu(json!(0.5)),
        ),
    ]
}

fn rules_about_templates() -> Vec<Rule> {
    let labels = |key: &str, value: &str| json!({"app": "web", key: value});
    vec![
        rule(
            "spec.template.metadata.annotations",
            json!({"prometheus.io/scrape": true}),
            "spec.template.metadata.annotations.prometheus.io/scrape in body must be of type string",
            json!({"prometheus.io/scrape": "true"}),
        ),
        rule(
            "spec.template.metadata.labels",
            labels("tier", "front end"),
            "spec.template.metadata.labels.tier in body should match",
            labels("tier", ""),
        ),
        rule(
            "spec.template.metadata.labels",
            labels("apps.kruise.io/specified-delete", "true"),
            "spec.template.metadata.labels: Invalid value: must not have label apps.kruise.io/specified-delete: the \
             controller keeps the state of a pod in it; remove it from the template",
            labels("hook.example.com/blocker", "true"),
        ),
        rule(
            "spec.template.metadata.annotations",
            json!({"apps.kruise.io/inplace-update-state": "{}"}),
            "spec.template.metadata.annotations: Invalid value: must not have annotation \
             apps.kruise.io/inplace-update-state",
            json!({"apps.kruise.io/container-launch-priority": "Ordered"}),
        ),
        rule(
            "spec.volumeClaimTemplates",
            json!([{"metadata": {"name": "a"}}, {"metadata": {"name": "a"}}]),
            "spec.volumeClaimTemplates: Invalid value: must not have two templates of one name",
            json!([{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]),
        ),
        rule(
            "spec.template.spec.restartPolicy",
            json!("Never"),
            r#"spec.template.spec.restartPolicy: Invalid value: must be Always or absent, not "Never""#,
            json!("Always"),
        ),
        rule(
            "spec.template.spec.activeDeadlineSeconds",
            json!(60),
            "spec.template.spec.activeDeadlineSeconds: Invalid value: must be absent, not 60",
            json!(null),
        ),
    ]
}

#[tokio::test]
async fn every_rule_accepts_what_keeps_it_and_refuses_what_breaks_it() -> Result<()> {
    in_namespace(async |ns| {
        let rules = rules();
        stream::iter(&rules)
            .map(|rule| judge(ns, rule))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    })
    .await
}

async fn judge(ns: &Namespace, rule: &Rule) -> Result<()> {
    let web = cloneset("web", 3, &json!({}));
    ns.send(Method::POST, "?dryRun=All", &changed(web.clone(), &rule.kept))
        .await
        .with_context(|| format!("refused: {:?}", rule.kept))?;
    let refused = ns
        .send(Method::POST, "?dryRun=All", &changed(web, &rule.broken))
        .await;
    says(refused, rule.message).with_context(|| format!("{:?}", rule.broken))
}

/// Refused with this message.
fn says<T>(refused: Result<T>, message: &str) -> Result<()> {
    let Err(error) = refused else {
        anyhow::bail!("accepted, instead of refused with\n{message}");
    };
    let error = format!("{error:#}");
    ensure!(
        error.contains(message),
        "refused with\n{error}\ninstead of\n{message}"
    );
    Ok(())
}

async fn merge(ns: &Namespace, name: &str, merge: Value) -> Result<()> {
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    ns.clonesets().patch(name, &dry, &Patch::Merge(merge)).await?;
    Ok(())
}

#[tokio::test]
async fn a_selector_cannot_be_changed() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 0, &json!({}))).await?;
        let wider = json!({"matchLabels": {"app": "web", "more": "yes"}});
        let labels = json!({"metadata": {"labels": {"app": "web", "more": "yes"}}});
        merge(ns, "web", json!({"spec": {"template": labels}})).await?;
        let refused = merge(
            ns,
            "web",
            json!({"spec": {"selector": wider, "template": labels}}),
        )
        .await;
        says(
            refused,
            "spec.selector: Invalid value: is immutable: create another CloneSet to select other pods",
        )
    })
    .await
}

/// Somebody wrote the strategy while there were no pods; the autoscaler, who did not, must get its pods.
#[tokio::test]
async fn a_strategy_that_could_never_update_is_refused_when_written_and_does_not_stop_scale() -> Result<()> {
    in_namespace(async |ns| {
        let stuck = json!({"maxUnavailable": 0, "maxSurge": 0});
        ns.create_cloneset(&cloneset("web", 0, &json!({"updateStrategy": stuck})))
            .await?;
        ns.kubectl(&["scale", "cloneset/web", "--replicas=2"]).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        merge(ns, "web", json!({"spec": {"minReadySeconds": 1}})).await?;
        let refused = merge(
            ns,
            "web",
            json!({"spec": {"updateStrategy": {"maxUnavailable": "0%"}}}),
        )
        .await;
        says(
            refused,
            "spec.updateStrategy.maxUnavailable: Invalid value: must be above 0 while maxSurge is 0",
        )?;
        merge(
            ns,
            "web",
            json!({"spec": {"updateStrategy": {"maxUnavailable": 1}}}),
        )
        .await
    })
    .await
}

#[tokio::test]
async fn negative_replicas_are_refused_through_scale_too() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 0, &json!({}))).await?;
        let refused = merge(ns, "web", json!({"spec": {"replicas": -3}})).await;
        says(refused, "spec.replicas: Invalid value: -3")?;
        let negative = json!({"spec": {"replicas": -3}});
        let refused = ns
            .clonesets()
            .patch_scale("web", &PatchParams::default(), &Patch::Merge(negative))
            .await;
        says(refused.map_err(Into::into), "spec.replicas: Invalid value: -3")
    })
    .await
}
