//! What the API server refuses: the rules of `behaviour.md` 10.2 that need no look-up, as part of the CRD.
//!
//! Rules only say what is wrong; what stands in for a bad value that slipped past them is `Desired`'s to say, and
//! a test holds both to the same verdicts. Messages name field, value and rule. No webhook is involved.

mod template;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use serde_json::json;

/// A CEL rule at a place in the schema.
struct Rule {
    /// Path of the schema it belongs to, from the root, which is `""`; `[]` goes into a list's items.
    at: &'static str,
    /// The expression that must hold.
    holds: String,
    /// The message, as a CEL expression that gives text.
    message: String,
    /// Where below `at` the mistake is, for the error's field path.
    field: Option<&'static str>,
    /// Where this holds, the same was written before and is not judged again; `None` for a rule that itself
    /// compares old and new. Must not compare a pod template or what contains one: objects with fields that the
    /// schema does not know are never equal.
    unchanged: Option<String>,
}

impl Rule {
    fn new(at: &'static str, holds: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at,
            holds: holds.into(),
            message: message.into(),
            field: None,
            unchanged: Some("oldSelf.value() == self".to_owned()),
        }
    }

    fn about(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Judged only when this place is written anew.
    fn when_changed(mut self, unchanged: impl Into<String>) -> Self {
        self.unchanged = Some(unchanged.into());
        self
    }

    /// Not judged while the old object breaks it too: for what cannot be compared.
    fn unless_broken_before(mut self) -> Self {
        self.unchanged = Some(format!("!({})", self.holds.replace("self", "oldSelf.value()")));
        self
    }

    /// A rule about the difference between old and new.
    fn about_changes(mut self) -> Self {
        self.unchanged = None;
        self
    }

    /// For the schema. Unlike the API server's own ratcheting, which stops short of the status subresource, this
    /// lets the controller write the status of an object that is older than the rules; otherwise it could not even
    /// say what is wrong with it.
    fn into_validation(self) -> ValidationRule {
        let holds = self.holds;
        ValidationRule {
            rule: match &self.unchanged {
                Some(unchanged) => format!("(oldSelf.hasValue() && {unchanged}) || ({holds})"),
                None => holds,
            },
            message_expression: Some(self.message),
            field_path: self.field.map(str::to_owned),
            optional_old_self: self.unchanged.is_some().then_some(true),
            ..ValidationRule::default()
        }
    }
}

/// A count or a percentage, as [`crate::IntOrString::resolve`] reads it.
const COUNT_OR_PERCENTAGE: &str =
    "type(self) == int ? int(self) >= 0 : string(self).matches('^[0-9]{1,9}([.][0-9]{1,9})?%$')";
const COUNT_MESSAGE: &str = "'must be an integer of 0 or more, or a percentage such as \"20%\" or \"12.5%\", not ' + \
    (type(self) == int ? string(self) : '\"' + string(self) + '\"')";

/// Is the count or percentage at `field` absent or zero?
fn is_zero(field: &str) -> String {
    format!(
        "(!has({field}) || (type({field}) == int ? int({field}) == 0 : string({field}).matches('^0+([.]0+)?%$')))"
    )
}

/// Is the count or percentage at `field` a good one above zero?
fn is_positive(field: &str) -> String {
    format!(
        "(has({field}) && (type({field}) == int ? int({field}) > 0 : \
         string({field}).matches('^[0-9]{{1,9}}([.][0-9]{{1,9}})?%$') && \
         !string({field}).matches('^0+([.]0+)?%$')))"
    )
}

/// Neither the selector nor the labels it must match have changed.
const SAME_LABELS: &str = "oldSelf.value().selector == self.selector && \
    (has(oldSelf.value().template.metadata) && has(oldSelf.value().template.metadata.labels) \
     ? has(self.template.metadata) && has(self.template.metadata.labels) && \
       oldSelf.value().template.metadata.labels == self.template.metadata.labels \
     : !(has(self.template.metadata) && has(self.template.metadata.labels)))";

/// Rules about surge and unavailable hold only when the strategy is written anew: rules on the spec also run on
/// `/scale`, and an autoscaler must not be stopped by what a person wrote long ago.
const SAME_STRATEGY: &str = "oldSelf.value().updateStrategy == self.updateStrategy";

/// Does the template have the label `k` of the selector, with its value?
const HAS_LABEL: &str = "has(self.template.metadata) && has(self.template.metadata.labels) && \
    k in self.template.metadata.labels && self.template.metadata.labels[k] == self.selector.matchLabels[k]";

/// Do the template's labels meet the requirement `e` of the selector? One that is itself invalid has an error of its
/// own.
const MEETS: &str = "(has(e.values) && size(e.values) > 0 ? !(e.operator in ['In', 'NotIn']) \
    : !(e.operator in ['Exists', 'DoesNotExist'])) || \
    (has(self.template.metadata) && has(self.template.metadata.labels) && e.key in self.template.metadata.labels \
     ? (e.operator == 'Exists' || (e.operator != 'DoesNotExist' && \
        (e.operator == 'In') == (self.template.metadata.labels[e.key] in e.values))) \
     : e.operator in ['NotIn', 'DoesNotExist'])";

fn rules() -> Vec<Rule> {
    let counts = [
        "spec.scaleStrategy.maxUnavailable",
        "spec.updateStrategy.partition",
        "spec.updateStrategy.maxUnavailable",
        "spec.updateStrategy.maxSurge",
    ];
    let mut rules = selector_rules();
    rules.extend(template::rules());
    rules.extend(strategy_rules());
    rules.extend(counts.map(|at| Rule::new(at, COUNT_OR_PERCENTAGE, COUNT_MESSAGE)));
    rules
}

fn selector_rules() -> Vec<Rule> {
    let not_empty = "(has(self.matchLabels) && size(self.matchLabels) > 0) || \
        (has(self.matchExpressions) && size(self.matchExpressions) > 0)";
    // One that slipped in without being valid never selected a pod; only a repair can make it of use.
    let unchanged_or_repaired = "self == oldSelf || \
        !((has(oldSelf.matchLabels) && size(oldSelf.matchLabels) > 0) || \
          (has(oldSelf.matchExpressions) && size(oldSelf.matchExpressions) > 0)) || \
        (has(oldSelf.matchExpressions) && oldSelf.matchExpressions.exists(e, \
          e.operator in ['In', 'NotIn'] ? (!has(e.values) || size(e.values) == 0) \
          : (!(e.operator in ['Exists', 'DoesNotExist']) || (has(e.values) && size(e.values) > 0))))";
    let labels_match =
        format!("!has(self.selector.matchLabels) || self.selector.matchLabels.all(k, {HAS_LABEL})");
    let labels_message = format!(
        "'must have label ' + self.selector.matchLabels.map(k, !({HAS_LABEL}), \
         k + '=' + self.selector.matchLabels[k])[0] + ', which spec.selector.matchLabels requires'"
    );
    let expressions_match =
        format!("!has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, {MEETS})");
    let expressions_message = format!(
        "'must meet the requirement ' + self.selector.matchExpressions.map(e, !({MEETS}), \
         e.key + ' ' + e.operator + (has(e.values) && size(e.values) > 0 ? ' [' + e.values.join(', ') + ']' : '')\
         )[0] + ' of spec.selector.matchExpressions'"
    );
    vec![
        Rule::new(
            "spec.selector",
            not_empty,
            "'must have at least one requirement: the empty selector {} would match every pod'",
        ),
        Rule::new(
            "spec.selector",
            unchanged_or_repaired,
            "'is immutable: create another CloneSet to select other pods'",
        )
        .about_changes(),
        Rule::new("spec.selector", values_fit("self"), VALUES_MESSAGE).about(".matchExpressions"),
        Rule::new("spec", labels_match, labels_message)
            .about(".template.metadata.labels")
            .when_changed(SAME_LABELS),
        Rule::new("spec", expressions_match, expressions_message)
            .about(".template.metadata.labels")
            .when_changed(SAME_LABELS),
    ]
}

/// The requirements of a selector have values exactly where their operators compare with some. Judged from the
/// selector: what is inside a list cannot be compared with its former self.
fn values_fit(selector: &str) -> String {
    format!(
        "!has({selector}.matchExpressions) || {selector}.matchExpressions.all(e, e.operator in ['In', 'NotIn'] \
         ? (has(e.values) && size(e.values) > 0) : (!(e.operator in ['Exists', 'DoesNotExist']) || \
         !has(e.values) || size(e.values) == 0))"
    )
}

const VALUES_MESSAGE: &str = "'operators In and NotIn need values, Exists and DoesNotExist take none'";

fn strategy_rules() -> Vec<Rule> {
    let (unavailable, surge) = (
        is_zero("self.updateStrategy.maxUnavailable"),
        is_zero("self.updateStrategy.maxSurge"),
    );
    let progress = format!(
        "(has(self.replicas) && self.replicas == 0) || self.updateStrategy.type == 'OnDelete' || \
         !({unavailable} && {surge})"
    );
    // A surge that is no count or percentage has an error of its own.
    let in_place = format!(
        "self.updateStrategy.type != 'InPlaceOnly' || !{}",
        is_positive("self.updateStrategy.maxSurge")
    );
    vec![
        Rule::new(
            "spec",
            progress,
            "'must be above 0 while maxSurge is 0: with both 0 no pod could ever be updated'",
        )
        .about(".updateStrategy.maxUnavailable")
        .when_changed(SAME_STRATEGY),
        Rule::new(
            "spec",
            in_place,
            "'must be 0 with type InPlaceOnly: pods updated in place need no surge'",
        )
        .about(".updateStrategy.maxSurge")
        .when_changed(SAME_STRATEGY),
        Rule::new(
            "spec.updateStrategy.priorityStrategy",
            "!(has(self.weightPriority) && size(self.weightPriority) > 0 && \
              has(self.orderPriority) && size(self.orderPriority) > 0)",
            "'weightPriority and orderPriority exclude each other'",
        ),
        Rule::new(
            "spec.updateStrategy.priorityStrategy",
            "!has(self.weightPriority) || self.weightPriority.all(t, \
             (has(t.matchSelector.matchLabels) && size(t.matchSelector.matchLabels) > 0) || \
             (has(t.matchSelector.matchExpressions) && size(t.matchSelector.matchExpressions) > 0))",
            "'every matchSelector must have at least one requirement'",
        )
        .about(".weightPriority"),
        Rule::new(
            "spec.updateStrategy.priorityStrategy",
            format!(
                "!has(self.weightPriority) || self.weightPriority.all(t, {})",
                values_fit("t.matchSelector")
            ),
            VALUES_MESSAGE,
        )
        .about(".weightPriority"),
        Rule::new(
            "spec",
            "!has(self.progressDeadlineSeconds) || self.progressDeadlineSeconds == 2147483647 || \
             self.progressDeadlineSeconds < 0 || \
             self.progressDeadlineSeconds > (has(self.minReadySeconds) ? self.minReadySeconds : 0)",
            "'must be greater than spec.minReadySeconds (%d), not %d'.format(\
             [has(self.minReadySeconds) ? self.minReadySeconds : 0, self.progressDeadlineSeconds])",
        )
        .about(".progressDeadlineSeconds")
        .when_changed(
            "has(oldSelf.value().progressDeadlineSeconds) && has(self.progressDeadlineSeconds) && \
             oldSelf.value().progressDeadlineSeconds == self.progressDeadlineSeconds && \
             (has(oldSelf.value().minReadySeconds) ? oldSelf.value().minReadySeconds : 0) == \
             (has(self.minReadySeconds) ? self.minReadySeconds : 0)",
        ),
    ]
}

/// Writes the rules, and the bounds that their cost limit asks for, into the schema.
pub(crate) fn apply(root: &mut JSONSchemaProps) {
    bound(root);
    template::bound(root);
    for rule in rules() {
        if let Some(schema) = find(root, rule.at) {
            schema
                .x_kubernetes_validations
                .get_or_insert_default()
                .push(rule.into_validation());
        }
    }
}

fn find<'a>(root: &'a mut JSONSchemaProps, path: &str) -> Option<&'a mut JSONSchemaProps> {
    let steps = path.split('.').filter(|step| !step.is_empty());
    steps.into_iter().try_fold(root, |schema, step| {
        let (name, is_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let property = schema.properties.as_mut()?.get_mut(name)?;
        if !is_list {
            return Some(property);
        }
        match property.items.as_mut()? {
            JSONSchemaPropsOrArray::Schema(items) => Some(items.as_mut()),
            JSONSchemaPropsOrArray::Schemas(_) => None,
        }
    })
}

/// Plain limits of the schema: numbers, enums, and generous sizes where a rule walks a list or a map
/// (`docs/reference/validation.md` lists them).
fn bound(root: &mut JSONSchemaProps) {
    let mut each = |path: &str, set: &dyn Fn(&mut JSONSchemaProps)| {
        if let Some(schema) = find(root, path) {
            set(schema);
        }
    };
    for path in [
        "spec.replicas",
        "spec.revisionHistoryLimit",
        "spec.minReadySeconds",
        "spec.progressDeadlineSeconds",
    ] {
        each(path, &|schema| schema.minimum = Some(0.0));
    }
    each("spec.updateStrategy.type", &|schema| {
        // Empty is what Kruise's webhook fills in as ReCreate.
        let types = ["", "ReCreate", "InPlaceIfPossible", "InPlaceOnly", "OnDelete"];
        schema.enum_ = Some(types.into_iter().map(|name| JSON(json!(name))).collect());
    });
    each(
        "spec.updateStrategy.priorityStrategy.weightPriority[].weight",
        &|schema| {
            (schema.minimum, schema.maximum) = (Some(0.0), Some(100.0));
        },
    );
    for path in [
        "spec.updateStrategy.priorityStrategy.orderPriority[].orderedKey",
        "spec.updateStrategy.scatterStrategy[].key",
    ] {
        each(path, &|schema| schema.min_length = Some(1));
    }
    each(
        "spec.updateStrategy.inPlaceUpdateStrategy.imagePreDownloadParallelism",
        &|schema| schema.minimum = Some(i32::MIN.into()),
    );
    each("spec.scaleStrategy.podsToDelete", &|schema| {
        schema.x_kubernetes_list_type = Some("set".to_owned());
    });
    each("spec.updateStrategy.scatterStrategy", &|schema| {
        schema.x_kubernetes_list_type = Some("map".to_owned());
        schema.x_kubernetes_list_map_keys = Some(vec!["key".to_owned(), "value".to_owned()]);
    });
    for selector in [
        "spec.selector",
        "spec.updateStrategy.priorityStrategy.weightPriority[].matchSelector",
    ] {
        each(&format!("{selector}.matchLabels"), &|schema| {
            schema.max_properties = Some(MAX_REQUIREMENTS);
        });
        each(&format!("{selector}.matchExpressions"), &|schema| {
            schema.max_items = Some(MAX_REQUIREMENTS);
        });
        each(&format!("{selector}.matchExpressions[].values"), &|schema| {
            schema.max_items = Some(MAX_VALUES);
        });
    }
    each("spec.updateStrategy.priorityStrategy.weightPriority", &|schema| {
        schema.max_items = Some(MAX_TERMS);
    });
    each("spec.updateStrategy.priorityStrategy.orderPriority", &|schema| {
        schema.max_items = Some(MAX_TERMS);
    });
}

/// Requirements in one selector.
const MAX_REQUIREMENTS: i64 = 64;
/// Values in one requirement.
const MAX_VALUES: i64 = 64;
/// Terms of a priority.
const MAX_TERMS: i64 = 64;
