//! Images of the cluster: the stand-ins it brings itself, and loading others.
//! An image is imported into containerd and pushed to the local registry, so
//! that it starts under its usual name whatever the pull policy.
//! It must not reach any registry but our own.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::paths::Paths;
use super::state::State;
use super::{prerequisites, process};
use crate::oci::{Arch, Config, Image, full_name};

/// Keeps a pod's namespaces alive.
pub(super) const SANDBOX: &str = "cloneset.local/sandbox:1";

/// Stand-ins: they answer on port 80 with their name and version.
const STAND_INS: [&str; 5] = [
    "nginx:mainline",
    "nginx:alpine",
    "ikubernetes/myapp:v1",
    "ikubernetes/myapp:v2",
    "ikubernetes/myapp:v3",
];

/// Further names of stand-ins, as registries have them: the same image, byte for byte.
const ALIASES: [(&str, &str); 1] = [("nginx:mainline", "nginx:1")];

/// As PID 1, busybox's httpd would ignore SIGTERM and every deletion would take
/// the whole grace period; a shell with a trap ends at once.
const SERVE: &str = "#!/bin/sh
trap 'exit 0' TERM INT
echo \"serving $IMAGE on port 80\"
httpd -f -v -p 80 -h /www &
wait
";

/// Builds, imports and pushes the cluster's own images that are not there yet.
pub(super) fn ensure_own(paths: &Paths, state: &mut State) -> Result<()> {
    let missing: Vec<&str> = std::iter::once(SANDBOX)
        .chain(STAND_INS)
        .filter(|name| {
            let mut names = aliases(name).chain([(*name).to_owned()]);
            names.any(|name| !state.images.contains(&name))
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let busybox = prerequisites::static_busybox()?;
    let base = Base {
        applets: applets(&busybox)?,
        busybox: std::fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?,
    };
    let archive = paths.data.join("image.tar");
    for name in missing {
        let mut out =
            std::fs::File::create(&archive).with_context(|| format!("cannot write {}", archive.display()))?;
        base.image(name)?.write(&mut out)?;
        drop(out);
        let aliases: Vec<String> = aliases(name).collect();
        load(paths, state, &archive, &aliases)?;
        state.images.insert(name.to_owned());
        state.images.extend(aliases);
        state.save(&paths.state())?;
    }
    std::fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

fn aliases(name: &str) -> impl Iterator<Item = String> {
    let of_it = ALIASES.iter().filter(move |(image, _)| *image == name);
    of_it.map(|(_, alias)| (*alias).to_owned())
}

/// Imports an archive and pushes every image in it. Returns their full names.
pub(super) fn load(paths: &Paths, state: &State, archive: &Path, names: &[String]) -> Result<Vec<String>> {
    let inside = names_inside(archive)?;
    let mut import = ctr(paths);
    import.args(["images", "import"]);
    if let (true, Some(name)) = (inside.is_empty(), names.first()) {
        import.args(["--index-name", &full_name(name)]);
    }
    process::output(import.arg(archive)).context("containerd cannot import the archive")?;

    let mut loaded = inside.clone();
    let Some(source) = inside
        .first()
        .cloned()
        .or_else(|| names.first().map(|name| full_name(name)))
    else {
        bail!(
            "{} does not say how its image is called; add --name REPOSITORY:TAG",
            archive.display()
        );
    };
    for name in names.iter().map(|name| full_name(name)) {
        if name != source {
            process::output(ctr(paths).args(["images", "tag", "--force", &source, &name]))?;
        }
        loaded.insert(name);
    }
    for name in &loaded {
        push(paths, state, name)?;
    }
    Ok(loaded.into_iter().collect())
}

/// containerd asks every registry's mirror for the path after the host, so
/// that is where the image goes.
fn push(paths: &Paths, state: &State, name: &str) -> Result<()> {
    let path = name.split_once('/').map_or(name, |(_, path)| path);

    let to = format!("127.0.0.1:{}/{path}", state.ports.registry);
    process::output(ctr(paths).args(["images", "push", "--plain-http", &to, name]))
        .with_context(|| format!("cannot push {name} to the local registry"))?;
    Ok(())
}

/// containerd's client, on our own socket, in the namespace kubelet uses.
pub(super) fn ctr(paths: &Paths) -> Command {
    let mut command = process::local_command("ctr");
    command
        .arg("--address")
        .arg(paths.containerd_socket())
        .args(["--namespace", "k8s.io"]);
    command
}

/// The full names an archive gives its images; empty when it gives none.
fn names_inside(archive: &Path) -> Result<BTreeSet<String>> {
    let file = std::fs::File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
    let mut names = BTreeSet::new();
    let mut is_image = false;
    let not_tar = || format!("{} is not an (uncompressed) tar archive", archive.display());
    for entry in tar::Archive::new(file).entries().with_context(not_tar)? {
        let mut entry = entry.with_context(not_tar)?;
        let path = entry.path().with_context(not_tar)?.display().to_string();
        let path = path.trim_start_matches("./");
        if matches!(path, "index.json" | "manifest.json") {
            is_image = true;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).with_context(not_tar)?;
            let document: Value = serde_json::from_slice(&bytes)
                .with_context(|| format!("{path} in {} is not JSON", archive.display()))?;
            names.extend(names_in_document(&document));
        }
    }
    if !is_image {
        bail!(
            "{} is not an image: it has neither index.json nor manifest.json",
            archive.display()
        );
    }
    Ok(names)
}

/// Names in an OCI layout's index or in docker's manifest.json.
fn names_in_document(document: &Value) -> Vec<String> {
    let oci = document
        .pointer("/manifests")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let oci = oci.filter_map(|manifest| {
        manifest
            .pointer("/annotations/io.containerd.image.name")
            .and_then(Value::as_str)
    });
    let docker = document.as_array().into_iter().flatten();
    let docker = docker
        .filter_map(|image| image.get("RepoTags").and_then(Value::as_array))
        .flatten();
    oci.chain(docker.filter_map(Value::as_str))
        .map(full_name)
        .collect()
}

/// What all stand-ins consist of.
struct Base {
    busybox: Vec<u8>,
    applets: Vec<String>,
}

impl Base {
    fn image(&self, name: &str) -> Result<Image> {
        let mut image = Image::new(name, Arch::host()?)
            .file("/bin/busybox", 0o755, self.busybox.clone())
            .file("/etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\n")
            .file("/etc/group", 0o644, "root:x:0:\n")
            .dir("/tmp", 0o1777);
        for applet in &self.applets {
            image = image.symlink(&format!("/bin/{applet}"), "busybox");
        }
        let path = "PATH=/bin".to_owned();
        if name == SANDBOX {
            let entrypoint = vec!["/bin/sleep".into(), "2147483647".into()];
            return Ok(image.config(Config {
                entrypoint,
                env: vec![path],
                ..Config::default()
            }));
        }
        Ok(image
            .file("/serve", 0o755, SERVE)
            .file("/www/index.html", 0o644, answer(name))
            .config(Config {
                entrypoint: vec!["/serve".into()],
                env: vec![path, format!("IMAGE={name}")],
                exposed_ports: vec!["80/tcp".into()],
                ..Config::default()
            }))
    }
}

/// What a stand-in answers: one line that names the image's version.
fn answer(name: &str) -> String {
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let short = repository.rsplit('/').next().unwrap_or(repository);
    format!("Hello from {short} | Version: {tag}\n")
}

fn applets(busybox: &Path) -> Result<Vec<String>> {
    let list = process::output(Command::new(busybox).arg("--list"))?;
    Ok(list
        .lines()
        .filter(|applet| *applet != "busybox")
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_come_from_either_kind_of_index() {
        let oci = json!({ "manifests": [
            { "annotations": { "io.containerd.image.name": "docker.io/library/a:1" } },
            { "annotations": { "org.opencontainers.image.ref.name": "1" } },
        ]});
        assert_eq!(names_in_document(&oci), ["docker.io/library/a:1"]);
        let docker = json!([{ "RepoTags": ["b/c:2", "ghcr.io/d:3"] }, { "RepoTags": null }]);
        assert_eq!(names_in_document(&docker), ["docker.io/b/c:2", "ghcr.io/d:3"]);
    }

    #[test]
    fn an_archive_that_is_no_image_is_refused_with_the_reason() {
        let file = std::env::temp_dir().join(format!("cloneset-images-{}.tar", std::process::id()));
        std::fs::write(&file, "not a tar at all").expect("written");
        assert!(names_inside(&file).is_err());
        let mut out = std::fs::File::create(&file).expect("created");
        Image::new("x/y:1", Arch::Amd64)
            .write(&mut out)
            .expect("an image");
        assert_eq!(
            names_inside(&file).expect("names"),
            BTreeSet::from(["docker.io/x/y:1".to_owned()])
        );
        std::fs::remove_file(&file).expect("removed");
    }

    #[test]
    fn stand_ins_answer_with_their_version() {
        assert_eq!(answer("ikubernetes/myapp:v2"), "Hello from myapp | Version: v2\n");
        assert_eq!(answer("nginx:mainline"), "Hello from nginx | Version: mainline\n");
    }
}
