//! `cargo xtask demo` and `cargo xtask cluster`: build and start everything, on free ports, until
//! Ctrl-C.

mod build;
pub(crate) mod cluster;
mod fleet;
mod ports;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::{Failure, interrupt, repo};
use fleet::{Fleet, Role};

/// The two app servers of a demo. Their names are shown on the page.
const APP_SERVERS: [&str; 2] = ["amber", "cobalt"];

pub(crate) const USAGE: &str = "\
Usage: cargo xtask demo [chat|whiteboard] [--binary FILE]

Builds Trunkline and its SDK (about two minutes the first time, seconds later), starts a node, two app servers and
a page on free ports of this machine, says what to open and what to try. Ctrl-C stops all of it.

  chat           the example that is started, unless another is named
  whiteboard     the other one
  --binary FILE  this `trunkline` instead of one that is built";

/// The options of the command line.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    example: &'static str,
    binary: Option<PathBuf>,
}

/// Reads the command line; `usage` is shown with a mistake.
fn wanted(arguments: &[&str], usage: &str) -> Result<Wanted, Failure> {
    let mut wanted = Wanted { example: "chat", binary: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "chat" => wanted.example = "chat",
            "whiteboard" => wanted.example = "whiteboard",
            "--binary" => {
                let file = rest.next().ok_or("--binary needs a file")?;
                let file = std::path::absolute(file)?;
                if !file.is_file() {
                    return Err(format!("{}: no such file", file.display()).into());
                }
                wanted.binary = Some(file);
            }
            unknown => return Err(format!("`{unknown}` is not known\n\n{usage}").into()),
        }
    }
    Ok(wanted)
}

pub(crate) fn command(arguments: &[&str]) -> Result<ExitCode, Failure> {
    let Wanted { example, binary } = wanted(arguments, USAGE)?;
    interrupt::listen()?;
    std::fs::create_dir_all(repo::scratch())?;
    build::everything(example, binary.is_some())?;
    let mut fleet = start(example, &binary.unwrap_or_else(build::binary))?;
    let outcome = fleet.watch(|| {});
    finish(&mut fleet);
    outcome.map(|()| ExitCode::SUCCESS)
}

fn finish(fleet: &mut Fleet) {
    println!("\nstopping … (Ctrl-C again: at once)");
    fleet.stop();
    println!("stopped.");
}

fn start(example: &str, binary: &Path) -> Result<Fleet, Failure> {
    let ready_file = ready_file();
    // A file of an earlier run would be mistaken for this run's.
    let _ = std::fs::remove_file(&ready_file);
    let public = ports::free(8080, "Trunkline")?;
    let admin = ports::free(8081, "the admin port")?;
    let page = ports::free(3000, "the page")?;

    let mut fleet = Fleet::default();
    let mut node = Command::new(binary);
    node.arg("dev");
    node.args(["--listen", &public.address().to_string(), "--admin", &admin.address().to_string()]);
    node.arg("--ready-file").arg(&ready_file);
    fleet.start("trunkline", Role::Vital, &mut node)?;
    fleet.wait_for_node("trunkline", admin.address())?;
    for name in APP_SERVERS {
        fleet.start_app_server(example, name, public.number())?;
    }
    fleet.start_page(example, page.number(), public.number())?;
    introduce(example, &fleet, public.number(), admin.number(), page.number());
    Ok(fleet)
}

fn ready_file() -> PathBuf {
    repo::scratch().join("demo-ready.json")
}

fn introduce(example: &str, fleet: &Fleet, public: u16, admin: u16, page: u16) {
    let [first, second] = APP_SERVERS;
    let pid = fleet.pid_of(first).map_or_else(String::new, |pid| pid.to_string());
    let look = match example {
        "chat" => "The line at the top tells the transport and the app server of the window.",
        _ => "Draw in one window, look at the other; a newcomer gets the picture so far.",
    };
    println!(
        "
  Ready. Open   http://localhost:{page}

  What to try next, in another terminal, in this folder
    1. Open it in two windows. {look}
       New sessions go to the app server with the fewest, so two windows have two app servers,
       `{first}` and `{second}`, and see each other all the same: no Redis, no sticky sessions.
    2. Kill an app server and watch the badge at the top: the other app server takes over,
       and the window does not even reconnect:
         kill -9 {pid}
    3. Start it again:
         {restart}
    4. See what the node counts:
         curl http://127.0.0.1:{admin}/metrics

  Clients connect to http://127.0.0.1:{public}, app servers hold a trunk to it.
  Ctrl-C stops everything.
",
        restart = fleet::restart_hint(example, first, public),
    );
}

#[cfg(test)]
mod tests {
    use super::{USAGE, Wanted, wanted};

    #[test]
    fn the_command_line_is_read() {
        assert_eq!(wanted(&[], USAGE).unwrap(), Wanted { example: "chat", binary: None });
        let here = file!().rsplit('/').next().map(|name| format!("src/demo/{name}")).unwrap();
        let both = wanted(&["--binary", &here, "whiteboard"], USAGE).unwrap();
        assert_eq!((both.example, both.binary.is_some()), ("whiteboard", true));
        for wrong in [&["checkers"][..], &["--binary"], &["--binary", "nowhere/at/all"]] {
            assert!(wanted(wrong, USAGE).is_err(), "{wrong:?}");
        }
    }
}
