//! Reads an HTTP page of a program on this machine, without any proxy.
//! It must not retry, and it does not interpret the page.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

const TIMEOUT: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body, cut off at the limit.
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == 200
    }
}

/// Reads at most `limit` bytes of the answer, headers included.
pub(crate) fn get(port: u16, path: &str, limit: u64) -> Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // In one piece: some servers answer and close after the first.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(limit).read_to_string(&mut answer)?;
    let status = answer.split_whitespace().nth(1);
    let status = status.and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    Ok(Answer {
        status: status.context("the answer is not HTTP")?,
        body: body.unwrap_or_default(),
    })
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
    fn only_status_200_is_ok() {
        let answer = get(serve("HTTP/1.1 200 OK\r\n\r\nok"), "/", 64).expect("an answer");
        assert!(answer.is_ok());
        assert_eq!(answer.body, "ok");
        let unavailable = get(serve("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "/", 64);
        assert!(!unavailable.expect("an answer").is_ok());
        assert!(get(serve(""), "/", 64).is_err(), "an empty answer");
    }

    #[test]
    fn a_long_answer_is_cut_off() {
        let answer = get(serve("HTTP/1.1 200 OK\r\n\r\n0123456789"), "/", 24).expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (200, "01234"));
    }
}
