//! One request's way: resolve → admit → forward → record.
//!
//! The room promises that a request goes to the one server that owns what it names, under a number of the gateway's,
//! with a deadline, and comes back under the client's own id in the client's own era. Lists, introductions and
//! liveness are answered from snapshots. It never parses what it passes on, and it takes no lock that a slow task
//! can hold. Fronts call it; it knows nothing of HTTP streams or sessions.

mod answer;
mod asked;
mod call;
mod dialog;
mod dispatch;
mod enhancing;
mod entering;
mod finish;
mod forwarding;
mod here;
mod keepable;
mod limit;
mod mark;
mod mirroring;
mod outdated;
mod own;
mod parked;
mod prepare;
mod question;
mod record;
mod request;
mod resolve;
mod results;
mod rounds;
mod sending;
mod spans;
mod state;
mod task;
mod taskbook;
mod tasklist;
mod tasknews;
mod wishes;

pub use answer::Answer;
pub use asked::Asked;
pub use call::{ClientCall, Step};
pub use dialog::Asking;
pub use dispatch::{Router, RouterOptions};
pub use limit::{Entry, Gate, InFlight, Recalled, Visit, Work};
pub use question::Question;
pub use request::{Endpoint, Reply, Request};
pub use results::{Results, ResultsStatus};
pub use taskbook::TaskNews;
pub use wishes::Wishes;
