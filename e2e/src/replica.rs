//! A controller as a process of this machine: killed, stopped and continued at an exact moment, and started again
//! without the kubelet's pauses between restarts.
//!
//! It has a token of the installed service account and the installed flags, so that the API server judges it and
//! names it as the installed one. A process never outlives its test. What is to be seen of it is for the tests.

use crate::waits::{Seen, until};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time to end after SIGTERM: the controller itself gives passes under way five seconds.
const GRACE: Duration = Duration::from_secs(10);
/// Time for the answer of an admin page.
const ANSWER: Duration = Duration::from_secs(2);

/// How to run one.
pub(crate) struct Setup {
    /// Its name in the Lease.
    pub(crate) identity: String,
    /// What the API server calls its token.
    pub(crate) credential: String,
    /// The program.
    pub(crate) program: OsString,
    /// The installed flags, without addresses.
    pub(crate) flags: Vec<String>,
    /// Holds its token.
    pub(crate) kubeconfig: PathBuf,
    /// Where it logs to, one life after another.
    pub(crate) log: PathBuf,
}

/// One controller, which may live several times.
pub struct Replica {
    setup: Setup,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Replica {
    /// One that does not run yet.
    pub(crate) fn new(setup: Setup) -> Result<Self> {
        Ok(Self {
            setup,
            admin: free_address()?,
            child: None,
        })
    }

    /// Its name; in the Lease with random digits behind it.
    pub fn identity(&self) -> &str {
        &self.setup.identity
    }

    /// Does it hold this Lease?
    pub fn holds(&self, lease: &LeaseSpec) -> bool {
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        holder
            .rsplit_once('_')
            .is_some_and(|(name, _)| name == self.identity())
    }

    /// What the audit log calls its token; every replica has its own.
    pub fn credential(&self) -> &str {
        &self.setup.credential
    }

    /// Starts it, for the first time or again.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.identity());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.setup.log)
            .with_context(|| format!("cannot write {}", self.setup.log.display()))?;
        // The kernel ends it with the thread of its test, should that be killed; setpriv(1) then becomes the program.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.setup.program)
            .args(&self.setup.flags)
            .arg(format!("--identity={}", self.setup.identity))
            .arg(format!("--metrics-addr={}", self.admin))
            .arg(format!("--health-probe-addr={}", self.admin))
            // Whoever runs the tests may have proxies, log levels and a namespace of their own.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("KUBECONFIG", &self.setup.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run setpriv (of util-linux)")?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it has seen everything once; leading or not.
    pub async fn is_ready(&mut self) -> Result<()> {
        self.says(&[" 200 "]).await
    }

    /// Waits until it is not ready and says so in these words.
    pub async fn is_held(&mut self, why: &str) -> Result<()> {
        self.says(&[" 503 ", why]).await
    }

    async fn says(&mut self, words: &[&str]) -> Result<()> {
        let what = format!("{} to say {words:?} at /readyz", self.identity());
        until(&what, async || {
            self.is_running()?;
            let answer = timeout(ANSWER, ready_page(self.admin)).await??;
            let said = words.iter().all(|word| answer.contains(word));
            Ok(Seen::when(said, || answer))
        })
        .await
    }

    fn is_running(&mut self) -> Result<()> {
        let ended = self.child.as_mut().context("not started")?.try_wait()?;
        ensure!(ended.is_none(), "it ended by itself: {ended:?}");
        Ok(())
    }

    /// SIGKILL: it ends wherever it is.
    pub async fn kill(&mut self) -> Result<()> {
        self.send(Signal::KILL)?;
        self.has_ended().await.map(drop)
    }

    /// SIGTERM, and nothing more: see [`Self::has_ended`].
    pub fn terminate(&self) -> Result<()> {
        self.send(Signal::TERM)
    }

    /// SIGSTOP: it stands still wherever it is.
    pub fn pause(&self) -> Result<()> {
        self.send(Signal::STOP)
    }

    /// SIGCONT: it goes on and does not know that time has passed.
    pub fn resume(&self) -> Result<()> {
        self.send(Signal::CONT)
    }

    /// Waits for the end that a signal asked for, and says how it ended.
    pub async fn has_ended(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("not started")?;
        let ended = timeout(GRACE, child.wait()).await;
        ended
            .with_context(|| format!("{} did not end within {} s", self.identity(), GRACE.as_secs()))?
            .context("cannot wait for a process")
    }

    /// Ends it as the kubelet would, and expects it to say that all went well.
    pub async fn ends_well(&mut self) -> Result<()> {
        self.terminate()?;
        let status = self.has_ended().await?;
        ensure!(
            status.success(),
            "{} ended with {status} after SIGTERM",
            self.identity()
        );
        Ok(())
    }

    fn send(&self, signal: Signal) -> Result<()> {
        // Not reaped before `has_ended`, so the number cannot be another process's.
        let number = self.child.as_ref().and_then(Child::id).context("not running")?;
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a pid out of range")?, signal)
            .with_context(|| format!("cannot send {signal:?} to {}", self.identity()))
    }
}

/// Nobody listens there now. Another program could be faster; the controller would say so and end.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

async fn ready_page(admin: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
