//! Sockets that the service manager has opened for us (sd_listen_fds(3)): they outlive a restart, and with them the
//! connections that wait in them.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;

/// The listener that was handed to this process, if one was. It is not inherited by children.
///
/// To be called once, before anything else opens files, and before threads are there: it takes the variables away.
pub fn inherited_listener() -> io::Result<Option<TcpListener>> {
    let listener = ListenFd::from_env().take_tcp_listener(0)?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true)?;
    }
    Ok(listener)
}
