//! Brings the cluster up, or the rest of it when a part is up already.
//! It must not build command lines (`components.rs`) or change the host
//! (`host.rs`) itself.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::components::{self, Component};
use super::paths::Paths;
use super::ports::{Networks, Ports};
use super::process::{self, ProcessRecord};
use super::state::State;
use super::{Options, config, down, fake_nodes, host, images, pki, prerequisites, probe, tools, wait};
use crate::progress::Step;

const READY_LIMIT: Duration = Duration::from_secs(90);

/// How many fake nodes a cluster without a real one has, when not told.
const FAKE_NODES_ALONE: u32 = 3;

/// Brings everything up and returns what is recorded about it.
pub(super) fn up(paths: &Paths, options: &Options) -> Result<State> {
    let mut state = match State::load(&paths.state())? {
        Some(state) => known(paths, state, options)?,
        None => fresh(paths, options)?,
    };
    let fake = if state.node {
        options.kwok
    } else {
        options.kwok.max(FAKE_NODES_ALONE)
    };
    state.kwok_nodes = state.kwok_nodes.max(fake);
    build_tools(paths, &state)?;

    for dir in [&paths.run, &paths.data, &paths.config(), &paths.log()] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    for dir in [&paths.run, &paths.data] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
    }
    state.save(&paths.state())?;
    pki::ensure(paths, &state.ports, state.networks)?;
    config::render_control_plane(paths, &state)?;
    if state.node {
        config::render_node(paths, &state)?;
        host::prepare(paths, &state)?;
    }
    run_components(paths, &mut state)?;
    Ok(state)
}

/// A cluster that is recorded already.
fn known(paths: &Paths, state: State, options: &Options) -> Result<State> {
    if !state.any_alive() {
        // Nothing to resume: what is left cannot be trusted to fit together.
        down::clear(paths, Some(&state))?;
        return fresh(paths, options);
    }
    match (options.nodes, state.node) {
        (Some(0), true) => bail!("the cluster is up with a real node; `cargo xtask cluster down` first"),
        (Some(1), false) => bail!("the cluster is up with fake nodes only; `cargo xtask cluster down` first"),
        _ => Ok(state),
    }
}

/// A cluster that does not exist yet.
fn fresh(paths: &Paths, options: &Options) -> Result<State> {
    refuse_second_cluster(paths)?;
    let node = wants_node(paths, options)?;
    // What a power failure or an older version left behind.
    down::clear(paths, None)?;
    if node {
        host::refuse_another_node()?;
    }
    let routes = process::output(process::local_command("ip").args(["-4", "route", "show", "table", "all"]));
    let networks = Networks::choose(&routes.unwrap_or_default())?;
    let mut state = State::new(&paths.checkout, Ports::choose()?, networks, node)?;
    state.host = host::look();
    forget_old_logs(paths)?;
    Ok(state)
}

/// Bridges, networks and packet filter rules cannot be shared.
fn refuse_second_cluster(paths: &Paths) -> Result<()> {
    let Some(parent) = paths.run.parent() else {
        return Ok(());
    };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_other =
            entry.path() != paths.run && entry.file_name().to_string_lossy().starts_with("cloneset-");
        if !is_other {
            continue;
        }
        let other = State::load(&entry.path().join("state.json")).ok().flatten();
        if let Some(other) = other.filter(State::any_alive) {
            bail!(
                "the cluster of another checkout is up: {}. One machine carries one at a time; \
                 run `cargo xtask cluster down` there first",
                other.checkout.display()
            );
        }
    }
    Ok(())
}

fn wants_node(paths: &Paths, options: &Options) -> Result<bool> {
    if options.nodes == Some(0) {
        return Ok(false);
    }
    let Some(lacking) = prerequisites::ensure(paths)? else {
        return Ok(true);
    };
    if options.nodes.is_some() {
        bail!("no node with real containers can run: {lacking}");
    }
    eprintln!(
        "No real containers: {lacking}.\nThe control plane comes up with fake nodes (kwok): pods are only said to run."
    );
    Ok(false)
}

fn forget_old_logs(paths: &Paths) -> Result<()> {
    match std::fs::remove_dir_all(paths.log()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", paths.log().display()))
        }
        _ => Ok(()),
    }
}

fn build_tools(paths: &Paths, state: &State) -> Result<()> {
    let mut needed = tools::CONTROL_PLANE.to_vec();
    if state.node {
        needed.extend(tools::NODE);
    }
    if state.kwok_nodes > 0 {
        needed.push(tools::KWOK);
    }
    tools::build(paths, &needed)
}

fn run_components(paths: &Paths, state: &mut State) -> Result<()> {
    let step = Step::start("starting the cluster");
    let waves = components::waves(paths, state);
    let last = waves.len().saturating_sub(1);
    for (number, wave) in waves.iter().enumerate() {
        for component in wave {
            start(paths, state, component)?;
        }
        if number == last && state.node {
            // Not before: the registry and containerd are ready now, and the rest starts meanwhile.
            images::ensure_own(paths, state)?;
        }
        if number == last && state.kwok_nodes > 0 {
            fake_nodes::ensure(paths, state)?;
        }
        for component in wave {
            await_ready(paths, state, component)?;
        }
    }
    let storage = paths.config().join("storage-class.yaml");
    process::output(
        probe::kubectl(paths)
            .args(["apply", "--server-side", "-f"])
            .arg(storage),
    )
    .context("cannot create the default StorageClass")?;
    step.done();
    Ok(())
}

/// Starts a component that does not run; one that was paused goes on.
pub(super) fn start(paths: &Paths, state: &mut State, component: &Component) -> Result<()> {
    let known = state.processes.get(component.name).copied();
    if let Some(process) = known.filter(|process| process.is_alive()) {
        if process.is_paused() {
            process.resume()?;
        }
        return Ok(());
    }
    let log = paths.log().join(format!("{}.log", component.name));
    let record = ProcessRecord::spawn(&component.program, &component.args, &log)?;
    state.processes.insert(component.name.to_owned(), record);
    state.save(&paths.state())
}

/// Waits until a component that was started is ready.
pub(super) fn await_ready(paths: &Paths, state: &State, component: &Component) -> Result<()> {
    let ready = wait::until(&format!("{} is ready", component.name), READY_LIMIT, || {
        if !state.is_alive(component.name) {
            bail!("{} ended while it started", component.name);
        }
        Ok(probe::is_ready(paths, &component.ready))
    });
    ready.map_err(|error| {
        let log = paths.log().join(format!("{}.log", component.name));
        anyhow!(
            "{error}; the end of {}:\n{}",
            log.display(),
            process::log_tail(&log, 12)
        )
    })
}
