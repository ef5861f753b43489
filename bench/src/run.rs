//! `cargo xtask run`: a whole LVS cluster on this machine, with real requests, to look at.
//! Refuses to measure: how fast a director is, `lb-bench bench` says.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use lb_bench::lab::OneArm;
use serde::Serialize;

/// How long requests are sent.
const SHOW: Duration = Duration::from_secs(5);
/// Requests in one call of curl: often enough for a table that moves.
const BATCH: usize = 60;

const CONFIG: &str = r#"[director]
interfaces = ["eth0"]
metrics = "127.0.0.1:9105"

[[virtual_service]]
protocol = "tcp"
address = "10.0.0.50:80"
scheduler = "wrr"
check = { type = "tcp", interval = "1s", timeout = "500ms", rise = 2, fall = 2 }

[[virtual_service.real_server]]
name = "rs1"
address = "10.0.0.11:80"
weight = 1

[[virtual_service.real_server]]
name = "rs2"
address = "10.0.0.12:80"
weight = 1

[[virtual_service.real_server]]
name = "rs3"
address = "10.0.0.13:80"
weight = 1
"#;

/// What happened, as the last line says with `--json`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    requests: usize,
    failed: usize,
    real_servers: BTreeMap<String, usize>,
}

/// Builds the lab, runs the director, sends requests, shows who answered.
pub(crate) fn run(once: bool, json: bool) -> anyhow::Result<ExitCode> {
    println!("A client, a director and three real servers, each a network namespace of its own:");
    println!();
    println!("  client 10.0.0.100 --- switch --- director 10.0.0.1, service address 10.0.0.50");
    println!("                          |");
    println!("                          +------- rs1 10.0.0.11, rs2 10.0.0.12, rs3 10.0.0.13 (nginx)");
    println!();
    let lab = OneArm::new("run", 3)?;
    let _servers = lab.http_servers(80)?;
    let mut director = lab.director.director(CONFIG)?;
    println!("The director runs `lb run --config {}`:", director.config().display());
    println!();
    for line in CONFIG.lines() {
        println!("    {line}");
    }
    println!();

    let mut summary = Summary::default();
    let started = Instant::now();
    let mut table = Table::new();
    while started.elapsed() < SHOW {
        let answers = lab.client.curl("http://10.0.0.50/", BATCH)?;
        summary.requests += answers.each.len();
        summary.failed += answers.failed();
        for (name, answered) in answers.tally() {
            *summary.real_servers.entry(name.to_owned()).or_default() += answered;
        }
        table.show(&summary, started.elapsed())?;
    }
    table.finish(&summary, started.elapsed())?;
    if !once {
        println!();
        println!("The lab stays up until Ctrl-C. Look around:");
        println!("  ip netns exec {} curl http://10.0.0.50/", lab.client.name());
        println!("  ip netns exec {} curl http://127.0.0.1:9105/metrics", lab.director.name());
        println!("  tail -f {}", director.daemon().log().display());
        // Ctrl-C ends the program; the lab's own handler tears it down.
        while director.daemon().is_running()? {
            std::thread::sleep(Duration::from_millis(200));
        }
        anyhow::bail!("the director has ended: see {}", director.daemon().log().display());
    }
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table of who answered: redrawn in place on a terminal, else a line a second.
struct Table {
    is_terminal: bool,
    drawn: usize,
    shown: Duration,
}

impl Table {
    fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), drawn: 0, shown: Duration::ZERO }
    }

    fn show(&mut self, summary: &Summary, elapsed: Duration) -> io::Result<()> {
        if self.is_terminal {
            return self.draw(summary, elapsed);
        }
        if elapsed.saturating_sub(self.shown) >= Duration::from_secs(1) {
            self.shown = elapsed;
            println!(
                "{:>4} s {:>8} requests, {} failed",
                elapsed.as_secs(),
                summary.requests,
                summary.failed
            );
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary, elapsed: Duration) -> io::Result<()> {
        if !self.is_terminal {
            println!();
        }
        self.draw(summary, elapsed)
    }

    fn draw(&mut self, summary: &Summary, elapsed: Duration) -> io::Result<()> {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let mut lines =
            vec![format!("{:<14} {:>9} {:>7} {:>11}", "real server", "requests", "share", "a second")];
        for (name, answered) in &summary.real_servers {
            let share = 100.0 * *answered as f64 / summary.requests.max(1) as f64;
            lines
                .push(format!("{name:<14} {answered:>9} {share:>6.1}% {:>11.0}", *answered as f64 / seconds));
        }
        let rate = summary.requests as f64 / seconds;
        lines.push(format!("{:<14} {:>9} {:>7} {rate:>11.0}", "all", summary.requests, ""));
        lines.push(format!("{:<14} {:>9}", "failed", summary.failed));
        let mut out = io::stdout().lock();
        if self.drawn > 0 {
            write!(out, "\x1b[{}A", self.drawn)?;
        }
        for line in &lines {
            if self.is_terminal { writeln!(out, "{line}\x1b[K")? } else { writeln!(out, "{line}")? }
        }
        self.drawn = if self.is_terminal { lines.len() } else { 0 };
        out.flush()
    }
}
