//! The project's own commands (`cargo xtask ...`): local cluster, demo, tests,
//! generated files, image. Wiring only; each command lives in its own file.
//! It must hold no product logic.

mod bench;
mod chart;
mod cluster;
mod demo;
mod generate;
mod image;
mod loopback;
mod mutants;
mod oci;
mod progress;
mod test;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the CRD and every other generated file
    Gen {
        /// Write nothing; fail when a file has drifted from the code
        #[arg(long)]
        check: bool,
    },
    /// Lint the Helm charts and judge what they render
    Chart {
        /// The helm to use [default: target/cluster/bin/helm]
        #[arg(long)]
        helm: Option<PathBuf>,
    },
    /// A real Kubernetes cluster on this machine, without Docker
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// From nothing to the partition release on a real cluster
    Demo(demo::Options),
    /// Get every term of the numbers wrong, one at a time, and demand that a vector notices
    Mutants {
        /// Get the budgets wrong by one, and more, and demand that the random histories notice
        #[arg(long)]
        histories: bool,
    },
    /// Build the controller's image, without Docker
    Image {
        /// The archive to write [default: target/image/cloneset.tar]
        #[arg(long)]
        output: Option<PathBuf>,
        /// The image's name [default: the one that the chart installs]
        #[arg(long, value_name = "REPO:TAG")]
        tag: Option<String>,
    },
    /// Measure what the controller costs, without a cluster
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Run every check of the project; no option needed
    Test(test::Options),
}

/// The checkout this command was built from.
fn repository_root() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest
        .ancestors()
        .nth(2)
        .context("crates/xtask is two levels below the repository")?;
    Ok(root.to_path_buf())
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // What, why and what to do; never a stack trace of this program.
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Gen { check } => generate::run(&repository_root()?, check),
        Command::Bench(command) => bench::run(&command),
        Command::Chart { helm } => chart::run(helm),
        Command::Cluster(command) => cluster::run(command),
        Command::Demo(options) => demo::run(&options),
        Command::Image { output, tag } => image::run(tag, output),
        Command::Mutants { histories: true } => mutants::histories(&repository_root()?),
        Command::Mutants { histories: false } => mutants::run(&repository_root()?),
        Command::Test(options) => test::run(&options),
    }
}
