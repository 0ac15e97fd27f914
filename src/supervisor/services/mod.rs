//! Plain HTTP services: whether they are well, and the way in for requests.
//!
//! One task a service asks for its health path and publishes its state in the words that servers have. It starts and
//! stops nothing but the passing of requests: a request is tried whatever the last look at the service said, unless an
//! operator has stopped it or its breaker is open, because the request is the better look. A path never leaves the
//! service's base URL (`target`), no answer is waited for longer than configured (`send`, `body`), and whoever gives up
//! frees the connection.

mod all;
mod body;
mod handle;
mod send;
mod target;
mod watch;

pub use all::{Services, ServicesOptions};
pub use body::{Answer, BoxError, Broken, ServiceBody, whole};
pub use handle::ServiceHandle;
