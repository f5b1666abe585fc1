//! A real Kubernetes cluster on this machine, without Docker: `cargo xtask
//! cluster up|down|status|load-image|restart|pause|resume`, and the same for
//! other commands.
//! It must not touch another cluster, the user's `~/.kube`, or a system
//! containerd.
//!
//! `up` builds the programs (`tools.rs`), starts them (`components.rs`,
//! `up.rs`) and records them (`state.rs`); `down` ends exactly those.

mod components;
mod config;
mod down;
mod fake_nodes;
mod faults;
mod host;
mod images;
mod mounts;
mod paths;
mod pki;
mod ports;
mod prerequisites;
mod probe;
mod process;
mod state;
mod status;
mod tools;
mod up;
mod wait;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use paths::Paths;
use state::State;

/// `cargo xtask cluster ...`
#[derive(Subcommand)]
pub(crate) enum ClusterCommand {
    /// Start the cluster, or whatever part of it is not running
    Up(Options),
    /// End the cluster and remove all it left on this machine, but for built programs and logs
    Down,
    /// Show each component; fails when one is not running
    Status,
    /// Make a saved image available to pods, whatever their pull policy
    LoadImage {
        /// An OCI or docker archive (`docker save`, `cargo xtask image`)
        archive: PathBuf,
        /// Also call it so (the only name, when the archive gives none)
        #[arg(long = "name", value_name = "REPOSITORY:TAG")]
        names: Vec<String>,
    },
    /// Kill a component as a crash would, and start it again as `up` started it
    Restart {
        /// As `status` names it
        component: String,
    },
    /// Let a component stand still where it is, as a machine that hangs
    Pause {
        /// As `status` names it
        component: String,
    },
    /// Let a paused component go on
    Resume {
        /// As `status` names it
        component: String,
    },
}

/// What kind of cluster is wanted.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Options {
    /// Nodes with real containers: 1, or 0 for fake nodes only. Default: 1 where
    /// this machine can, else 0
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1))]
    pub(crate) nodes: Option<u32>,
    /// Fake nodes (kwok) at least
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) kwok: u32,
}

/// How to reach a running cluster.
#[derive(Debug, Clone)]
pub(crate) struct ClusterInfo {
    /// Administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// kubectl of the cluster's version.
    pub(crate) kubectl: PathBuf,
    /// helm.
    pub(crate) helm: PathBuf,
    /// One JSON line for each write to the API server.
    pub(crate) audit_log: PathBuf,
    /// The components' logs.
    pub(crate) logs: PathBuf,
}

/// Runs one `cargo xtask cluster` command.
pub(crate) fn run(command: ClusterCommand) -> Result<()> {
    match command {
        ClusterCommand::Up(options) => {
            ensure_up(&options)?;
            show_up(&Paths::of_this_checkout()?)
        }
        ClusterCommand::Down => {
            if !down()? {
                println!("There was no cluster.");
            }
            Ok(())
        }
        ClusterCommand::Status => show_status(&Paths::of_this_checkout()?),
        ClusterCommand::LoadImage { archive, names } => {
            for name in load_image(&archive, &names)? {
                println!("{name}");
            }
            Ok(())
        }
        ClusterCommand::Restart { component } => on_running(&component, faults::restart),
        ClusterCommand::Pause { component } => on_running(&component, faults::pause),
        ClusterCommand::Resume { component } => on_running(&component, faults::resume),
    }
}

/// Does something to one component of the running cluster.
fn on_running(component: &str, act: fn(&Paths, &mut State, &str) -> Result<()>) -> Result<()> {
    let paths = Paths::of_this_checkout()?;
    let _lock = lock(&paths)?;
    act(&paths, &mut running(&paths)?, component)
}

/// Starts the cluster, or whatever part of it is not running.
pub(crate) fn ensure_up(options: &Options) -> Result<ClusterInfo> {
    let paths = Paths::of_this_checkout()?;
    let _lock = lock(&paths)?;
    up::up(&paths, options)?;
    Ok(ClusterInfo {
        kubeconfig: paths.kubeconfig(),
        kubectl: paths.bin().join("kubectl"),
        helm: paths.bin().join("helm"),
        audit_log: paths.audit_log(),
        logs: paths.log(),
    })
}

/// Whether anything of the cluster runs.
pub(crate) fn is_up() -> Result<bool> {
    let paths = Paths::of_this_checkout()?;
    Ok(State::load(&paths.state())?.is_some_and(|state| state.any_alive()))
}

/// Ends the cluster. Says false when there was none.
pub(crate) fn down() -> Result<bool> {
    let paths = Paths::of_this_checkout()?;
    let _lock = lock(&paths)?;
    down::down(&paths)
}

/// Makes an image archive available to pods under the names in it and `names`.
/// Returns the full names.
pub(crate) fn load_image(archive: &Path, names: &[String]) -> Result<Vec<String>> {
    let paths = Paths::of_this_checkout()?;
    let _lock = lock(&paths)?;
    let state = running(&paths)?;
    if !state.node {
        bail!("the cluster has fake nodes only, which need no image");
    }
    images::load(&paths, &state, archive, names)
}

/// helm, built when need be; useful without a cluster.
pub(crate) fn helm() -> Result<PathBuf> {
    let paths = Paths::of_this_checkout()?;
    let _lock = lock(&paths)?;
    tools::build(&paths, &[tools::HELM])?;
    Ok(paths.bin().join("helm"))
}

fn running(paths: &Paths) -> Result<State> {
    match State::load(&paths.state())?.filter(State::any_alive) {
        Some(state) => Ok(state),
        None => bail!("the cluster is not up; start it with `cargo xtask cluster up`"),
    }
}

fn show_up(paths: &Paths) -> Result<()> {
    let state = running(paths)?;
    print!(
        "{}\n{}",
        status::table(paths, &state).0,
        status::places(paths, &state)
    );
    println!(
        "\nUse it:   export KUBECONFIG={} PATH={}:$PATH\nEnd it:   cargo xtask cluster down",
        paths.kubeconfig().display(),
        paths.bin().display()
    );
    Ok(())
}

fn show_status(paths: &Paths) -> Result<()> {
    let state = running(paths)?;
    let (table, down) = status::table(paths, &state);
    print!("{table}\n{}", status::places(paths, &state));
    if !down.is_empty() {
        bail!(
            "not running: {}; `cargo xtask cluster up` starts what is missing",
            down.join(", ")
        );
    }
    Ok(())
}

/// Two commands at once would start things twice.
fn lock(paths: &Paths) -> Result<File> {
    std::fs::create_dir_all(&paths.target)
        .with_context(|| format!("cannot create {}", paths.target.display()))?;
    let file = paths.target.join("lock");
    let lock = File::create(&file).with_context(|| format!("cannot open {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("Another `cargo xtask` works on the cluster; waiting for it to finish.");
            lock.lock()
                .with_context(|| format!("cannot lock {}", file.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", file.display()));
        }
    }
    Ok(lock)
}
