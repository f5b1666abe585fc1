//! Tables of the container types and their defaults. It must NOT hold logic beyond a type's own rule.

use super::image::default_pull_policy;
use super::meta::{OBJECT_FIELD_SELECTOR, RESOURCE_FIELD_SELECTOR};
use super::shape::{Kind, Preset, Shape, field};
use serde_json::{Map, Value};

/// A regular or init container.
pub(super) static CONTAINER: Shape = BASE;

/// An ephemeral container: Kubernetes declares the same fields and one more.
pub(super) static EPHEMERAL_CONTAINER: Shape = Shape {
    name: "EphemeralContainer",
    text: &[
        "name",
        "image",
        "workingDir",
        "imagePullPolicy",
        "targetContainerName",
    ],
    ..BASE
};

const BASE: Shape = Shape {
    text: &["name", "image", "workingDir", "imagePullPolicy"],
    flag: &["stdin", "stdinOnce", "tty"],
    pointer: &["restartPolicy"],
    text_list: &["command", "args"],
    fields: &[
        field("ports", Kind::ListOf(&CONTAINER_PORT)),
        field("envFrom", Kind::ListOf(&ENV_FROM_SOURCE)),
        field("env", Kind::ListOf(&ENV_VAR)),
        field("resources", Kind::Struct(&RESOURCE_REQUIREMENTS)),
        field("resizePolicy", Kind::ListOf(&CONTAINER_RESIZE_POLICY)),
        field("restartPolicyRules", Kind::ListOf(&CONTAINER_RESTART_RULE)),
        field("volumeMounts", Kind::ListOf(&VOLUME_MOUNT)),
        field("volumeDevices", Kind::ListOf(&VOLUME_DEVICE)),
        field("livenessProbe", Kind::Optional(&PROBE)),
        field("readinessProbe", Kind::Optional(&PROBE)),
        field("startupProbe", Kind::Optional(&PROBE)),
        field("lifecycle", Kind::Optional(&LIFECYCLE)),
        field("terminationMessagePath", Kind::Text).or(Preset::Text("/dev/termination-log")),
        field("terminationMessagePolicy", Kind::Text).or(Preset::Text("File")),
        field("securityContext", Kind::Optional(&SECURITY_CONTEXT)),
    ],
    rule: Some(default_image_pull_policy),
    ..Shape::new("Container")
};

static CONTAINER_PORT: Shape = Shape {
    text: &["name", "hostIP"],
    number: &["hostPort", "containerPort"],
    fields: &[field("protocol", Kind::Text).or(Preset::Text("TCP"))],
    ..Shape::new("ContainerPort")
};

static ENV_FROM_SOURCE: Shape = Shape {
    text: &["prefix"],
    fields: &[
        field("configMapRef", Kind::Optional(&CONFIG_MAP_ENV_SOURCE)),
        field("secretRef", Kind::Optional(&SECRET_ENV_SOURCE)),
    ],
    ..Shape::new("EnvFromSource")
};

static ENV_VAR: Shape = Shape {
    text: &["name", "value"],
    fields: &[field("valueFrom", Kind::Optional(&ENV_VAR_SOURCE))],
    ..Shape::new("EnvVar")
};

pub(super) static RESOURCE_REQUIREMENTS: Shape = Shape {
    fields: &[
        field("limits", Kind::Quantities),
        field("requests", Kind::Quantities),
        field("claims", Kind::ListOf(&RESOURCE_CLAIM)),
    ],
    ..Shape::new("ResourceRequirements")
};

static CONTAINER_RESIZE_POLICY: Shape = Shape {
    text: &["resourceName", "restartPolicy"],
    ..Shape::new("ContainerResizePolicy")
};

static CONTAINER_RESTART_RULE: Shape = Shape {
    text: &["action"],
    fields: &[field(
        "exitCodes",
        Kind::Optional(&CONTAINER_RESTART_RULE_ON_EXIT_CODES),
    )],
    ..Shape::new("ContainerRestartRule")
};

static VOLUME_MOUNT: Shape = Shape {
    text: &["name", "mountPath", "subPath", "subPathExpr"],
    flag: &["readOnly"],
    pointer: &["recursiveReadOnly", "mountPropagation"],
    ..Shape::new("VolumeMount")
};

static VOLUME_DEVICE: Shape = Shape {
    text: &["name", "devicePath"],
    ..Shape::new("VolumeDevice")
};

static PROBE: Shape = Shape {
    number: &["initialDelaySeconds"],
    pointer: &["terminationGracePeriodSeconds"],
    fields: &[
        field("exec", Kind::Optional(&EXEC_ACTION)),
        field("httpGet", Kind::Optional(&HTTP_GET_ACTION)),
        field("tcpSocket", Kind::Optional(&TCP_SOCKET_ACTION)),
        field("grpc", Kind::Optional(&GRPC_ACTION)),
        field("timeoutSeconds", Kind::Number).or(Preset::Number(1)),
        field("periodSeconds", Kind::Number).or(Preset::Number(10)),
        field("successThreshold", Kind::Number).or(Preset::Number(1)),
        field("failureThreshold", Kind::Number).or(Preset::Number(3)),
    ],
    ..Shape::new("Probe")
};

static LIFECYCLE: Shape = Shape {
    pointer: &["stopSignal"],
    fields: &[
        field("postStart", Kind::Optional(&LIFECYCLE_HANDLER)),
        field("preStop", Kind::Optional(&LIFECYCLE_HANDLER)),
    ],
    ..Shape::new("Lifecycle")
};

static SECURITY_CONTEXT: Shape = Shape {
    pointer: &[
        "privileged",
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "readOnlyRootFilesystem",
        "allowPrivilegeEscalation",
        "procMount",
    ],
    fields: &[
        field("capabilities", Kind::Optional(&CAPABILITIES)),
        field("seLinuxOptions", Kind::Optional(&SE_LINUX_OPTIONS)),
        field(
            "windowsOptions",
            Kind::Optional(&WINDOWS_SECURITY_CONTEXT_OPTIONS),
        ),
        field("seccompProfile", Kind::Optional(&SECCOMP_PROFILE)),
        field("appArmorProfile", Kind::Optional(&APP_ARMOR_PROFILE)),
    ],
    ..Shape::new("SecurityContext")
};

static CONFIG_MAP_ENV_SOURCE: Shape = Shape {
    text: &["name"],
    pointer: &["optional"],
    ..Shape::new("ConfigMapEnvSource")
};

static SECRET_ENV_SOURCE: Shape = Shape {
    text: &["name"],
    pointer: &["optional"],
    ..Shape::new("SecretEnvSource")
};

static ENV_VAR_SOURCE: Shape = Shape {
    fields: &[
        field("fieldRef", Kind::Optional(&OBJECT_FIELD_SELECTOR)),
        field("resourceFieldRef", Kind::Optional(&RESOURCE_FIELD_SELECTOR)),
        field("configMapKeyRef", Kind::Optional(&CONFIG_MAP_KEY_SELECTOR)),
        field("secretKeyRef", Kind::Optional(&SECRET_KEY_SELECTOR)),
        field("fileKeyRef", Kind::Optional(&FILE_KEY_SELECTOR)),
    ],
    ..Shape::new("EnvVarSource")
};

static RESOURCE_CLAIM: Shape = Shape {
    text: &["name", "request"],
    ..Shape::new("ResourceClaim")
};

static CONTAINER_RESTART_RULE_ON_EXIT_CODES: Shape = Shape {
    text: &["operator"],
    fields: &[field("values", Kind::List(&Kind::Number))],
    ..Shape::new("ContainerRestartRuleOnExitCodes")
};

static EXEC_ACTION: Shape = Shape {
    text_list: &["command"],
    ..Shape::new("ExecAction")
};

static HTTP_GET_ACTION: Shape = Shape {
    text: &["host"],
    fields: &[
        field("path", Kind::Text).or(Preset::Text("/")),
        field("port", Kind::Port),
        field("scheme", Kind::Text).or(Preset::Text("HTTP")),
        field("httpHeaders", Kind::ListOf(&HTTP_HEADER)),
    ],
    ..Shape::new("HTTPGetAction")
};

static TCP_SOCKET_ACTION: Shape = Shape {
    text: &["host"],
    fields: &[field("port", Kind::Port)],
    ..Shape::new("TCPSocketAction")
};

static GRPC_ACTION: Shape = Shape {
    number: &["port"],
    fields: &[field("service", Kind::Pointer).or(Preset::Text(""))],
    ..Shape::new("GRPCAction")
};

static LIFECYCLE_HANDLER: Shape = Shape {
    fields: &[
        field("exec", Kind::Optional(&EXEC_ACTION)),
        field("httpGet", Kind::Optional(&HTTP_GET_ACTION)),
        field("tcpSocket", Kind::Optional(&TCP_SOCKET_ACTION)),
        field("sleep", Kind::Optional(&SLEEP_ACTION)),
    ],
    ..Shape::new("LifecycleHandler")
};

static CAPABILITIES: Shape = Shape {
    text_list: &["add", "drop"],
    ..Shape::new("Capabilities")
};

pub(super) static SE_LINUX_OPTIONS: Shape = Shape {
    text: &["user", "role", "type", "level"],
    ..Shape::new("SELinuxOptions")
};

pub(super) static WINDOWS_SECURITY_CONTEXT_OPTIONS: Shape = Shape {
    pointer: &[
        "gmsaCredentialSpecName",
        "gmsaCredentialSpec",
        "runAsUserName",
        "hostProcess",
    ],
    ..Shape::new("WindowsSecurityContextOptions")
};

pub(super) static SECCOMP_PROFILE: Shape = Shape {
    text: &["type"],
    pointer: &["localhostProfile"],
    ..Shape::new("SeccompProfile")
};

pub(super) static APP_ARMOR_PROFILE: Shape = Shape {
    text: &["type"],
    pointer: &["localhostProfile"],
    ..Shape::new("AppArmorProfile")
};

static CONFIG_MAP_KEY_SELECTOR: Shape = Shape {
    text: &["name", "key"],
    pointer: &["optional"],
    ..Shape::new("ConfigMapKeySelector")
};

static SECRET_KEY_SELECTOR: Shape = Shape {
    text: &["name", "key"],
    pointer: &["optional"],
    ..Shape::new("SecretKeySelector")
};

static FILE_KEY_SELECTOR: Shape = Shape {
    text: &["volumeName", "path", "key"],
    fields: &[field("optional", Kind::Pointer).or(Preset::False)],
    ..Shape::new("FileKeySelector")
};

static HTTP_HEADER: Shape = Shape {
    text: &["name", "value"],
    ..Shape::new("HTTPHeader")
};

static SLEEP_ACTION: Shape = Shape {
    number: &["seconds"],
    ..Shape::new("SleepAction")
};

/// Kruise differs here: it writes `Always` into every regular container without a policy. That stands in the
/// template it stored, and counts as the user's.
fn default_image_pull_policy(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    if container.get("imagePullPolicy").and_then(Value::as_str) == Some(default_pull_policy(image)) {
        container.remove("imagePullPolicy");
    }
}
