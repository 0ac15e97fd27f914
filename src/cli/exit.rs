//! Exit codes: 0 for a run that ended as asked, and these.

/// What was asked for has been done.
pub const OK: u8 = 0;
/// The gateway could not start, or failed.
pub const FAILURE: u8 = 1;
/// It went well, and something needs a look: `doctor` found warnings, `import` left something out, `status`
/// found the gateway degraded, `activity` found the log beside a faulty configuration.
pub const WARNINGS: u8 = 3;
/// The command line makes no sense (clap's own code, and that of most programs).
pub const USAGE: u8 = 2;
/// A command asks a running gateway, and none answers.
pub const NOT_RUNNING: u8 = 4;
/// The activity log is not as it was written.
pub const NOT_WHOLE: u8 = 5;
/// The configuration has faults; all of them have been printed (EX_CONFIG of sysexits.h).
pub const CONFIGURATION: u8 = 78;
/// What was asked about is not allowed.
pub const DENIED: u8 = 3;
