//! What a variant's process needs to be a good child of the bench, and what the bench reads of
//! it in `/proc`: CPU time and memory of that process alone, its own children not included.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// `/proc/PID/stat` counts CPU time in these; 100 on every platform the daemon is for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Listens on a free port of the loopback address and prints the address as the daemon does.
pub(crate) async fn listen_and_announce() -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(listener)
}

/// Hands each connection to `serve`, in a task of its own, until stdin ends. It listens where [`listen_and_announce`] does.
pub(crate) async fn serve_connections<S>(serve: impl Fn(TcpStream) -> S) -> Result<()>
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = listen_and_announce().await?;
    let parent_gone = until_stdin_ends();
    tokio::pin!(parent_gone);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.context("accepting")?,
            () = &mut parent_gone => return Ok(()),
        };
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

/// Ends when stdin does: the bench has closed it, or is gone. Nothing is left running then.
pub(crate) async fn until_stdin_ends() {
    let (sender, ended) = oneshot::channel();
    // A thread of its own: the runtime would wait at its end for a read that never returns.
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(count) if count > 0) {}
        sender.send(()).ok();
    });
    ended.await.ok();
}

/// CPU time that a process has used since it started, in user and kernel mode.
pub(crate) struct Usage(Duration);

impl Usage {
    /// That of all these processes together.
    pub(crate) fn of(pids: &[u32]) -> Result<Usage> {
        let each = pids.iter().map(|pid| {
            let path = format!("/proc/{pid}/stat");
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            parse_cpu(&text).with_context(|| format!("{path} has no CPU times"))
        });
        each.sum::<Result<Duration>>().map(Usage)
    }

    pub(crate) fn since(&self, earlier: &Usage) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Result<Duration> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::from(time))
}

/// Fields 14 and 15 of proc(5)'s stat; the command in field 2 may hold blanks and brackets, so
/// the count starts after its last bracket.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, after_command) = stat.rsplit_once(')')?;
    let mut fields = after_command.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs_f64((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND))
}

/// Resident memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u32,
    /// The most it ever was.
    pub(crate) peak: u32,
}

/// That of all these processes together.
pub(crate) fn memory(pids: &[u32]) -> Result<Memory> {
    let mut whole = Memory::default();
    for pid in pids {
        let one = memory_of(*pid)?;
        whole.resident += one.resident;
        whole.peak += one.peak;
    }
    Ok(whole)
}

fn memory_of(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let field = |name: &str| -> Option<u32> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let resident = field("VmRSS:").with_context(|| format!("{path} has no VmRSS"))?;
    let peak = field("VmHWM:").with_context(|| format!("{path} has no VmHWM"))?;
    Ok(Memory { resident, peak })
}
