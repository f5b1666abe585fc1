//! Requests to a server while something is done to it: one after another, each on a connection of its own, as a client
//! that keeps none open sends them.
//!
//! Counts what was answered and keeps what was not. Which server answered is for the servers' logs to say.

use crate::waits::{Seen, until};
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between the beginnings of two requests.
const PACE: Duration = Duration::from_millis(10);
/// A packet that nobody takes is sent again after a second, and then after two: this is lost.
const ANSWER: Duration = Duration::from_secs(5);

/// Requests that go on until finished.
pub struct Traffic {
    tally: Arc<Mutex<Tally>>,
    sending: JoinHandle<()>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// So many were answered in full.
    pub answered: usize,
    /// The others: when, and what went wrong.
    pub failed: Vec<String>,
}

impl Traffic {
    /// Waits for a first answer and goes on asking.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        until(&format!("an answer from {server}"), async || {
            ask(server).await.map(Seen::Yes)
        })
        .await?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let sending = tokio::spawn(send(server, Arc::clone(&tally)));
        Ok(Self { tally, sending })
    }

    /// What became of the requests so far; the one under way does not count.
    pub fn finish(self) -> Tally {
        self.sending.abort();
        lock(&self.tally).clone()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(server: SocketAddr, tally: Arc<Mutex<Tally>>) {
    let mut turns = interval(PACE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let asked = Timestamp::now();
        match ask(server).await {
            Ok(()) => lock(&tally).answered += 1,
            Err(error) => lock(&tally).failed.push(format!("{asked}: {error:#}")),
        }
    }
}

async fn ask(server: SocketAddr) -> Result<()> {
    timeout(ANSWER, exchange(server))
        .await
        .with_context(|| format!("no answer within {} s", ANSWER.as_secs()))?
}

async fn exchange(server: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(server).await.context("no connection")?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .context("the answer broke off")?;
    ensure!(is_whole(&answer), "not a whole answer: {answer:?}");
    Ok(())
}

/// A page, as long as it says.
fn is_whole(answer: &str) -> bool {
    let Some((head, page)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines();
    let is_ok = lines.next().is_some_and(|status| status.contains(" 200 "));
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    is_ok && length == Some(page.len().to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_page_as_long_as_it_says() {
        assert!(is_whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n"));
        for broken in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nh",
            "HTTP/1.1 200 OK\r\n\r\nhi\n",
            "HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nhi\n",
        ] {
            assert!(!is_whole(broken), "{broken:?}");
        }
    }
}
