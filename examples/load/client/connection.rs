//! One keep-alive connection: a request out, its reply in.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::check::Fault;
use super::head::Head;
use super::inbox::{Inbox, Received};

/// The longest a reply may take outside of measured rounds, which have a limit of their own.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one HTTP/1.1 server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    inbox: Inbox,
}

impl Connection {
    /// Connects, without Nagle's delay.
    pub async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.map_err(|_| Fault::Overdue)?;
        let stream = stream.map_err(socket)?;
        stream.set_nodelay(true).map_err(socket)?;
        Ok(Self { stream, inbox: Inbox::default() })
    }

    /// Sends a request and waits for its reply, however long it takes: the caller has the limit.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Received<'_>, Fault> {
        self.stream.write_all(request).await.map_err(socket)?;
        loop {
            self.read().await?;
            if self.inbox.take().map_err(Fault::Shape)? {
                break;
            }
        }
        if !self.inbox.is_empty() {
            return Err(Fault::Shape("bytes after the end of the reply".into()));
        }
        self.inbox.received().ok_or_else(|| Fault::Shape("the reply was lost".into()))
    }

    /// Sends a request whose reply is an event stream, waits for the reply's head and keeps the stream open.
    pub async fn open_stream(mut self, request: &[u8]) -> Result<IdleStream, Fault> {
        let opened = async {
            self.stream.write_all(request).await.map_err(socket)?;
            loop {
                self.read().await?;
                if let Some(head) = self.inbox.head().map_err(Fault::Shape)? {
                    return Ok(head.clone());
                }
            }
        };
        let head: Head = timeout(PATIENCE, opened).await.map_err(|_| Fault::Overdue)??;
        match head.status {
            200 if head.event_stream => Ok(IdleStream(self.stream)),
            200 => Err(Fault::Shape("the reply is no event stream".into())),
            status => Err(Fault::Status(status, "the stream was refused".into())),
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        match self.stream.read(self.inbox.room()).await.map_err(socket)? {
            0 => Err(Fault::Socket("the server closed the connection".into())),
            count => {
                self.inbox.filled(count);
                Ok(())
            }
        }
    }

    /// Like [`Self::exchange`], within the tool's patience.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Received<'_>, Fault> {
        timeout(PATIENCE, self.exchange(request)).await.map_err(|_| Fault::Overdue)?
    }
}

/// An open event stream that nobody reads; it holds no buffer, so that thousands fit.
#[derive(Debug)]
pub struct IdleStream(TcpStream);

impl IdleStream {
    /// Whether the server still holds it open; what came on it is dropped.
    pub fn is_open(&self) -> bool {
        let mut scrap = [0; 1024];
        loop {
            match self.0.try_read(&mut scrap) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }
}

fn socket(error: std::io::Error) -> Fault {
    Fault::Socket(error.to_string())
}
