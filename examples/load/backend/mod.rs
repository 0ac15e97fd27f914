//! The echo backends: minimal MCP servers, fast enough that what is in front of them is what is measured.
//!
//! They speak one era each, enough for a gateway: the handshake, `ping`, two tools. They never validate what
//! a real server would, and never stream.

mod answer;
pub mod http;
pub mod stdio;

pub use answer::{Kind, answer};

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Tells the load tool, which listens at `address`, that a client's handshake is done.
struct Teller {
    socket: Option<(UdpSocket, SocketAddr)>,
}

impl Teller {
    fn new(address: Option<SocketAddr>) -> std::io::Result<Self> {
        let socket = address
            .map(|address| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(|socket| (socket, address)))
            .transpose()?;
        Ok(Self { socket })
    }

    fn handshake_done(&self) {
        if let Some((socket, address)) = &self.socket {
            // A lost datagram loses one figure of the report and no request.
            let _ = socket.send_to(b"handshake", address);
        }
    }
}
