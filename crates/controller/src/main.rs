//! The controller's entry: flags, logs, exit code.
//!
//! Everything else is in the library, so that tests can run the same wiring.

use cloneset_controller::args::{self, LogFormat};
use std::process::ExitCode;
use tracing::error;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = args::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    // The API client logs whole objects that it cannot read, and failures that this program logs with their causes.
    let filter = match EnvFilter::try_new(format!("kube_client=off,{}", args.log_level)) {
        Ok(filter) => filter,
        Err(reason) => {
            eprintln!("--log-level {:?}: {reason}", args.log_level);
            return ExitCode::from(2);
        }
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match args.log_format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(reason) => {
            error!(%reason, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cloneset_controller::run::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(reason = format!("{reason:#}"), "cannot go on");
            ExitCode::FAILURE
        }
    }
}
