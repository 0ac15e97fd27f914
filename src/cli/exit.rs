//! Exit codes: 0 for a run that ended as asked, and these.

/// The gateway could not start, or failed.
pub const FAILURE: u8 = 1;
/// It went well, and something needs a look: `doctor` found warnings, `import` left something out.
pub const WARNINGS: u8 = 3;
/// The command line makes no sense (clap's own code, and that of most programs).
pub const USAGE: u8 = 2;
/// The configuration has faults; all of them have been printed (EX_CONFIG of sysexits.h).
pub const CONFIGURATION: u8 = 78;
