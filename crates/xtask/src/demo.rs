//! `cargo xtask demo`: the partition release on a real cluster, by re-creation or in place, from nothing, with every
//! command shown as a person would type it.
//!
//! It puts the parts in order and says how to go on. It must not touch more of a cluster that is not its own than
//! the two namespaces and the CRD that it makes there.

mod expect;
mod install;
mod report;
mod screen;
mod session;
mod steps;
mod view;
mod walk;

use anyhow::{Context, Result};
use clap::Args;
use std::path::Path;
use std::time::Instant;

use crate::progress::seconds;
use crate::{cluster, image};
use install::Installation;
use session::Session;

/// `cargo xtask demo ...`
#[derive(Args)]
pub(crate) struct Options {
    /// Use this context of your kubeconfig instead of a cluster of our own
    #[arg(long, value_name = "NAME", requires = "image")]
    context: Option<String>,
    /// The controller's image, where that cluster can pull it
    #[arg(long, value_name = "REPO:TAG", requires = "context")]
    image: Option<String>,
    /// Change the pods in place instead of re-creating them
    #[arg(long)]
    in_place: bool,
}

/// Runs the demo; fails when a step of the release does not come true.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = crate::repository_root()?;
    let started = Instant::now();
    let (session, installation) = match (&options.context, &options.image) {
        (Some(context), Some(image)) => existing_cluster(&root, context, image)?,
        _ => own_cluster(&root)?,
    };
    heading("The controller, with Helm");
    install::install(&session, &installation)?;
    let (title, name, steps) = if options.in_place {
        (
            "The partition release in place: 5 pods, of which as many as you say change, and none is replaced",
            "partition release in place",
            &steps::IN_PLACE[..],
        )
    } else {
        (
            "The partition release: 5 pods, and a new version that reaches as many of them as you say",
            "partition release",
            &steps::RECREATE[..],
        )
    };
    heading(title);
    let walking = Instant::now();
    walk::walk(&session, &installation, steps)?;
    println!(
        "\nThat was the {name}: {} for the walk, {} in all.\n\n{}",
        seconds(walking.elapsed()),
        seconds(started.elapsed()),
        how_to_go_on(&session, &installation)
    );
    Ok(())
}

fn own_cluster(root: &Path) -> Result<(Session, Installation)> {
    heading("A Kubernetes cluster on this machine");
    // Fake nodes would only claim to run the controller.
    let options = cluster::Options {
        nodes: Some(1),
        kwok: 0,
    };
    let info = timed("cluster", || cluster::ensure_up(&options))?;
    heading("The controller's image");
    let image = timed("image", || {
        let image = image::build(&image::default_name(), &image::default_output()?)?;
        cluster::load_image(&image.archive, &[]).map(|_| image)
    })?;
    Ok((Session::own(root, &info), Installation::own(&image)))
}

fn existing_cluster(root: &Path, context: &str, image: &str) -> Result<(Session, Installation)> {
    let session = Session::existing(root, context);
    session.check().with_context(|| {
        format!(
            "the cluster of context {context:?} cannot be used. `kubectl config get-contexts` lists what there is"
        )
    })?;
    Ok((session, Installation::existing(image)?))
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = work()?;
    println!("{what}: ready after {}", seconds(started.elapsed()));
    Ok(result)
}

fn how_to_go_on(session: &Session, installation: &Installation) -> String {
    let kubectl = session.spelled("kubectl");
    let helm = session.spelled("helm");
    let Installation {
        release, namespace, ..
    } = installation;
    let demo = install::NAMESPACE;
    let crd = install::CRD;
    let mut lines = vec!["Go on:".to_owned()];
    lines.extend(session.environment().map(|line| format!("  {line}")));
    lines.push(format!("  {kubectl} --namespace {demo} get clone,pods"));
    lines.push(format!("  {kubectl} --namespace {demo} edit clone sample"));
    lines.push(format!(
        "  {kubectl} --namespace {namespace} logs --selector app.kubernetes.io/instance={release} --prefix"
    ));
    lines.push("Clean up:".to_owned());
    if session.is_own() {
        lines.push("  cargo xtask cluster down".to_owned());
    } else {
        lines.push(format!("  {kubectl} delete namespace {demo}"));
        lines.push(format!("  {helm} --namespace {namespace} uninstall {release}"));
        lines.push(format!("  {kubectl} delete namespace {namespace}"));
        lines.push(format!("  {kubectl} delete crd {crd}"));
    }
    lines.join("\n")
}
