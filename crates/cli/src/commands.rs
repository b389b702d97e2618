//! The command line. The flags for configuration keys come from the key table; nothing about a key
//! is written here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::Styles;
use clap::{Arg, Command, ValueHint, value_parser};
use trunkline_node::config::{self, Key};

/// The product's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The subcommand of the load generator's own processes.
pub(crate) const BENCH_WORKER: &str = "bench-worker";

/// The whole command line.
pub(crate) fn root() -> Command {
    Command::new("trunkline")
        .version(VERSION)
        .about("Holds Socket.IO client connections so that app servers do not have to.")
        .after_help(ROOT_EXAMPLES)
        .styles(Styles::styled())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            serve(),
            dev(),
            bench(),
            bench_worker(),
            config(),
            reload(),
            talkers(),
            key(),
            version(),
        ])
}

const ROOT_EXAMPLES: &str = "\
Examples:
  trunkline dev                                a node on this machine that needs no configuration
  TRUNKLINE_KEY=$(trunkline key) trunkline serve --listen 0.0.0.0:8080
  trunkline config print                       every key, its value and where it was set
  trunkline reload --config trunkline.toml     has the node take over the changed file, and says what became of it
  trunkline talkers --by messages              who sends most to the running node
  trunkline bench echo --url http://127.0.0.1:3000   load any Socket.IO server, and measure it

Exit codes:
  0  a clean end
  1  something failed while running, such as a port that is taken
  2  a mistake in flags, environment or file";

fn serve() -> Command {
    Command::new("serve")
        .about("Runs a node")
        .long_about(
            "Runs a node until SIGTERM or SIGINT, then drains it: readiness goes off, balancers have --drain-wait to \
             notice, sessions are closed evenly over --drain; a second signal ends it at once.\n\n\
             Every flag is also a variable TRUNKLINE_* and a line in trunkline.toml. \
             Flag over environment over file over default.",
        )
        .after_help(
            "Examples:\n  \
             trunkline key > key.txt && trunkline serve --key-file key.txt\n  \
             TRUNKLINE_KEY=... trunkline serve --listen 0.0.0.0:8080 --log-format json\n  \
             trunkline serve --config /etc/trunkline/trunkline.toml",
        )
        .args(flags())
}

fn dev() -> Command {
    Command::new("dev")
        .about("Runs a node for development: this machine only, no configuration needed")
        .long_about(
            "Runs a node for development. It listens on loopback addresses only, because app servers open it with a \
             development key that everybody knows. Everything else is as in `trunkline serve`.",
        )
        .after_help(
            "Examples:\n  \
             trunkline dev\n  \
             trunkline dev --listen 127.0.0.1:9000 --log debug",
        )
        .args(flags())
}

fn bench() -> Command {
    trunkline_bench::command()
}

/// The command with which `bench` starts its own processes.
fn bench_worker() -> Command {
    Command::new(BENCH_WORKER).about("Is one of the processes of `trunkline bench`").hide(true)
}

fn config() -> Command {
    let check = Command::new("check")
        .about("Says whether `trunkline serve` would take the configuration; binds nothing")
        .args(flags());
    let print = Command::new("print")
        .about("Prints every key, its value and where it was set; secrets are hidden")
        .args(flags());
    let doc = Command::new("doc").about("Prints the reference page").hide(true);
    Command::new("config")
        .about("Checks or prints the configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Examples:\n  trunkline config check --config trunkline.toml\n  trunkline config print",
        )
        .subcommands([check, print, doc])
}

fn reload() -> Command {
    Command::new("reload")
        .about("Has the running node read its configuration again")
        .long_about(
            "Finds the node by the `ready_file` of this configuration, or by its admin port, sends it SIGHUP, and says \
             what became of it. The node checks everything first and then changes everything, or nothing; sessions go \
             on. It reads its own file, environment and flags, not those of this command, which only find it. Run it \
             as the node's user, on its machine or in its container.",
        )
        .after_help(
            "Examples:\n  \
             trunkline reload --config /etc/trunkline/trunkline.toml\n  \
             trunkline reload --ready-file /run/trunkline/ready\n\n\
             Exit codes:\n  \
             0  the configuration has taken effect\n  \
             1  it has mistakes, and nothing has changed; or the node cannot be found or asked",
        )
        .args(flags())
}

fn talkers() -> Command {
    let own = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    let finds = flags().filter(|flag| ["config", "admin"].contains(&flag.get_id().as_str()));
    Command::new("talkers")
        .about("Asks the running node who sends most")
        .long_about(
            "Has the node count for a while which addresses and which sessions send most, and prints the lists. The \
             node is found by the admin port of its configuration. It counts only while it is asked, for one question \
             at a time. A session has the number that the log names, too; it is no session id.",
        )
        .after_help(
            "Examples:\n  \
             trunkline talkers\n  \
             trunkline talkers --by failures --for 30s\n  \
             trunkline talkers --by messages --hub chat --json",
        )
        .args(finds)
        .args([
            own("by", "WHAT", "bytes, messages, handshakes or failures [default: bytes]"),
            own("for", "TIME", "How long to count, at most 60s [default: 10s]"),
            own("of-hub", "NAME", "Only sessions of this hub").long("hub"),
            own("rows", "N", "The rows of each list, at most 200 [default: 20]"),
        ])
        .arg(
            Arg::new("json")
                .long("json")
                .action(clap::ArgAction::SetTrue)
                .help("Prints the node's answer as it is"),
        )
}

fn key() -> Command {
    Command::new("key").about("Prints a new random key for a hub")
}

fn version() -> Command {
    Command::new("version").about("Prints the version")
}

fn flags() -> impl Iterator<Item = Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("PATH")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help(format!(
            "The file to read [env: {}] [default: {} here, if there is one]",
            config::FILE_ENV,
            config::FILE_DEFAULT
        ));
    core::iter::once(file).chain(config::keys().iter().map(flag))
}

fn flag(key: &'static Key) -> Arg {
    let first_sentence = key.doc.split_inclusive(". ").next().unwrap_or_default().trim_end();
    let first_sentence = first_sentence.trim_end_matches('.');
    let default = match key.default.as_str() {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(key.name)
        .long(key.flag().trim_start_matches('-').to_owned())
        .value_name(key.placeholder)
        // The key table parses the texts, together with those from file and environment, so that
        // all mistakes are reported at once.
        .value_parser(value_parser!(OsString))
        .allow_negative_numbers(true)
        .help(format!("{first_sentence}{default}"))
        .long_help(format!("{}\n[env: {}]{default}\nAllowed: {}", key.doc, key.env(), key.allowed))
        .help_heading(key.section)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::root().debug_assert();
    }
}
