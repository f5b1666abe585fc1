//! `cargo xtask bench`: measures the memory and the processor time of the controller against a fake API server that
//! holds a generated cluster.
//!
//! It starts the release program and measures it from outside. It must not judge: a value above its aim is no failure.

mod controller;
mod events;
mod memory;
mod objects;
mod population;
mod query;
mod run;
mod selector;
mod server;
mod state;
mod table;
mod template;
mod usage;
mod watching;

use anyhow::Result;
use clap::Subcommand;

/// `cargo xtask bench ...`
#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure the controller's memory for clusters of several sizes
    Memory(memory::Options),
    /// Measure the controller's processor time for pod events that leave nothing to do
    Events(events::Options),
}

/// Runs a benchmark.
pub(crate) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Memory(options) => memory::run(options),
        BenchCommand::Events(options) => events::run(options),
    }
}
