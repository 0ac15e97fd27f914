//! How a server process ended.

use std::fmt;

use rustix::process::Signal;

/// How a server process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// Its keeper vanished, so nobody saw how it ended. What was left of its process group has been killed.
    Lost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(number) => match Signal::from_named_raw(*number) {
                Some(signal) => write!(f, "was killed by {} ({number})", name(signal)),
                None => write!(f, "was killed by signal {number}"),
            },
            Self::Lost => f.write_str("was lost: the keeper process that watched it was killed"),
        }
    }
}

/// The usual name of the signals that end servers; the number says the rest.
fn name(signal: Signal) -> &'static str {
    const NAMES: [(Signal, &str); 15] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::SYS, "SIGSYS"),
    ];
    NAMES.iter().find(|(known, _)| *known == signal).map_or("signal", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn an_exit_reads_as_the_end_of_a_sentence() {
        assert_eq!(Exit::Code(3).to_string(), "exited with status 3");
        assert_eq!(Exit::Signal(9).to_string(), "was killed by SIGKILL (9)");
        assert_eq!(Exit::Signal(11).to_string(), "was killed by SIGSEGV (11)");
        assert_eq!(Exit::Signal(10_000).to_string(), "was killed by signal 10000");
    }
}
