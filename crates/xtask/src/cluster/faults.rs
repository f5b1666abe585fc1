//! Breaks one component of the running cluster on purpose, and mends it.
//! It must not touch a process that the cluster did not start.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::components::{self, Component};
use super::paths::Paths;
use super::process::ProcessRecord;
use super::state::State;
use super::{up, wait};

/// Time the kernel may take to stop or continue a process.
const SIGNAL_LIMIT: Duration = Duration::from_secs(5);

/// Kills a component, starts it again and waits until it is ready.
pub(super) fn restart(paths: &Paths, state: &mut State, name: &str) -> Result<()> {
    let component = component(paths, state, name)?;
    process(state, name)?
        .kill()
        .with_context(|| format!("cannot kill {name}"))?;
    up::start(paths, state, &component)?;
    up::await_ready(paths, state, &component)
}

/// Stops a component's process where it is.
pub(super) fn pause(paths: &Paths, state: &mut State, name: &str) -> Result<()> {
    component(paths, state, name)?;
    let process = process(state, name)?;
    if !process.pause()? {
        bail!("{name} is not running; `cargo xtask cluster up` starts what is missing");
    }
    wait::until(&format!("{name} stands still"), SIGNAL_LIMIT, || {
        Ok(process.is_paused())
    })
}

/// Lets a component's process go on.
pub(super) fn resume(paths: &Paths, state: &mut State, name: &str) -> Result<()> {
    component(paths, state, name)?;
    let process = process(state, name)?;
    if !process.resume()? {
        bail!("{name} is not running; `cargo xtask cluster up` starts what is missing");
    }
    wait::until(&format!("{name} goes on"), SIGNAL_LIMIT, || {
        Ok(!process.is_paused())
    })
}

fn component(paths: &Paths, state: &State, name: &str) -> Result<Component> {
    let all: Vec<_> = components::waves(paths, state).into_iter().flatten().collect();
    let names: Vec<_> = all.iter().map(|component| component.name).collect();
    let known = names.join(", ");
    match all.into_iter().find(|component| component.name == name) {
        Some(component) => Ok(component),
        None => bail!("this cluster has no component {name:?}; it has {known}"),
    }
}

fn process(state: &State, name: &str) -> Result<ProcessRecord> {
    let record = state.processes.get(name).copied();
    record
        .with_context(|| format!("{name} was never started; `cargo xtask cluster up` starts what is missing"))
}
