//! Starting server processes so that nothing of them ever outlives the gateway.
//!
//! # How it works
//!
//! ```text
//! gateway ──(socket: order, three pipes, status; end of file = "you are alone")── keeper ── server ── …
//!    └───────────── the server's own stdin, stdout, stderr (the keeper keeps no copy) ────────┘
//! ```
//!
//! Each server runs under a *keeper*: this same binary, started again as `trunkline keeper <label>`. It is single
//! threaded, is the subreaper of all that the server starts, and holds one end of a socket, the *lifeline*. When the
//! other end is closed (the [`Process`] was dropped, or the gateway is gone, by SIGKILL too), the keeper kills every
//! descendant until none is left: wrappers, processes in sessions of their own, processes that ignore every signal
//! that can be ignored.
//!
//! The lifeline is the keeper's standard input and the server's pipes travel through it as messages, so no
//! descriptor is ever inheritable in the gateway and two servers started at once cannot hold each other's.
//!
//! # Promises
//!
//! - No byte that a server reads or writes is copied here; end of file on a pipe means what it says.
//! - An exit is reported when it happens. It is waited for, never looked for.
//! - Whatever a server leaves behind when it exits is killed.
//! - No zombie stays, neither of the keeper nor (in the keeper) of orphans that the server left, nor, where the gateway is
//!   process 1 of a container, of anybody's.
//! - A limit on processes holds from the server's first moment, or the caller is told why it does not.
//! - The child gets the environment it was given and nothing else, an empty signal mask, the default dispositions
//!   of the signals that end programs, a process group of its own, and three descriptors.
//!
//! # Never
//!
//! It does not decide when to start, stop or restart; it does not read what the server says.
//!
//! # One keeper for each server
//!
//! A keeper that serves one child needs no bookkeeping (all its descendants are that server's), and its death is
//! the trouble of one server. One for the fleet would have to tell the orphans of one server from another's, and
//! its loss would be everybody's.
//!
//! Measured (`/proc/<pid>/smaps_rollup`, release build with jemalloc of this room alone): 3.3 MB resident, nearly all
//! of it program text that all keepers and the gateway share. One keeper more costs 0.43 MB (PSS, at 100 keepers),
//! 0.41 MB of that private. A larger program adds its relocated constants (`.data.rel.ro`) to the private part.
//! Starting a server through a keeper takes 3 to 5 ms on two cores.
//!
//! # Where the system offers less
//!
//! Subreaper, parent-death signal and `/proc` are Linux's. Elsewhere the keeper kills the server's process group: a
//! descendant that left the group survives. If the keeper itself is killed by SIGKILL, the server dies by its
//! parent-death signal and its group is killed from here, but a descendant in a session of its own is not found; the
//! service manager's control group is the belt for that case. The keeper is deaf to the signals that are sent to
//! whole groups (INT, TERM, HUP, QUIT), so only SIGKILL does it.

mod activation;
mod cgroup;
mod child;
mod environment;
mod error;
mod exit;
pub mod keeper;
mod limit;
mod notify;
mod order;
mod orphans;
mod process_table;
mod program;
mod setup;
mod usage;

pub use activation::inherited_listener;
pub use cgroup::Cgroups;
pub use child::{ChildSpec, Limits, Process, Spawned, spawn, spawn_among};
pub use environment::base_environment;
pub use error::{Searched, SpawnError};
pub use exit::Exit;
pub use limit::{LimitError, raise_open_files};
pub use notify::{Notifier, watchdog_interval};
pub use orphans::collect_orphans;
pub use program::{is_alive, own_program};
pub use usage::{Usage, usage_below};
