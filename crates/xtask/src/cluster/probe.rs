//! Asks the components whether they are ready.
//! It must not wait (see `wait.rs`) and not go through any proxy: every
//! connection stays on this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::components::Ready;
use super::images;
use super::paths::Paths;
use super::process;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a component says that it is ready. No answer means no.
pub(super) fn is_ready(paths: &Paths, ready: &Ready) -> bool {
    match ready {
        Ready::Http(port, path) => http_ok(*port, path).unwrap_or(false),
        Ready::Https(port, path) => {
            let server = format!("--server=https://127.0.0.1:{port}");
            process::output(kubectl(paths).args([&server, "get", "--raw", path])).is_ok()
        }
        Ready::ApiServer => process::output(kubectl(paths).args(["get", "--raw", "/readyz"])).is_ok(),
        Ready::Containerd => process::output(images::ctr(paths).arg("version")).is_ok(),
        Ready::Node(name) => {
            let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            process::output(kubectl(paths).args(["get", "node", name, "-o", path]))
                .is_ok_and(|ready| ready == "True")
        }
    }
}

/// kubectl as administrator of the cluster.
pub(super) fn kubectl(paths: &Paths) -> Command {
    let mut command = process::local_command(paths.bin().join("kubectl"));
    command
        .arg("--kubeconfig")
        .arg(paths.pki().join("admin.kubeconfig"));
    // Not in the user's ~/.kube.
    command.arg("--cache-dir").arg(paths.data.join("kubectl-cache"));
    command.args(["--request-timeout", "5s"]);
    command
}

fn http_ok(port: u16, path: &str) -> Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // In one piece: some servers answer and close after the first.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(64).read_to_string(&mut answer)?;
    Ok(answer.split_whitespace().nth(1) == Some("200"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 64];
            let _ = stream.read(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("answered");
        });
        port
    }

    #[test]
    fn only_status_200_counts() {
        assert!(http_ok(serve("HTTP/1.1 200 OK\r\n\r\nok"), "/").expect("an answer"));
        assert!(!http_ok(serve("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "/").expect("an answer"));
        assert!(!http_ok(serve(""), "/").expect("an empty answer"));
    }
}
