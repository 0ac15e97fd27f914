//! The processes of a measurement: started here, found ready by asking, watched through `/proc`, ended here.
//!
//! It promises that what it started is ended with the value that holds it. It never ends anything else.

mod backend;
mod configuration;
mod gateway;
mod usage;

pub use backend::HttpBackend;
pub use configuration::{HTTP_SERVER, STDIO_SERVER};
pub use gateway::Gateway;
pub use usage::{Cpu, Memory, memory, reset_peak, settled_memory, stdio_backends};
