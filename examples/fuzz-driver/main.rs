//! The bodies of the fuzz targets on a stable toolchain: inputs are the seeds, changed at random, without a look at coverage.
//! It says how many inputs a target has taken; one that breaks a promise ends the run and is written to a file.
//!
//!     cargo run --release --example fuzz-driver -- TARGET SECONDS

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a tool for people who develop the gateway")]

#[path = "../../fuzz/bodies.rs"]
#[expect(dead_code, reason = "the corpus test uses the rest")]
mod bodies;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 8] = [
    ("message", bodies::message),
    ("params", bodies::params),
    ("line", bodies::line),
    ("event_id", bodies::event_id),
    ("sse", bodies::sse),
    ("header", bodies::header),
    ("translate", bodies::translate),
    ("seal", bodies::seal),
];
/// What parsers look for.
const TOKENS: [&[u8]; 20] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e400",
    b"\n",
    b"\r\n",
    b"data: ",
    b"\"id\":",
    b"\"_meta\":{",
    b"\"method\":\"tools/call\"",
    b"=?base64?",
    b"\xff",
];
/// Longer inputs find nothing that shorter ones do not, and cost more.
const LONGEST: usize = 4096;
/// Changes of one input, at most.
const CHANGES: u64 = 8;
/// Inputs between two looks at the clock.
const BATCH: u64 = 256;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (name, seconds) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let (_, body) = TARGETS.iter().find(|(target, _)| *target == name).expect("the name of a target");
    let duration = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus-seed").join(&name);
    let entries = std::fs::read_dir(folder).expect("the seeds");
    let seeds: Vec<Vec<u8>> =
        entries.map(|entry| std::fs::read(entry.expect("a seed").path()).expect("a seed")).collect();
    let (start, mut random, mut inputs) = (Instant::now(), Random(0x9E37_79B9_7F4A_7C15), 0_u64);
    while start.elapsed() < duration {
        for _ in 0..BATCH {
            let input = random.input(&seeds);
            if std::panic::catch_unwind(|| body(&input)).is_err() {
                let file = format!("fuzz-{name}-{inputs}");
                std::fs::write(&file, &input).expect("the input is written");
                println!("{name}: broken after {inputs} inputs by the one in {file}");
                std::process::exit(1);
            }
            inputs += 1;
        }
    }
    println!("{name}: {inputs} inputs in {} s, no finding", start.elapsed().as_secs());
}

/// The same inputs in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.next() % CHANGES {
            let at = self.below(input.len());
            match self.next() % 7 {
                0 if !input.is_empty() => input[at] ^= 1 << (self.next() % 8),
                1 if !input.is_empty() => input[at] = self.next().to_le_bytes()[0],
                2 if !input.is_empty() => drop(input.remove(at)),
                3 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    input.splice(at..at, token.iter().copied());
                }
                4 => {
                    let end = at + self.below(input.len() - at);
                    let copy = input[at..end].to_vec();
                    let to = self.below(input.len());
                    input.splice(to..to, copy);
                }
                5 => {
                    let end = at + self.below(input.len() - at);
                    drop(input.drain(at..end));
                }
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
            input.truncate(LONGEST);
        }
        input
    }
}
