//! What the chart renders, and what must hold for it whatever the values are.
//!
//! Each check returns what it found wrong. It must not run helm or read files.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// The release that the checks render.
pub(super) const RELEASE: &str = "cloneset";
/// The namespace it is rendered for.
pub(super) const NAMESPACE: &str = "cloneset-system";

/// Verbs that hand out rights that their holder does not have.
const ESCALATING: [&str; 3] = ["escalate", "bind", "impersonate"];
/// A selector can never change, so nothing in it may depend on the chart's version or on values.
const SELECTED_BY: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];
const CLUSTER_WIDE: [&str; 3] = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];
const POLICY: &str = "ValidatingAdmissionPolicy";
const POLICY_BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// The objects of one rendering, sorted by kind, namespace and name.
#[derive(PartialEq)]
pub(super) struct Rendered(Vec<Value>);

impl Rendered {
    /// The objects in helm's output.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut objects: Vec<Value> =
            serde_saphyr::from_multiple(text).context("helm rendered something that is not YAML")?;
        objects.retain(|object| !object.is_null());
        objects.sort_by_key(identity);
        Ok(Self(objects))
    }

    /// The same without the CRDs.
    pub(super) fn without_crds(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|object| kind(object) != "CustomResourceDefinition")
                .cloned()
                .collect(),
        )
    }

    fn of_kind<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| kind(object) == wanted)
    }

    /// Exactly these CRDs, each with its spec untouched, and kept on uninstall where wanted.
    pub(super) fn check_crds(&self, wanted: &[Value], keep: bool) -> Vec<String> {
        let rendered: Vec<&Value> = self.of_kind("CustomResourceDefinition").collect();
        let mut findings = Vec::new();
        if rendered.len() != wanted.len() {
            findings.push(format!(
                "{} CRDs are rendered instead of {}",
                rendered.len(),
                wanted.len()
            ));
        }
        for crd in rendered {
            let same_name = |file: &&Value| file.pointer("/metadata/name") == crd.pointer("/metadata/name");
            if wanted.iter().find(same_name).and_then(|file| file.get("spec")) != crd.get("spec") {
                findings.push(format!("the spec of CRD {} is not that of its file", name(crd)));
            }
            let policy = crd.pointer("/metadata/annotations/helm.sh~1resource-policy");
            if policy != keep.then(|| json!("keep")).as_ref() {
                findings.push(format!(
                    "CRD {}: helm.sh/resource-policy is {policy:?}",
                    name(crd)
                ));
            }
        }
        findings
    }

    /// Every pod passes the restricted Pod Security level, and its root is read-only.
    pub(super) fn check_restricted(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for object in &self.0 {
            let Some(pod) = object.pointer("/spec/template/spec") else {
                continue;
            };
            let mut wrong = differences(pod, &restricted_pod());
            wrong.extend(present(pod, &["hostNetwork", "hostPID", "hostIPC", "volumes"]));
            for container in containers(pod) {
                wrong.extend(differences(container, &restricted_container()));
                // Absent means that the pod's own apply.
                let context = container.get("securityContext").unwrap_or(&Value::Null);
                wrong.extend(present(
                    context,
                    &["runAsNonRoot", "runAsUser", "seccompProfile", "privileged"],
                ));
            }
            findings.extend(
                wrong
                    .into_iter()
                    .map(|it| format!("{} {}: {it}", kind(object), name(object))),
            );
        }
        findings
    }

    /// No wildcard, no Secret, no way to further rights.
    pub(super) fn check_rights(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for role in self.of_kind("ClusterRole").chain(self.of_kind("Role")) {
            for rule in list(role, "/rules") {
                let all = ["/apiGroups", "/resources", "/verbs", "/nonResourceURLs"]
                    .into_iter()
                    .flat_map(|pointer| list(rule, pointer));
                for entry in all.filter_map(Value::as_str) {
                    if entry.contains('*') || entry == "secrets" || ESCALATING.contains(&entry) {
                        findings.push(format!("{} {} grants {entry:?}", kind(role), name(role)));
                    }
                }
            }
        }
        findings
    }

    /// An installation for one namespace reaches that one and its own, and needs nothing of the cluster.
    pub(super) fn check_reach(&self, watched: &str) -> Vec<String> {
        let mut findings = Vec::new();
        // Policies are judged by `check_delete_protection`: who asks for them with one namespace wants them.
        let policies = [POLICY, POLICY_BINDING];
        for object in self.0.iter().filter(|it| !policies.contains(&kind(it))) {
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            if CLUSTER_WIDE.contains(&kind(object)) || ![Some(watched), Some(NAMESPACE)].contains(&namespace)
            {
                findings.push(format!(
                    "{} {} is outside {watched} and {NAMESPACE}",
                    kind(object),
                    name(object)
                ));
            }
        }
        findings
    }

    /// Policies are there when wanted, each bound, and none is in the way of what did not ask for it.
    pub(super) fn check_delete_protection(&self, wanted: bool, watched: Option<&str>) -> Vec<String> {
        let policies: Vec<&Value> = self.of_kind(POLICY).collect();
        let mut findings = Vec::new();
        if policies.is_empty() == wanted {
            findings.push(format!("{} admission policies are rendered", policies.len()));
        }
        for policy in policies {
            let mut wrong = excess(policy);
            let bindings: Vec<&Value> = self
                .of_kind(POLICY_BINDING)
                .filter(|it| it.pointer("/spec/policyName") == policy.pointer("/metadata/name"))
                .collect();
            if bindings.len() != 1 {
                wrong.push(format!("it has {} bindings", bindings.len()));
            }
            let namespaced = list(policy, "/spec/matchConstraints/resourceRules")
                .iter()
                .any(|rule| rule.get("resources") == Some(&json!(["clonesets"])));
            let pointer = "/spec/matchResources/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";
            for binding in bindings.iter().filter(|_| namespaced) {
                if binding.pointer(pointer).and_then(Value::as_str) != watched {
                    wrong.push(format!("its binding is not for {watched:?}"));
                }
            }
            findings.extend(
                wrong
                    .into_iter()
                    .map(|it| format!("{POLICY} {}: {it}", name(policy))),
            );
        }
        findings
    }

    /// What refers to something else by name or label finds it.
    pub(super) fn check_references(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for pair in self.0.windows(2) {
            if let [one, two] = pair
                && identity(one) == identity(two)
            {
                findings.push(format!("{} {} is rendered twice", kind(one), name(one)));
            }
        }
        let pods: Vec<&Value> = self
            .of_kind("Deployment")
            .filter_map(|it| it.pointer("/spec/template"))
            .collect();
        for object in &self.0 {
            if let Some(selector) = selector(object) {
                if !pods.iter().any(|pod| selects(selector, pod)) {
                    findings.push(format!("{} {} selects no pod", kind(object), name(object)));
                }
                if !selector.keys().eq(SELECTED_BY) {
                    findings.push(format!(
                        "{} {} does not select by {SELECTED_BY:?}",
                        kind(object),
                        name(object)
                    ));
                }
            }
            if object.pointer("/roleRef").is_some() && !self.0.iter().any(|role| is_role_of(object, role)) {
                findings.push(format!("{} {} refers to no role", kind(object), name(object)));
            }
        }
        for pod in pods {
            for constraint in list(pod, "/spec/topologySpreadConstraints") {
                if constraint.get("labelSelector").is_none() {
                    findings.push("a topologySpreadConstraint has no labelSelector".to_owned());
                }
            }
        }
        findings
    }

    /// The rules of the controller's roles; the others are for users.
    pub(super) fn rules_of_the_controller(&self) -> Vec<Value> {
        self.0
            .iter()
            .filter(|role| matches!(kind(role), "ClusterRole" | "Role"))
            .filter(|role| !name(role).ends_with("-view") && !name(role).ends_with("-edit"))
            .flat_map(|role| list(role, "/rules").to_vec())
            .collect()
    }

    /// The controller's rights, each as the start of a row of a table.
    pub(super) fn rights_of_the_controller(&self) -> Vec<String> {
        let row = |rule: &Value| {
            let group = words(rule, "/apiGroups");
            let group = if group.is_empty() {
                "core".to_owned()
            } else {
                group
            };
            format!(
                "| `{}` ({group}) | {} |",
                words(rule, "/resources"),
                words(rule, "/verbs")
            )
        };
        self.rules_of_the_controller().iter().map(row).collect()
    }
}

fn restricted_pod() -> [(&'static str, Value); 3] {
    [
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
        ("/enableServiceLinks", json!(false)),
    ]
}

fn restricted_container() -> [(&'static str, Value); 3] {
    [
        ("/securityContext/allowPrivilegeEscalation", json!(false)),
        ("/securityContext/readOnlyRootFilesystem", json!(true)),
        ("/securityContext/capabilities", json!({"drop": ["ALL"]})),
    ]
}

/// What an admission policy judges beyond what its label asks for, or misses.
fn excess(policy: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if list(policy, "/spec/matchConstraints/objectSelector/matchExpressions").is_empty() {
        wrong.push("it is not limited by a label".to_owned());
    }
    for rule in list(policy, "/spec/matchConstraints/resourceRules") {
        if rule.get("operations") != Some(&json!(["DELETE"])) {
            wrong.push("it judges more than deletion".to_owned());
        }
        if rule.get("resourceNames").is_some() {
            wrong.push("it is limited by names, and a request to delete a collection has none".to_owned());
        }
    }
    wrong
}

fn differences(value: &Value, wanted: &[(&str, Value)]) -> Vec<String> {
    let differs = |(pointer, wanted): &&(&str, Value)| value.pointer(pointer) != Some(wanted);
    wanted
        .iter()
        .filter(differs)
        .map(|(pointer, wanted)| format!("{pointer} is not {wanted}"))
        .collect()
}

fn present(value: &Value, unwanted: &[&str]) -> Vec<String> {
    let found = unwanted.iter().filter(|field| value.get(field).is_some());
    found.map(|field| format!("{field} is set")).collect()
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn identity(object: &Value) -> [String; 3] {
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    [kind(object), namespace.unwrap_or_default(), name(object)].map(str::to_owned)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn words(value: &Value, pointer: &str) -> String {
    let words: Vec<&str> = list(value, pointer).iter().filter_map(Value::as_str).collect();
    words.join(", ")
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/initContainers", "/containers"]
        .into_iter()
        .flat_map(|pointer| list(pod, pointer))
}

/// The label map by which an object finds pods.
fn selector(object: &Value) -> Option<&Map<String, Value>> {
    let service = kind(object) == "Service";
    let pointer = if service {
        "/spec/selector"
    } else {
        "/spec/selector/matchLabels"
    };
    object.pointer(pointer)?.as_object()
}

fn selects(selector: &Map<String, Value>, pod: &Value) -> bool {
    let label = |key: &String| pod.pointer("/metadata/labels").and_then(|labels| labels.get(key));
    selector.iter().all(|(key, value)| label(key) == Some(value))
}

fn is_role_of(binding: &Value, role: &Value) -> bool {
    let wanted = |field| {
        binding
            .pointer(&format!("/roleRef/{field}"))
            .and_then(Value::as_str)
    };
    let same_namespace = binding.pointer("/metadata/namespace") == role.pointer("/metadata/namespace");
    wanted("kind") == Some(kind(role)) && wanted("name") == Some(name(role)) && same_namespace
}
