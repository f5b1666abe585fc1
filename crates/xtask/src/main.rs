//! The project's own commands (`cargo xtask ...`): local cluster, demo, tests,
//! generated files, image. Wiring only; each command lives in its own file.
//! It must hold no product logic.

mod oci;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {}
}
