//! Shows the cluster as a table.
//! It must not change anything.

use std::fmt::Write as _;

use super::components;
use super::paths::Paths;
use super::state::State;

/// The table, and the components that are not up.
pub(super) fn table(paths: &Paths, state: &State) -> (String, Vec<&'static str>) {
    let mut text = format!("{:<25}{:<8}{:>8}  {}\n", "COMPONENT", "STATE", "PID", "LOG");
    let mut down = Vec::new();
    for component in components::waves(paths, state).into_iter().flatten() {
        let alive = state.is_alive(component.name);
        let process = state.processes.get(component.name);
        let pid = process.map_or(String::new(), |record| record.pid.to_string());
        let log = paths.log().join(format!("{}.log", component.name));
        let word = match process {
            Some(process) if process.is_paused() => "paused",
            _ if alive => "up",
            _ => "down",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<25}{word:<8}{pid:>8}  {}", component.name, log.display());
        if !alive {
            down.push(component.name);
        }
    }
    (text, down)
}

/// What the cluster consists of and where its files are.
pub(super) fn places(paths: &Paths, state: &State) -> String {
    let nodes = match (state.node, state.kwok_nodes) {
        (true, 0) => "1 node with real containers".to_owned(),
        (true, fake) => {
            format!("1 node with real containers, {fake} fake (kwok; tainted kwok.x-k8s.io/node=fake)")
        }
        (false, fake) => format!("{fake} fake nodes (kwok); no real containers"),
    };
    let mut rows = vec![
        ("nodes", nodes),
        ("kubeconfig", paths.kubeconfig().display().to_string()),
        ("kubectl, helm", paths.bin().display().to_string()),
        ("audit log", paths.audit_log().display().to_string()),
        ("sockets and state", paths.run.display().to_string()),
        ("data", paths.data.display().to_string()),
    ];
    if state.node {
        rows.push(("registry", format!("127.0.0.1:{}", state.ports.registry)));
    }
    rows.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<19}{value}");
        text
    })
}
