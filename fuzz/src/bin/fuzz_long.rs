//! Runs fuzz targets over very many seeded inputs, on all cores, and counts across runs: it goes on
//! where the last run ended. `cargo xtask fuzz` builds and starts it.
//!
//! `fuzz_long --record FILE [--inputs N] [--minutes N] [--threads N] [--all] [TARGET-PREFIX]…`. Batch
//! number N of a target has the inputs of seed N, so a finding names all that is needed to repeat it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fuzz::{TARGETS, Target, inputs};

/// Inputs between two looks at the clock and at what is to be done.
const BATCH: u64 = 100_000;
const TOLD_EVERY: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("fuzz_long: {message}");
            return ExitCode::from(2);
        }
    };
    let chosen: Vec<&Target> = TARGETS.iter().filter(|target| options.wants(target)).collect();
    let run = Mutex::new(Run::new(&options, &chosen));
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| work(&run, &chosen));
        }
    });
    run.into_inner().expect("a panic of a target does not leave its batch").end(&chosen)
}

struct Options {
    inputs: u64,
    until: Option<Instant>,
    threads: usize,
    all: bool,
    record: PathBuf,
    prefixes: Vec<String>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self {
            inputs: 100_000_000,
            until: None,
            threads,
            all: false,
            record: PathBuf::new(),
            prefixes: Vec::new(),
        };
        while let Some(word) = words.next() {
            let mut number = || {
                words.next().and_then(|word| word.parse::<u64>().ok()).ok_or("a number must follow")
            };
            match word.as_str() {
                "--inputs" => options.inputs = number()?,
                "--minutes" => {
                    options.until = Some(Instant::now() + Duration::from_secs(60 * number()?))
                }
                "--threads" => options.threads = usize::try_from(number()?.max(1)).unwrap_or(1),
                "--all" => options.all = true,
                "--record" => options.record = words.next().ok_or("a file must follow")?.into(),
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                prefix => options.prefixes.push(prefix.to_owned()),
            }
        }
        if options.record.as_os_str().is_empty() {
            return Err("--record FILE is missing".to_owned());
        }
        Ok(options)
    }

    /// Without names, the decoders; with `--all` every target.
    fn wants(&self, target: &Target) -> bool {
        let named = self.prefixes.iter().any(|prefix| target.name.starts_with(prefix.as_str()));
        named || self.prefixes.is_empty() && (self.all || target.is_decoder())
    }
}

/// What is done, and what is to be done; all threads share it.
struct Run {
    /// Batches for each target.
    wanted: u64,
    until: Option<Instant>,
    record: PathBuf,
    began: Instant,
    told: Instant,
    targets: BTreeMap<&'static str, Progress>,
}

#[derive(Default)]
struct Progress {
    /// Batches of earlier runs and of this one. Those below this number are done or being done.
    taken: u64,
    before: u64,
    done: u64,
    /// Time of all threads in this run.
    took: Duration,
    failed: Option<(u64, Vec<u8>)>,
}

impl Run {
    fn new(options: &Options, chosen: &[&Target]) -> Self {
        let text = std::fs::read_to_string(&options.record).unwrap_or_default();
        let known = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|batches| batches.parse().ok()).unwrap_or(0)
        };
        let progress = |target: &&Target| {
            let before = known(target.name);
            (target.name, Progress { taken: before, before, done: before, ..Progress::default() })
        };
        Self {
            wanted: options.inputs.div_ceil(BATCH),
            until: options.until,
            record: options.record.clone(),
            began: Instant::now(),
            told: Instant::now(),
            targets: chosen.iter().map(progress).collect(),
        }
    }

    /// The target that has the fewest batches, and the number of its next one.
    fn next<'a>(&mut self, chosen: &[&'a Target]) -> Option<(&'a Target, u64)> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        let open = chosen.iter().filter(|target| {
            let progress = &self.targets[target.name];
            progress.taken < self.wanted && progress.failed.is_none()
        });
        let target = open.min_by_key(|target| self.targets[target.name].taken)?;
        let progress = self.targets.get_mut(target.name).expect("every chosen target has its line");
        progress.taken += 1;
        Some((target, progress.taken))
    }

    fn note(&mut self, target: &Target, batch: u64, outcome: Result<(), Vec<u8>>, took: Duration) {
        let progress = self.targets.get_mut(target.name).expect("every chosen target has its line");
        progress.took += took;
        match outcome {
            Ok(()) => progress.done += 1,
            Err(input) => {
                println!("FAILED {} seed {batch} input {}", target.name, inputs::hex(&input));
                progress.failed = Some((batch, input));
            }
        }
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            self.tell();
            self.keep();
        }
    }

    fn tell(&self) {
        let done: u64 = self.targets.values().map(|one| one.done.min(self.wanted)).sum();
        let all = self.wanted * self.targets.len() as u64;
        let here: u64 = self.targets.values().map(|one| one.done - one.before).sum();
        let per_second = here * BATCH / self.began.elapsed().as_secs().max(1);
        println!(
            "… {} of {} million inputs; {per_second} per second",
            done * BATCH / 1_000_000,
            all * BATCH / 1_000_000
        );
    }

    /// Writes the finished batches. What another run recorded of other targets stays.
    fn keep(&self) {
        let text = std::fs::read_to_string(&self.record).unwrap_or_default();
        let others = text.lines().filter(|line| {
            !line.split_once(' ').is_some_and(|(name, _)| self.targets.contains_key(name))
        });
        let own = self.targets.iter().map(|(name, one)| format!("{name} {}", one.done));
        let lines: Vec<String> = others.map(str::to_owned).chain(own).collect();
        let written = std::fs::File::create(&self.record)
            .and_then(|mut file| file.write_all((lines.join("\n") + "\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("cannot write {}: {error}", self.record.display());
        }
    }

    /// Prints a line per target, and the sum.
    fn end(&self, chosen: &[&Target]) -> ExitCode {
        self.keep();
        println!(
            "| Target | Inputs in all | In this run | Per second and core | Findings |\n|---|---|---|---|---|"
        );
        for target in chosen {
            let one = &self.targets[target.name];
            let here = (one.done - one.before) * BATCH;
            let speed = here as f64 / one.took.as_secs_f64().max(0.001);
            let found =
                one.failed.as_ref().map_or("none".to_owned(), |(seed, _)| format!("seed {seed}"));
            println!("| {} | {} | {here} | {speed:.0} | {found} |", target.name, one.done * BATCH);
        }
        let failed = self.targets.values().filter(|one| one.failed.is_some()).count();
        println!("{} passed, {failed} failed", chosen.len() - failed);
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs batches until there is none.
fn work(run: &Mutex<Run>, chosen: &[&Target]) {
    let lock = || run.lock().expect("a panic of a target does not leave its batch");
    while let Some((target, batch)) = { lock().next(chosen) } {
        let began = Instant::now();
        let outcome = inputs::run(target, batch, BATCH);
        lock().note(target, batch, outcome, began.elapsed());
    }
}
