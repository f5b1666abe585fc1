//! The pull policy that Kubernetes derives from an image reference. It must NOT change or judge an image: a
//! reference that cannot be parsed is somebody else's error, here it only decides the policy.

/// `Always` for a well-formed reference whose tag is `latest` or that has neither tag nor digest, else
/// `IfNotPresent`.
pub(super) fn default_pull_policy(reference: &str) -> &'static str {
    if follows_latest(reference) {
        "Always"
    } else {
        "IfNotPresent"
    }
}

fn follows_latest(reference: &str) -> bool {
    // 64 hexadecimal digits are an image id, which Kubernetes does not take for a name.
    if reference.len() == 64 && reference.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return false;
    }
    let (named, digest) = match reference.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (reference, None),
    };
    let (name, tag) = split_tag(named);
    if !is_name(name) || !digest.is_none_or(is_digest) {
        return false;
    }
    match tag {
        Some(tag) => tag == "latest",
        None => digest.is_none(),
    }
}

/// A tag follows a colon in the last path segment; a colon before that belongs to the registry's port.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    }
}

fn is_name(name: &str) -> bool {
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if names_registry(first) => (Some(first), rest),
        _ => (None, name),
    };
    // A registry with an underscore is no host name, but the grammar then takes it for the first path
    // component.
    registry.is_none_or(|registry| is_registry(registry) || is_path_component(registry))
        && path.len() <= longest_path(registry, path)
        && path.split('/').all(is_path_component)
}

/// Names without a registry get Docker Hub's `library/` in front before their length counts.
fn longest_path(registry: Option<&str>, path: &str) -> usize {
    const LIMIT: usize = 255;
    let on_docker_hub = registry.is_none_or(|registry| matches!(registry, "docker.io" | "index.docker.io"));
    if on_docker_hub && !path.contains('/') {
        LIMIT - "library/".len()
    } else {
        LIMIT
    }
}

fn names_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let port_ok = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(is_domain_label),
    };
    port_ok && host_ok
}

fn is_domain_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Lower-case letters and digits, separated by one dot, one or two underscores, or any number of dashes.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_well =
        bytes.first().is_some_and(|b| alphanumeric(*b)) && bytes.last().is_some_and(|b| alphanumeric(*b));
    ends_well
        && bytes.split(|b| alphanumeric(*b)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

/// `algorithm:hex`, with the length that the algorithm has.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
