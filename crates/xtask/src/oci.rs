//! Writes container images without a container tool: one platform, one layer,
//! from a list of files, as a tar that `docker load`, `podman load`,
//! `kind load image-archive` and `ctr images import` all read (an OCI layout
//! that also carries docker's `manifest.json`).
//!
//! The same input gives the same bytes: entries are sorted, times are zero,
//! owners are root, and the layer is not compressed, so that no compressor's
//! version shows in the digest.
//!
//! It must not read the file system, run a program or know any image of ours.
//!
//! ```ignore
//! let image = Image::new("example/hello:1", Arch::host()?)
//!     .file("/hello", 0o755, binary)
//!     .dir("/tmp", 0o1777)
//!     .config(Config { entrypoint: vec!["/hello".into()], user: "65532:65532".into(), ..Config::default() });
//! image.write(&mut File::create("hello.tar")?)?;
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// What went wrong while an image was put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An entry's path would leave the image or is empty.
    #[error("image path {0:?} is not usable: it must name something below / without . or .. parts")]
    Path(String),
    /// The name does not say which tag it is.
    #[error("image name {0:?} has no tag: write REPOSITORY:TAG")]
    Name(String),
    /// We only write images for the two architectures we build for.
    #[error("no image can be written for architecture {0:?}: supported are x86_64 and aarch64")]
    Arch(String),
    /// Writing the archive failed.
    #[error("cannot write the image archive: {0}")]
    Io(#[from] std::io::Error),
    /// One of the image's documents could not be written as JSON.
    #[error("cannot write an image document: {0}")]
    Json(#[from] serde_json::Error),
}

/// The processor an image is for, spelt as image indexes spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    /// `x86_64`
    Amd64,
    /// `aarch64`
    Arm64,
}

impl Arch {
    /// The machine this program was built for.
    pub(crate) fn host() -> Result<Self, Error> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => Err(Error::Arch(other.to_owned())),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// How a container of the image starts. Empty fields are left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The program and its fixed arguments.
    pub(crate) entrypoint: Vec<String>,
    /// Arguments that a pod's `args` replace.
    pub(crate) cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    /// `UID[:GID]`; numbers let kubelet verify `runAsNonRoot`.
    pub(crate) user: String,
    /// Such as `80/tcp`.
    pub(crate) exposed_ports: Vec<String>,
    /// The directory the program starts in.
    pub(crate) working_dir: String,
    /// Image labels, such as `org.opencontainers.image.source`.
    pub(crate) labels: BTreeMap<String, String>,
}

enum Content {
    Dir,
    File(Vec<u8>),
    Symlink(String),
}

struct Entry {
    mode: u32,
    content: Content,
}

/// An image being put together; [`Image::write`] ends it.
pub(crate) struct Image {
    name: String,
    arch: Arch,
    config: Config,
    // Keyed by path without the leading slash: sorted means reproducible, and
    // a parent always precedes what is in it.
    entries: BTreeMap<String, Entry>,
}

impl Image {
    /// An empty image that will be loaded as `name` (`REPOSITORY:TAG`).
    pub(crate) fn new(name: impl Into<String>, arch: Arch) -> Self {
        Self {
            name: name.into(),
            arch,
            config: Config::default(),
            entries: BTreeMap::new(),
        }
    }

    /// Adds a regular file owned by root.
    #[must_use]
    pub(crate) fn file(self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.entry(path, mode, Content::File(bytes.into()))
    }

    /// Adds a directory. Parents of other entries need not be listed: they are
    /// made with mode 0755.
    #[must_use]
    pub(crate) fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(path, mode, Content::Dir)
    }

    /// Adds a symbolic link at `path` that leads to `target`.
    #[must_use]
    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, 0o777, Content::Symlink(target.to_owned()))
    }

    /// Says how a container starts.
    #[must_use]
    pub(crate) fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    fn entry(mut self, path: &str, mode: u32, content: Content) -> Self {
        self.entries
            .insert(path.trim_matches('/').to_owned(), Entry { mode, content });
        self
    }

    /// Writes the whole archive.
    pub(crate) fn write(&self, out: &mut impl Write) -> Result<(), Error> {
        let layer = self.layer()?;
        let config = serde_json::to_vec(&self.config_document(&layer))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &config),
            "layers": [descriptor(LAYER_TYPE, &layer)],
        }))?;
        let index = serde_json::to_vec(&self.index_document(&manifest)?)?;
        let docker = serde_json::to_vec(&json!([{
            "Config": blob_path(&config),
            "RepoTags": [self.name],
            "Layers": [blob_path(&layer)],
        }]))?;

        let mut archive = tar::Builder::new(out);
        for dir in ["blobs/", "blobs/sha256/"] {
            append(&mut archive, dir, 0o755, &Content::Dir)?;
        }
        for blob in [config, layer, manifest] {
            append(&mut archive, &blob_path(&blob), 0o644, &Content::File(blob))?;
        }
        append(&mut archive, "index.json", 0o644, &Content::File(index))?;
        append(&mut archive, "manifest.json", 0o644, &Content::File(docker))?;
        let version = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        append(&mut archive, "oci-layout", 0o644, &Content::File(version))?;
        archive.into_inner()?.flush()?;
        Ok(())
    }

    fn layer(&self) -> Result<Vec<u8>, Error> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut parents: BTreeSet<&str> = BTreeSet::new();
        for (path, entry) in &self.entries {
            if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(Error::Path(path.clone()));
            }
            for (at, _) in path.match_indices('/') {
                let parent = path.get(..at).unwrap_or_default();
                if !self.entries.contains_key(parent) && parents.insert(parent) {
                    append(&mut archive, &format!("{parent}/"), 0o755, &Content::Dir)?;
                }
            }
            append(&mut archive, path, entry.mode, &entry.content)?;
        }
        Ok(archive.into_inner()?)
    }

    fn config_document(&self, layer: &[u8]) -> Value {
        let config = &self.config;
        let ports: BTreeMap<&str, Value> = config
            .exposed_ports
            .iter()
            .map(|port| (port.as_str(), json!({})))
            .collect();
        let fields = [
            ("Cmd", json!(config.cmd)),
            ("Entrypoint", json!(config.entrypoint)),
            ("Env", json!(config.env)),
            ("ExposedPorts", json!(ports)),
            ("Labels", json!(config.labels)),
            ("User", json!(config.user)),
            ("WorkingDir", json!(config.working_dir)),
        ];
        let set: serde_json::Map<String, Value> = fields
            .into_iter()
            .filter(|(_, value)| *value != json!([]) && *value != json!({}) && *value != json!(""))
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": self.arch.as_str(),
            "os": "linux",
            "config": set,
            "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask" }],
        })
    }

    fn index_document(&self, manifest: &[u8]) -> Result<Value, Error> {
        // A colon before the last slash is a registry's port, not a tag.
        let last = self.name.rsplit('/').next().unwrap_or_default();
        let (_, tag) = last
            .split_once(':')
            .ok_or_else(|| Error::Name(self.name.clone()))?;
        let mut entry = descriptor(MANIFEST_TYPE, manifest);
        if let Some(fields) = entry.as_object_mut() {
            fields.insert(
                "platform".to_owned(),
                json!({ "architecture": self.arch.as_str(), "os": "linux" }),
            );
            // containerd takes the first as the image's full name, others the second.
            fields.insert(
                "annotations".to_owned(),
                json!({
                    "io.containerd.image.name": full_name(&self.name),
                    "org.opencontainers.image.ref.name": tag,
                }),
            );
        }
        Ok(json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry] }))
    }
}

/// The name container runtimes know an image by: `nginx:1` is
/// `docker.io/library/nginx:1`.
pub(crate) fn full_name(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/{}", digest(bytes).replacen(':', "/", 1))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    content: &Content,
) -> Result<(), Error> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    match content {
        Content::Dir => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            let path = format!("{}/", path.trim_end_matches('/'));
            archive.append_data(&mut header, path, std::io::empty())?;
        }
        Content::File(bytes) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            archive.append_data(&mut header, path, bytes.as_slice())?;
        }
        Content::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn written(image: &Image) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write(&mut bytes).expect("an image in memory");
        bytes
    }

    fn members(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        tar::Archive::new(bytes)
            .entries()
            .expect("a tar")
            .map(|entry| {
                let mut entry = entry.expect("a member");
                let path = entry.path().expect("a path").display().to_string();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("its content");
                (path, content)
            })
            .collect()
    }

    #[test]
    fn the_order_of_the_calls_does_not_change_the_bytes() {
        let one = Image::new("a/b:1", Arch::Amd64)
            .file("/bin/x", 0o755, "x")
            .dir("/tmp", 0o1777);
        let two = Image::new("a/b:1", Arch::Amd64)
            .dir("/tmp", 0o1777)
            .file("/bin/x", 0o755, "x");
        assert_eq!(written(&one), written(&two));
    }

    #[test]
    fn every_blob_is_named_by_its_digest_and_referenced() {
        let image = Image::new("a/b:1", Arch::Arm64)
            .file("/bin/x", 0o755, "x")
            .symlink("/bin/y", "x");
        let members = members(&written(&image));
        for (path, content) in members
            .iter()
            .filter(|(path, _)| path.starts_with("blobs/sha256/"))
        {
            if path != "blobs/sha256/" {
                assert_eq!(*path, blob_path(content));
            }
        }
        let index: Value = serde_json::from_slice(&members["index.json"]).expect("JSON");
        let entry = &index["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            "docker.io/a/b:1"
        );
        assert_eq!(entry["platform"]["architecture"], "arm64");
        let manifest_digest = entry["digest"].as_str().expect("a digest").replace(':', "/");
        assert!(members.contains_key(&format!("blobs/{manifest_digest}")));
    }

    #[test]
    fn the_layer_lists_parents_before_children_with_fixed_times() {
        let image = Image::new("a:1", Arch::Amd64)
            .file("/usr/lib/x", 0o644, "x")
            .dir("/usr", 0o700);
        let layer = image.layer().expect("a layer");
        let seen: Vec<(String, u32, u64)> = tar::Archive::new(layer.as_slice())
            .entries()
            .expect("a tar")
            .map(|entry| {
                let entry = entry.expect("a member");
                let header = entry.header();
                (
                    entry.path().expect("a path").display().to_string(),
                    header.mode().expect("a mode"),
                    header.mtime().expect("a time"),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("usr/".to_owned(), 0o700, 0),
                ("usr/lib/".to_owned(), 0o755, 0),
                ("usr/lib/x".to_owned(), 0o644, 0),
            ]
        );
    }

    #[test]
    fn unset_configuration_is_left_out() {
        let image = Image::new("a:1", Arch::Amd64).config(Config {
            entrypoint: vec!["/x".into()],
            ..Config::default()
        });
        let document = image.config_document(b"");
        assert_eq!(document["config"], json!({ "Entrypoint": ["/x"] }));
    }

    #[test]
    fn paths_that_leave_the_image_and_names_without_a_tag_are_refused() {
        let mut out = Vec::new();
        let outside = Image::new("a:1", Arch::Amd64).file("/../etc/passwd", 0o644, "x");
        assert!(matches!(outside.write(&mut out), Err(Error::Path(_))));
        let untagged = Image::new("registry.example:5000/a", Arch::Amd64);
        assert!(matches!(untagged.write(&mut out), Err(Error::Name(_))));
    }

    #[test]
    fn short_names_are_completed_as_runtimes_do() {
        assert_eq!(full_name("nginx:1"), "docker.io/library/nginx:1");
        assert_eq!(
            full_name("ikubernetes/myapp:v1"),
            "docker.io/ikubernetes/myapp:v1"
        );
        assert_eq!(full_name("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
        assert_eq!(full_name("localhost/a:1"), "localhost/a:1");
    }
}
