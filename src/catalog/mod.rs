//! What the fleet offers, merged and named.
//!
//! The room turns raw lists into finished answers and into the index that resolves a name in one look-up. It promises
//! that a list never waits on a server, that an entry differs from what its server said in the name only, that the
//! order is that of the configuration and then the server's own, and that a name does not depend on who else is
//! configured. It never talks to a server.

mod build;
mod capabilities;
mod introduction;
mod naming;
mod snapshot;
mod source;
mod template;
mod view;

pub use build::{Remark, view_of};
pub use naming::split as split_name;
pub use snapshot::{Catalog, CatalogHandle, Changed, Seen};
pub use view::{Entry, Introduction, Owner, Route, View};
