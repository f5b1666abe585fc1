//! Tables of the pod template, the pod spec and the scheduling types, and their defaults. It must NOT hold
//! logic beyond a type's own rule.

use super::container::{
    APP_ARMOR_PROFILE, CONTAINER, EPHEMERAL_CONTAINER, RESOURCE_REQUIREMENTS, SE_LINUX_OPTIONS,
    SECCOMP_PROFILE, WINDOWS_SECURITY_CONTEXT_OPTIONS,
};
use super::meta::{LABEL_SELECTOR, LOCAL_OBJECT_REFERENCE, TEMPLATE_META};
use super::shape::{Kind, Preset, Shape, field};
use super::volume::VOLUME;
use serde_json::{Map, Value};

/// The root of all tables.
pub(super) static POD_TEMPLATE_SPEC: Shape = Shape {
    fields: &[
        field("metadata", Kind::Struct(&TEMPLATE_META)),
        field("spec", Kind::Struct(&POD_SPEC)),
    ],
    rule: Some(drop_bookkeeping),
    ..Shape::new("PodTemplateSpec")
};

static POD_SPEC: Shape = Shape {
    text: &[
        "serviceAccountName",
        "serviceAccount",
        "nodeName",
        "hostname",
        "subdomain",
        "priorityClassName",
    ],
    flag: &["hostNetwork", "hostPID", "hostIPC"],
    pointer: &[
        "activeDeadlineSeconds",
        "automountServiceAccountToken",
        "shareProcessNamespace",
        "priority",
        "runtimeClassName",
        "enableServiceLinks",
        "preemptionPolicy",
        "setHostnameAsFQDN",
        "hostUsers",
        "hostnameOverride",
    ],
    text_map: &["nodeSelector"],
    fields: &[
        field("volumes", Kind::ListOf(&VOLUME)),
        field("initContainers", Kind::ListOf(&CONTAINER)),
        field("containers", Kind::ListOf(&CONTAINER)),
        field("ephemeralContainers", Kind::ListOf(&EPHEMERAL_CONTAINER)),
        field("restartPolicy", Kind::Text).or(Preset::Text("Always")),
        field("terminationGracePeriodSeconds", Kind::Pointer).or(Preset::Number(30)),
        field("dnsPolicy", Kind::Text).or(Preset::Text("ClusterFirst")),
        field("securityContext", Kind::Optional(&POD_SECURITY_CONTEXT)).or(Preset::EmptyObject),
        field("imagePullSecrets", Kind::ListOf(&LOCAL_OBJECT_REFERENCE)),
        field("affinity", Kind::Optional(&AFFINITY)),
        field("schedulerName", Kind::Text).or(Preset::Text("default-scheduler")),
        field("tolerations", Kind::ListOf(&TOLERATION)),
        field("hostAliases", Kind::ListOf(&HOST_ALIAS)),
        field("dnsConfig", Kind::Optional(&POD_DNS_CONFIG)),
        field("readinessGates", Kind::ListOf(&POD_READINESS_GATE)),
        field("overhead", Kind::Quantities),
        field(
            "topologySpreadConstraints",
            Kind::ListOf(&TOPOLOGY_SPREAD_CONSTRAINT),
        ),
        field("os", Kind::Optional(&POD_OS)),
        field("schedulingGates", Kind::ListOf(&POD_SCHEDULING_GATE)),
        field("resourceClaims", Kind::ListOf(&POD_RESOURCE_CLAIM)),
        field("resources", Kind::Optional(&RESOURCE_REQUIREMENTS)),
        field("schedulingGroup", Kind::Optional(&POD_SCHEDULING_GROUP)),
    ],
    rule: Some(pod_spec_rules),
    ..Shape::new("PodSpec")
};

static POD_SECURITY_CONTEXT: Shape = Shape {
    pointer: &[
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "supplementalGroupsPolicy",
        "fsGroup",
        "fsGroupChangePolicy",
        "seLinuxChangePolicy",
    ],
    fields: &[
        field("seLinuxOptions", Kind::Optional(&SE_LINUX_OPTIONS)),
        field(
            "windowsOptions",
            Kind::Optional(&WINDOWS_SECURITY_CONTEXT_OPTIONS),
        ),
        field("supplementalGroups", Kind::List(&Kind::Number)),
        field("sysctls", Kind::ListOf(&SYSCTL)),
        field("seccompProfile", Kind::Optional(&SECCOMP_PROFILE)),
        field("appArmorProfile", Kind::Optional(&APP_ARMOR_PROFILE)),
    ],
    ..Shape::new("PodSecurityContext")
};

static AFFINITY: Shape = Shape {
    fields: &[
        field("nodeAffinity", Kind::Optional(&NODE_AFFINITY)),
        field("podAffinity", Kind::Optional(&POD_AFFINITY)),
        field("podAntiAffinity", Kind::Optional(&POD_ANTI_AFFINITY)),
    ],
    ..Shape::new("Affinity")
};

static TOLERATION: Shape = Shape {
    text: &["key", "operator", "value", "effect"],
    pointer: &["tolerationSeconds"],
    ..Shape::new("Toleration")
};

static HOST_ALIAS: Shape = Shape {
    text: &["ip"],
    text_list: &["hostnames"],
    ..Shape::new("HostAlias")
};

static POD_DNS_CONFIG: Shape = Shape {
    text_list: &["nameservers", "searches"],
    fields: &[field("options", Kind::ListOf(&POD_DNS_CONFIG_OPTION))],
    ..Shape::new("PodDNSConfig")
};

static POD_READINESS_GATE: Shape = Shape {
    text: &["conditionType"],
    ..Shape::new("PodReadinessGate")
};

static TOPOLOGY_SPREAD_CONSTRAINT: Shape = Shape {
    text: &["topologyKey", "whenUnsatisfiable"],
    number: &["maxSkew"],
    pointer: &["minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"],
    text_list: &["matchLabelKeys"],
    fields: &[field("labelSelector", Kind::Optional(&LABEL_SELECTOR))],
    ..Shape::new("TopologySpreadConstraint")
};

static POD_OS: Shape = Shape {
    text: &["name"],
    ..Shape::new("PodOS")
};

static POD_SCHEDULING_GATE: Shape = Shape {
    text: &["name"],
    ..Shape::new("PodSchedulingGate")
};

static POD_RESOURCE_CLAIM: Shape = Shape {
    text: &["name"],
    pointer: &["resourceClaimName", "resourceClaimTemplateName"],
    ..Shape::new("PodResourceClaim")
};

static POD_SCHEDULING_GROUP: Shape = Shape {
    pointer: &["podGroupName"],
    ..Shape::new("PodSchedulingGroup")
};

static SYSCTL: Shape = Shape {
    text: &["name", "value"],
    ..Shape::new("Sysctl")
};

static NODE_AFFINITY: Shape = Shape {
    fields: &[
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            Kind::Optional(&NODE_SELECTOR),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            Kind::ListOf(&PREFERRED_SCHEDULING_TERM),
        ),
    ],
    ..Shape::new("NodeAffinity")
};

static POD_AFFINITY: Shape = Shape {
    fields: &[
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            Kind::ListOf(&POD_AFFINITY_TERM),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            Kind::ListOf(&WEIGHTED_POD_AFFINITY_TERM),
        ),
    ],
    ..Shape::new("PodAffinity")
};

static POD_ANTI_AFFINITY: Shape = Shape {
    fields: &[
        field(
            "requiredDuringSchedulingIgnoredDuringExecution",
            Kind::ListOf(&POD_AFFINITY_TERM),
        ),
        field(
            "preferredDuringSchedulingIgnoredDuringExecution",
            Kind::ListOf(&WEIGHTED_POD_AFFINITY_TERM),
        ),
    ],
    ..Shape::new("PodAntiAffinity")
};

static POD_DNS_CONFIG_OPTION: Shape = Shape {
    text: &["name"],
    pointer: &["value"],
    ..Shape::new("PodDNSConfigOption")
};

static NODE_SELECTOR: Shape = Shape {
    fields: &[field("nodeSelectorTerms", Kind::ListOf(&NODE_SELECTOR_TERM))],
    ..Shape::new("NodeSelector")
};

static PREFERRED_SCHEDULING_TERM: Shape = Shape {
    number: &["weight"],
    fields: &[field("preference", Kind::Struct(&NODE_SELECTOR_TERM))],
    ..Shape::new("PreferredSchedulingTerm")
};

static POD_AFFINITY_TERM: Shape = Shape {
    text: &["topologyKey"],
    text_list: &["namespaces", "matchLabelKeys", "mismatchLabelKeys"],
    fields: &[
        field("labelSelector", Kind::Optional(&LABEL_SELECTOR)),
        field("namespaceSelector", Kind::Optional(&LABEL_SELECTOR)),
    ],
    ..Shape::new("PodAffinityTerm")
};

static WEIGHTED_POD_AFFINITY_TERM: Shape = Shape {
    number: &["weight"],
    fields: &[field("podAffinityTerm", Kind::Struct(&POD_AFFINITY_TERM))],
    ..Shape::new("WeightedPodAffinityTerm")
};

static NODE_SELECTOR_TERM: Shape = Shape {
    fields: &[
        field("matchExpressions", Kind::ListOf(&NODE_SELECTOR_REQUIREMENT)),
        field("matchFields", Kind::ListOf(&NODE_SELECTOR_REQUIREMENT)),
    ],
    ..Shape::new("NodeSelectorTerm")
};

static NODE_SELECTOR_REQUIREMENT: Shape = Shape {
    text: &["key", "operator"],
    text_list: &["values"],
    ..Shape::new("NodeSelectorRequirement")
};

/// `$patch` is in the data of revisions only, and an empty status is what a typed client makes of none.
fn drop_bookkeeping(template: &mut Map<String, Value>) {
    template.remove("$patch");
    if template
        .get("status")
        .and_then(Value::as_object)
        .is_some_and(Map::is_empty)
    {
        template.remove("status");
    }
}

fn pod_spec_rules(spec: &mut Map<String, Value>) {
    merge_service_account(spec);
    if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        // The API server fills in the port of these, not of ephemeral containers.
        for containers in ["containers", "initContainers"] {
            drop_implied_host_ports(spec.get_mut(containers));
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`, which wins.
fn merge_service_account(spec: &mut Map<String, Value>) {
    let Some(old @ Value::String(_)) = spec.get("serviceAccount").cloned() else {
        return;
    };
    spec.remove("serviceAccount");
    spec.entry("serviceAccountName").or_insert(old);
}

/// With the host's network every container port is that port of the host: the API server writes it into each
/// pod, and with `DefaultHostNetworkHostPortsInPodTemplates` (on before Kubernetes 1.28, a gate of Kruise)
/// into templates.
fn drop_implied_host_ports(containers: Option<&mut Value>) {
    let containers = containers.and_then(Value::as_array_mut).into_iter().flatten();
    let ports = containers
        .filter_map(|container| container.get_mut("ports")?.as_array_mut())
        .flatten();
    for port in ports.filter_map(Value::as_object_mut) {
        if port.get("hostPort") == port.get("containerPort") {
            port.remove("hostPort");
        }
    }
}
